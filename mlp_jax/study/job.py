"""One part of a study as plain data, and the function that makes it, in this process or in any other.

Invariant: what a part holds is decided by the study, the job and the data alone, clocks aside.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.study.cells import FRESH, Part
from mlp_jax.study.plan import Study
from mlp_jax.training import config, group, population
from mlp_jax.training import run as single
from mlp_jax.trial import Cell

if TYPE_CHECKING:
    import pandas


class Job(NamedTuple):
    """A part that must be there at the end: a cell's tuning, or the runs alone of the `point` that won there.

    With `noise_scale` the first of these runs measures it.
    """

    part: Part
    point: int | None = None
    noise_scale: bool = False

    @property
    def phase(self) -> str:
        """Where the store keeps it."""
        return "tuning" if self.point is None else "winners"

    @property
    def name(self) -> str:
        """What the store calls it."""
        return self.part.id if self.point is None else f"{self.part.id}-{self.point}{'-noise' * self.noise_scale}"


def make(
    study: Study,
    job: Job,
    dataset: Dataset,
    progress: Callable[[group.Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
) -> "pandas.DataFrame | None":
    """Train what `job` asks for and return its rows; None when interrupted.

    `mesh` is for `population.train`; winners have one device each, or all where it has no trial axis.
    """
    if job.point is None:
        return _tune(study, job.part, dataset, progress, interrupted, mesh)
    alone = mesh if mesh and mesh[0] == 1 else (1, 1)
    return _run_alone(study, job, job.point, dataset, progress, interrupted, alone)


def _tune(
    study: Study, part: Part, dataset: Dataset, progress: Callable, interrupted: Callable, mesh: tuple[int, int] | None
):
    """Train all points with all seeds; None when interrupted."""
    count = len(next(iter(part.points.values())))
    point, seed = (grid.ravel() for grid in np.meshgrid(np.arange(count), part.seeds, indexing="ij"))
    trained = population.train(
        part.config,
        {name: values[point] for name, values in part.points.items()},
        seed,
        dataset=dataset,
        mesh=mesh,
        racing=study.racing,
        evaluation_share=1.0,
        progress=progress,
        interrupted=interrupted,
    )
    if interrupted():
        return None
    frame = trained.history_frame()
    ends = {"status": trained.status, "failed": trained.failed, "steps": trained.steps}
    ends |= {"steps_to_target": trained.steps_to_target}
    for name, values in ends.items():
        frame[name] = values[frame["trial"]]
    return _labelled(frame, part, "tuning", point[frame["trial"]])


def _run_alone(
    study: Study,
    job: Job,
    point: int,
    dataset: Dataset,
    progress: Callable,
    interrupted: Callable,
    mesh: tuple[int, int],
):
    """Train one point with fresh seeds, one run after another; None when interrupted."""
    import pandas

    cell, score = config.make_cell(job.part.config, dataset), config.score(dataset)
    values = {name: float(column[point]) for name, column in job.part.points.items()}
    frames = []
    for seed in range(FRESH, FRESH + study.fresh_seeds):
        measured = job.noise_scale and seed == FRESH
        asked = dataclasses.replace(job.part.config, seed=seed, noise_scale=measured, **values)
        show = lambda run, done=seed - FRESH: progress(_as_population(run, cell, score, done))
        trained = single.train(asked, dataset=dataset, mesh=mesh, progress=show, interrupted=interrupted)
        if trained.status == "INCOMPLETE":
            return None
        frames.append(_alone(trained, seed - FRESH))
    return _labelled(pandas.concat(frames, ignore_index=True), job.part, "winners", point)


def _as_population(run: single.Progress, cell: Cell, score: str, done: int) -> group.Progress:
    """What a population of one shows, after `done` others."""
    rate, best = run.examples_per_second / cell.batch_size, run.metrics.get(score, math.nan)
    return group.Progress(cell, 1, done, 0, best, rate, math.nan if run.left is None else run.left)


def _alone(trained: "single.Run", trial: int) -> "pandas.DataFrame":
    """The rows of one run, in the columns of a population."""
    import pandas

    frame = pandas.DataFrame(trained.history).drop(columns="batch_loss")
    frame["trial"], frame["seed"] = trial, trained.config.seed
    ends = {**trained.hyper, "status": trained.status, "failed": -1 if trained.failed is None else trained.failed}
    ends |= {"steps": trained.steps, "steps_to_target": trained.steps_to_target}
    ends |= {name: value for name, value in trained.metrics.items() if name.startswith("test_")}
    return frame.assign(**ends)


def _labelled(frame: "pandas.DataFrame", part: Part, phase: str, point) -> "pandas.DataFrame":
    trial = [f"{part.id}-{phase}-{number}" for number in frame["trial"]]
    labels = {"phase": phase, "cell": part.id, "optimizer": part.optimizer, "batch_size": part.batch_size}
    return frame.assign(**labels, trial=trial, point=point)
