"""Write curves and hyper-parameters of trials as files for TensorBoard, by its own writer (the extra tensorboard).

Invariant: each trial has a run of its own in the directory, and nothing of it is written twice while it is the same.
"""

# pyright: reportMissingImports=false
# types are checked also where the extra is not installed

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_jax.machine import files
from mlp_jax.training.config import SPLITS
from mlp_jax.training.trials import Evaluation

if TYPE_CHECKING:
    import pandas

NEEDED = "TensorBoard's files need its package: pip install 'mlp-jax[tensorboard]'"
FLUSH_SECONDS = 5
CURVES = ("training_", *(f"{split}_" for split in SPLITS), "noise_")  # beginnings of the columns of a history
ENDS = ("failed", "steps", "steps_to_target")  # values of a whole trial
ROWS = "rows.sha256"  # a file beside a winner's curves that tells from which rows they were made
PLACE = ("phase", "cell", "round", "trial", "step", "examples", "epoch")


class Log:
    """A callback for `train` and `train_many` that writes each evaluation to a directory, until it is closed.

    >>> with Log("runs/tensorboard") as log:  # doctest: +SKIP
    ...     train(Config(), callback=log)

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, directory: Path | str) -> None:
        check_installed()
        self.directory, self._began, self._runs = Path(directory), time.time(), {}

    def __call__(self, evaluation: Evaluation) -> None:
        """Write the metrics at a step; before a trial's first ones, write its hyper-parameters."""
        name = f"{evaluation.cell.optimizer}-B{evaluation.cell.batch_size}-{evaluation.trial}"
        if name not in self._runs:
            self._runs[name] = _Run(self.directory / name)
            about = {"optimizer": evaluation.cell.optimizer, "batch_size": evaluation.cell.batch_size}
            about |= {"seed": evaluation.seed} | evaluation.hyper
            self._runs[name].describe(about, list(evaluation.metrics))
        self._runs[name].add(evaluation.step, self._began, evaluation.metrics)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs.values():
            run.close()


def write_study(rows: "pandas.DataFrame", directory: Path) -> int:
    """Write those winners in the rows of `read_study` that are not there as they are now; return the number of all.

    Raises:
        ValueError: the package is not installed.
        OSError: they can't be written.
    """
    check_installed()
    files.make_folder(directory)
    winners = rows.loc[rows["phase"] == "winners"]
    for _, own in winners.groupby("trial", sort=False):
        own = own.sort_values("step").dropna(axis=1, how="all")
        last = own.iloc[-1].to_dict()
        path = directory / f"{last['optimizer']}-B{last['batch_size']}-seed{last['seed']}"
        rows_of = hashlib.sha256(own.to_csv(index=False).encode()).hexdigest()
        if (path / ROWS).exists() and (path / ROWS).read_text(encoding="utf-8") == rows_of:
            continue
        unfinished = path.with_name(f"{path.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        ends = [name for name in own if name.startswith("test_") or name in ENDS]
        names = [name for name in own if name.startswith(CURVES) and name not in ends]
        about = {name: value for name, value in last.items() if name not in (*PLACE, *names, *ends)}
        run, began = _Run(unfinished), time.time()
        run.describe(about, [*names, *ends])
        for row in own[["step", *names]].to_dict("records"):
            run.add(int(row["step"]), began, {name: row[name] for name in names})
        run.add(int(last["step"]), began, {name: last[name] for name in ends})
        run.close()
        (unfinished / ROWS).write_text(rows_of, encoding="utf-8")
        files.remove(path)  # of a winner before the study grew
        os.replace(unfinished, path)
    return winners["trial"].nunique()


class _Run:
    """The files of one trial."""

    def __init__(self, directory: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer, self._seconds = EventFileWriter(str(directory), flush_secs=FLUSH_SECONDS), 0.0

    def describe(self, hyper: Mapping[str, Any], metrics: list[str]) -> None:
        """Write the hyper-parameters, and the names of the curves to compare them by."""
        from tensorboard.plugins.hparams import summary_v2

        names = [summary_v2.HParam(name) for name in hyper], [summary_v2.Metric(name) for name in metrics]
        self._put(0, time.time(), summary_v2.hparams_config_pb(*names))
        self._put(0, time.time(), summary_v2.hparams_pb(dict(hyper)))

    def add(self, step: int, began: float, metrics: Mapping[str, float]) -> None:
        """Write the values at a step, with the time at which training reached it; the last one if they have none."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._seconds = metrics.get("training_seconds", self._seconds)
        for name, value in metrics.items():
            self._put(step, began + self._seconds, scalar_pb(name, float(value)))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _put(self, step: int, wall_time: float, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        self._writer.add_event(Event(wall_time=wall_time, step=step, summary=summary))


def check_installed() -> None:
    """Raise a ValueError where the package is not installed."""
    try:
        import tensorboard.summary  # noqa: F401
    except ImportError as error:
        raise ValueError(NEEDED) from error
