"""Run a study: tune every cell, then run each cell's winner alone with fresh seeds; go on wherever it was left.

Invariant: what a part holds does not depend on which process makes it, when, or after how many interruptions; clocks
aside.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax import config, group, population
from mlp_jax import run as single
from mlp_jax.analysis import targets
from mlp_jax.data import Dataset
from mlp_jax.study.plan import FRESH, Part, Study
from mlp_jax.study.store import Store

if TYPE_CHECKING:
    import pandas

POLL = 0.1  # seconds between two looks at the parts that other processes make


class Outcome(NamedTuple):
    """How a run of a study ended: whether all its parts are there, and how many this process made."""

    complete: bool
    made: int


class Job(NamedTuple):
    """A part that must be there at the end, and how it is made."""

    phase: str
    name: str
    make: "Callable[[], pandas.DataFrame | None]"


def run(
    study: Study,
    out: Path | str,
    *,
    progress: Callable[[group.Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run what is missing of `study` in the directory `out`; several processes may do so at once.

    Raises:
        ValueError: the study does not fit its data, or `out` holds another one.
        OSError: `out` can't be written.
    """
    dataset = config.load_data(study.workload)
    parts = list(study.parts(dataset))
    store = Store(Path(out), study)
    store.check_cells(part.id for part in parts)

    def tuning(part: Part) -> Job:
        return Job("tuning", part.id, lambda: _tune(study, part, dataset, progress, interrupted))

    made = _make(store, map(tuning, parts), interrupted)
    if not interrupted():
        made += _make(store, (_winner(study, store, part, dataset, interrupted) for part in parts), interrupted)
    return Outcome(not interrupted(), made)


def _make(store: Store, jobs: Iterable[Job], interrupted: Callable[[], bool]) -> int:
    """Make the parts that are missing, those that no other process makes first; return how many."""
    made, missing = 0, list(jobs)
    while missing:
        left = len(missing)
        for job in list(missing):
            if interrupted():
                return made
            if store.read(job.phase, job.name) is not None:
                missing.remove(job)
                continue
            with store.claim(job.phase, job.name) as mine:
                if not mine:
                    continue
                if not store.has(job.phase, job.name) and (rows := job.make()) is not None:
                    store.write(job.phase, job.name, rows)
                    made += 1
                missing.remove(job)
        if len(missing) == left:
            time.sleep(POLL)  # others make all that is missing; should one die, its part is free again
    return made


def _tune(study: Study, part: Part, dataset: Dataset, progress: Callable, interrupted: Callable):
    """Train all points with all seeds; None when interrupted."""
    point, seed = (grid.ravel() for grid in np.meshgrid(np.arange(_count(part)), part.seeds, indexing="ij"))
    trained = population.train(
        part.config,
        {name: values[point] for name, values in part.points.items()},
        seed,
        dataset=dataset,
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


def _count(part: Part) -> int:
    return len(next(iter(part.points.values())))


def winner(rows: "pandas.DataFrame", score: str) -> int:
    """Return the point of a tuned cell with the least median steps to target; among misses, the best median `score`.

    A trial that failed counts with its last evaluation before that.
    """
    last = rows.sort_values("step").groupby("trial").tail(1)
    point = last["point"].to_numpy()
    best = targets.best(last["steps_to_target"].to_numpy(float), point, int(point.max()) + 1)
    if best.point >= 0:
        return best.point
    scores = last[score].to_numpy(float)
    costs = np.nan_to_num(scores if score.endswith("rmse") else -scores, nan=np.inf, posinf=np.inf)
    return int(np.argmin(targets.medians(costs, point, int(point.max()) + 1)))


def _winner(study: Study, store: Store, part: Part, dataset: Dataset, interrupted: Callable) -> Job:
    rows = store.read("tuning", part.id)
    assert rows is not None
    point = winner(rows, config.score(dataset))

    def make():
        frames = []
        for seed in range(FRESH, FRESH + study.fresh_seeds):
            values = {name: float(column[point]) for name, column in part.points.items()}
            asked = dataclasses.replace(part.config, seed=seed, **values)
            trained = single.train(asked, dataset=dataset, interrupted=interrupted)
            if trained.status == "INCOMPLETE":
                return None
            frames.append(_alone(trained, seed - FRESH))
        import pandas

        return _labelled(pandas.concat(frames, ignore_index=True), part, "winners", point)

    return Job("winners", f"{part.id}-{point}", make)


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
