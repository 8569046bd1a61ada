"""Progress on stderr during training: text that is renewed on a terminal, elsewhere a line every few seconds."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from mlp_jax.training.config import SPLITS
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_SECONDS = 5.0


def live_line(quiet: bool = False) -> contextlib.AbstractContextManager[Callable[[Progress], None]]:
    """Show a run: one line on a terminal, a line every few seconds elsewhere unless `quiet`."""
    return _live(_line, _line, quiet)


def live_table(quiet: bool = False) -> contextlib.AbstractContextManager[Callable[..., None]]:
    """Show populations: on a terminal one table with a row for each, elsewhere (unless `quiet`) lines now and then."""
    return _live(_table, _rows, quiet)


@contextlib.contextmanager
def never_silent() -> Iterator[None]:
    """Say on stderr that the program is still at work, if it has written nothing there for a few seconds."""
    begin, over, heard = time.monotonic(), threading.Event(), _Heard(sys.stderr)

    def speak() -> None:
        while not over.wait(PLAIN_SECONDS / 10):
            if time.monotonic() - heard.last >= PLAIN_SECONDS:
                print(f"at work, {time.monotonic() - begin:.0f} s", file=cast("TextIO", heard), flush=True)

    thread, sys.stderr = threading.Thread(target=speak, daemon=True), cast("TextIO", heard)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.stderr = heard.stream


class _Heard:
    """A stream that knows when it was last written to."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.last = stream, time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self.last = time.monotonic()
        return self.stream.write(text)


@contextlib.contextmanager
def _live(on_terminal: Callable, elsewhere: Callable, quiet: bool) -> Iterator[Callable[..., None]]:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live("starting", console=Console(stderr=True), transient=True) as live:
            yield lambda *progress: live.update(on_terminal(*progress))
        return
    last = [time.monotonic()]

    def plain(*progress: Any) -> None:
        if not quiet and time.monotonic() - last[0] >= PLAIN_SECONDS:
            last[0] = time.monotonic()
            print(elsewhere(*progress), file=sys.stderr, flush=True)

    yield plain


def _line(progress: Progress) -> str:
    of = f"/{progress.total_steps:,}" if progress.total_steps else ""
    metrics = " · ".join(
        f"{name} {value:.4f}" for name, value in progress.metrics.items() if name.split("_")[0] in SPLITS
    )
    return (
        f"epoch {progress.epoch:.2f} · step {progress.step:,}{of} · loss {progress.batch_loss:.4f} · {metrics} · "
        f"{progress.examples_per_second:,.0f} examples/s · {progress.left:.0f} s left"
    )


def _cells(progress: Progress) -> dict[str, str]:
    return {
        "cell": f"{progress.cell.optimizer} B={progress.cell.batch_size}",
        "running": f"{progress.running:,}",
        "done": f"{progress.done:,}",
        "infeasible": f"{progress.infeasible:,}",
        "best": f"{progress.best:.4f}",
        "trial-steps/s": f"{progress.trial_steps_per_second:,.0f}",
        "left": f"{progress.left:.0f} s",
    }


def _rows(*populations: Progress) -> str:
    return "\n".join(" · ".join(f"{name} {value}" for name, value in _cells(each).items()) for each in populations)


def _table(*populations: Progress) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(*_cells(populations[0]), box=box.SIMPLE)
    for each in populations:
        table.add_row(*_cells(each).values())
    return table
