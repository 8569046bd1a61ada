"""Follow a study from its directory while any process runs it: make its page anew whenever there is more to show.

Invariant: as long as the study is unfinished, nothing is written there, claimed or locked. Pages are made only part of
the time, so that a study on the same machine is hardly slowed.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlp_jax.report import page, seal
from mlp_jax.report.reading import AS_ASKED, Reading

LOOK = 1.0  # seconds between two looks at the directory
REST = 2.0  # pause after a page, as a multiple of the seconds of one core that it took
PATIENCE = 60.0  # seconds to wait until the process that completed the study has written its page


def pages(
    directory: Path, reading: Reading = AS_ASKED, interrupted: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, bool, list]]:
    """Yield the page of the study in a directory whenever it has changed, whether the study is complete, and its state.

    The state is that before the page was made. It waits for a study that has not begun, and goes on until it is
    interrupted, since a complete study may grow.

    Raises:
        ValueError, OSError: as `page.write`.
    """
    seen: list = []
    while not interrupted():
        began, now = time.process_time(), _state(directory)
        if now != seen:
            yield *page.watched(directory, reading), now
        seen, rest = now, REST * (time.process_time() - began)
        _until(interrupted, max(LOOK, rest))


def follow(
    directory: Path,
    out: Path,
    show: Callable[[str], object],
    reading: Reading = AS_ASKED,
    interrupted: Callable[[], bool] = lambda: False,
) -> bool:
    """Show the page of a study until it is complete, then make sure that the page is in `out`; return whether it is.

    Raises:
        ValueError, OSError: as `page.write`.
    """
    for number, (text, complete, before) in enumerate(pages(directory, reading, interrupted)):
        show(text)
        if not complete:
            continue
        written = lambda text=text: seal.made_from(out) == seal.made_from(text)
        if number and out == directory / "report.html" and reading == AS_ASKED:  # another process has just completed it
            _until(lambda: written() or _state(directory) != before or interrupted(), PATIENCE)  # noqa: B023
        if _state(directory) != before:  # it has grown, perhaps while the page was made
            continue
        if not written():
            page.write([directory], out, reading)
        return True
    return False


def _send(directory: Path) -> None:
    """Print the pages of a study, each a line of JSON, for as long as stdin is open."""
    if hasattr(os, "nice"):
        os.nice(10)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    for text, *_ in pages(directory, interrupted=over.is_set):
        print(json.dumps(text), flush=True)


def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done()` is true, at most so many seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not done():
        time.sleep(min(left, 0.2))


def _state(directory: Path) -> list[tuple[str, int]]:
    """Return the names and times of a study's plan, parts and claims, which change if it does; [] without a study."""
    found = []
    for folder in (directory / "tuning", directory / "winners", directory):
        with contextlib.suppress(OSError):
            for each in os.scandir(folder):
                if each.name.endswith((".parquet", ".lock", "study.json", "data.json")):
                    with contextlib.suppress(OSError):
                        found.append((each.name, each.stat().st_mtime_ns))
    return sorted(found) if (directory / "study.json").exists() else []


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _send(Path(sys.argv[1]))
