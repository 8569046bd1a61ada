"""The function that does one job of a study, in this process or in any other.

Invariant: what a job makes is decided by the study, the job and the data alone, clocks aside.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.study.cells import FRESH, Job, StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.training import population
from mlp_jax.training.trials import Progress, Trials

if TYPE_CHECKING:
    import pandas


def make(
    study: Study,
    job: Job,
    dataset: Dataset,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
    work: Path | None = None,
) -> "pandas.DataFrame | None":
    """Train what `job` asks for and return its rows; None when interrupted.

    Tuning trains all points with all seeds together. The winner's fresh seeds go through the same program, and then
    each once more, for its seconds, with a device to itself, or with all where `mesh` has no trial axis.

    Args:
        mesh: see `population.train_many`.
        work: a directory for checkpoints on the way.
    """
    import pandas

    frames = []
    for number, (point, seeds, noise_scale) in enumerate(_populations(study, job)):
        trained = population.train_many(
            dataclasses.replace(job.cell.config, noise_scale=noise_scale),
            {name: values[point] for name, values in job.cell.points.items()},
            seeds,
            dataset=dataset,
            mesh=mesh,
            racing=study.racing if job.point is None else None,
            evaluation_share=1.0,
            timed=job.point is not None,
            lanes=len(_grid(job.cell)[0]),
            work=work and work / str(number),
            progress=progress,
            interrupted=interrupted,
        )
        if trained.interrupted:
            return None
        frames.append(_rows(trained, point, winners=job.point is not None))
    return _labelled(pandas.concat(frames, ignore_index=True), job)


def compile_ahead(cell: StudyCell, dataset: Dataset, mesh: tuple[int, int] | None) -> None:
    """Compile the program that tunes a cell and runs its winner; may run in a thread while another cell trains."""
    population.compile_ahead(cell.config, cell.points, len(_grid(cell)[0]), dataset, mesh)


def _populations(study: Study, job: Job) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Yield the points, the seeds, and whether to measure the noise scale, of what is trained for a job."""
    if job.point is None:
        yield *_grid(job.cell), False
        return
    fresh = np.arange(FRESH, FRESH + study.fresh_seeds)
    for seeds, noise_scale in ((fresh[:1], True), (fresh[1:], False)) if job.noise_scale else ((fresh, False),):
        if len(seeds):
            yield np.full(len(seeds), job.point), seeds, noise_scale


def _grid(cell: StudyCell) -> tuple[np.ndarray, np.ndarray]:
    """Return the point and the seed of each trial of a cell's tuning."""
    count = len(next(iter(cell.points.values())))
    point, seed = (grid.ravel() for grid in np.meshgrid(np.arange(count), cell.seeds, indexing="ij"))
    return point, seed


def _rows(trained: Trials, point: np.ndarray, winners: bool) -> "pandas.DataFrame":
    """Return a row per trial and evaluation, with how each trial ended; winners on the test part too."""
    frame = trained.history_frame().drop(columns="batch_loss")
    ends = {"status": trained.status, "failed": trained.failed, "steps": trained.steps, "point": point}
    ends |= {"steps_to_target": trained.steps_to_target}
    if winners:
        ends |= {name: values for name, values in trained.metrics.items() if name.startswith("test_")}
    return frame.assign(**{name: values[frame["trial"]] for name, values in ends.items()})


def _labelled(frame: "pandas.DataFrame", job: Job) -> "pandas.DataFrame":
    cell, phase = job.cell, job.phase
    number = frame["trial"] if job.point is None else frame["seed"] - FRESH
    trial = [f"{cell.id}-{phase}-{one}" for one in number]
    labels = {"phase": phase, "cell": cell.id, "optimizer": cell.optimizer, "batch_size": cell.batch_size}
    return frame.assign(**labels, trial=trial)
