"""The function that does one job of a study, in this process or in any other.

Invariant: except for times, the result depends only on the job and the data.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.study import parts
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.protocol import COARSE, Job
from mlp_jax.training import population
from mlp_jax.training.trials import Progress, Trials

if TYPE_CHECKING:
    import pandas


def make(
    job: Job,
    dataset: Dataset,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
    work: Path | None = None,
) -> "pandas.DataFrame | None":
    """Train what `job` asks for, and return a row for each evaluation of each trial; None if interrupted.

    All rounds and the winner's fresh seeds use one program. To measure their seconds, the winner's seeds are then
    trained once more, each alone on a device, or on all devices if `mesh` has no trial axis.

    Args:
        mesh: see `population.train_many`.
        work: a directory for checkpoints during training.
    """
    won = job.phase == "winners"
    trained = population.train_many(
        dataclasses.replace(job.cell.config, noise_scale=job.noise_scale),
        job.hyper,
        np.array(job.seeds),
        dataset=dataset,
        mesh=mesh,
        racing=job.racing,
        cutoff=job.cutoff,
        evaluation_share=1.0,
        timed=won,
        lanes=COARSE,
        work=work,
        progress=progress,
        interrupted=interrupted,
    )
    if trained.interrupted:
        return None
    rows = _labelled(_rows(trained, won), job)
    rows.attrs[parts.MADE_BY] = parts.made_here()
    return rows


def compile_ahead(cell: StudyCell, dataset: Dataset, mesh: tuple[int, int] | None) -> None:
    """Compile the program for all jobs of a cell; this may run in a thread while another cell trains."""
    population.compile_ahead(cell.config, cell.space, COARSE, dataset, mesh)


def _rows(trained: Trials, won: bool) -> "pandas.DataFrame":
    """Return a row for each evaluation of each trial, with how the trial ended, and for winners the test metrics."""
    frame = trained.history_frame().drop(columns="batch_loss")
    ends = {"status": trained.status, "failed": trained.failed, "steps": trained.steps}
    ends |= {"steps_to_target": trained.steps_to_target}
    if won:
        ends |= {name: values for name, values in trained.metrics.items() if name.startswith("test_")}
    return frame.assign(**{name: values[frame["trial"]] for name, values in ends.items()})


def _labelled(frame: "pandas.DataFrame", job: Job) -> "pandas.DataFrame":
    cell = job.cell
    trial = [f"{cell.id}-{job.phase}-{job.number}-{number}" for number in frame["trial"]]
    labels = {"phase": job.phase, "cell": cell.id, "optimizer": cell.optimizer, "batch_size": cell.batch_size}
    return frame.assign(**labels, round=job.number, trial=trial)
