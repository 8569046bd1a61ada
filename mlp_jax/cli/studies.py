"""A study from start to end: run with its progress shown, its page written, what it found returned.

Invariant: what is there already is neither made nor written again.
"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from mlp_jax.cli.progress import live_table
from mlp_jax.machine import hosts
from mlp_jax.study import Findings, Study


def find(
    study: Study,
    out: Path,
    *,
    run: Callable | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    quiet: bool = False,
) -> tuple[Findings, Path] | None:
    """Run what is missing of `study` in `out`, and return what all of it shows and the page about it.

    It is None where the study was interrupted, and in a process that does not keep its parts.

    Args:
        run: how and where it is run, as `mlp_jax.study.run`, which is the default.
        quiet: show no progress.

    Raises:
        ValueError, OSError: as `run`.
    """
    from mlp_jax import study as studies

    # what Ray has to say about nodes that died it prints on stdout
    with live_table(quiet=quiet) as show, contextlib.redirect_stdout(sys.stderr):
        outcome = (run or studies.run)(study, out, progress=show, interrupted=interrupted)
    if not outcome.complete or hosts.index() > 0:
        return None
    found, path = studies.findings(studies.read_study(out)), out / "report.html"
    if outcome.made or not path.exists():
        from mlp_jax.report import page

        page.write((out,), path)
    return found, path
