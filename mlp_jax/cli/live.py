"""The page of a study, served on this machine while the study runs, here or elsewhere.

Invariant: the server ends with the study, however the study ends.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mlp_jax.cli import signals
from mlp_jax.machine.loopback import Loopback
from mlp_jax.report.reading import Reading


@contextlib.contextmanager
def served(directory: Path, port: int | None) -> Iterator[Loopback]:
    """Serve a waiting page until the first page about the study in a directory is made; print its address on stderr."""
    from mlp_jax.report.template import render

    first = {"title": "A study is beginning", "directory": directory, "live": True}
    server = Loopback(render("waiting", first), port or 0)
    print(f"live page: {server.address}", file=sys.stderr, flush=True)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def beside(directory: Path, port: int | None) -> Iterator[Callable[[Path], None]]:
    """Serve the page of a study that runs here, made by another process; give a function that shows the final page."""
    # it finds the modules that this process finds, and none that lies in the folder where this one was started
    asked = [sys.executable, "-P", "-m", "mlp_jax.report.following", str(directory)]
    alone = os.environ | {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    alone |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": alone}
    over = threading.Event()
    with served(directory, port) as server, subprocess.Popen(asked, start_new_session=True, **how) as maker:

        def show() -> None:
            _show_all(server, maker.stdout or ())
            if not over.is_set():
                again = shlex.join(["mlp-jax", "report", str(directory)])
                print(f"warning: the live page stays as it is, for its maker has ended; see {again}", file=sys.stderr)

        reader = threading.Thread(target=show, daemon=True)
        reader.start()

        def end() -> None:
            over.set()
            maker.kill()
            reader.join()

        def finish(page: Path) -> None:
            end()
            _finish(server, page)

        try:
            yield finish
        finally:
            end()


def follow(directory: Path, out: Path, reading: Reading, port: int | None) -> bool:
    """Serve the page of a study that runs elsewhere until it is complete; then make sure that the page is in `out`."""
    from mlp_jax.report import following
    from mlp_jax.study import read_plan

    read_plan(directory)
    with signals.interrupts() as interrupted, served(directory, port) as server:
        done = following.follow(directory, out, server.show, reading, interrupted)
        if done:
            _finish(server, out)
    return done


def _show_all(server: Loopback, pages: Iterable[bytes]) -> None:
    """Show each page that comes through a pipe, as one line of JSON; a line without an end was cut off."""
    for page in pages:
        if page.endswith(b"\n"):
            server.show(json.loads(page))


def _finish(server: Loopback, page: Path) -> None:
    server.show(page.read_text(encoding="utf-8"))
    server.linger()
