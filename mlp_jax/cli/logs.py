"""Logs of runs and studies for other tools, written into their directories on request.

Invariant: a log that can't be written is refused before anything is trained.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from mlp_jax.training.trials import Evaluation

Kind = Literal["tensorboard"]
FOLDER = "tensorboard"  # in --out


@contextlib.contextmanager
def logged(kind: Kind | None, out: Path | None) -> Iterator[Callable[[Evaluation], None] | None]:
    """Give the callback that logs a run into its directory; None if no log was asked for."""
    if kind is None:
        yield None
        return
    if out is None:
        raise ValueError(f"--log {kind} writes beside the run; give --out too")
    from mlp_jax.report.tensorboard import Log

    with Log(out / FOLDER) as log:
        yield log


def check(kind: Kind | None) -> None:
    """Raise a ValueError if this kind of log can't be written here."""
    if kind is not None:
        from mlp_jax.report import tensorboard

        tensorboard.check_installed()


def log_study(kind: Kind | None, directory: Path) -> str:
    """Log the winners of a study into its directory, and return where; "" if no log was asked for."""
    if kind is None:
        return ""
    from mlp_jax.report import tensorboard
    from mlp_jax.study import read_study

    tensorboard.write_study(read_study(directory), directory / FOLDER)
    return str(directory / FOLDER)
