"""Run a study: tune every cell, then run each cell's winner alone with fresh seeds; go on wherever it was left.

Invariant: what a part holds does not depend on which process makes it, when, or after how many interruptions; clocks
aside.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.analysis import targets
from mlp_jax.data import Dataset
from mlp_jax.machine import devices, environment
from mlp_jax.study import cells
from mlp_jax.study.cells import Part
from mlp_jax.study.job import Job, make
from mlp_jax.study.plan import Study
from mlp_jax.study.store import Store
from mlp_jax.training import config
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    import pandas

POLL = 0.1  # seconds between two looks at the parts that other processes make


class Outcome(NamedTuple):
    """How a run of a study ended: whether all its parts are there, and how many this process made."""

    complete: bool
    made: int


def run(
    study: Study,
    out: Path | str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
) -> Outcome:
    """Run what is missing of `study` in the directory `out`; several processes may do so at once.

    Args:
        mesh: how many devices take trials of their own and how many share the rows of each; by default tuning chooses
            and a winner has one device. With 1 × all, a winner has them all too.

    Raises:
        ValueError: the study does not fit its data, `out` holds another one, or `mesh` does not multiply to the
            devices.
        OSError: `out` can't be written.
    """
    if mesh is not None:
        devices.mesh(mesh)

    def make_all(store: Store, missing: Iterable[Job], dataset: Dataset) -> int:
        rows_of = lambda job: make(study, job, dataset, progress, interrupted, mesh)
        return _make_all(store, missing, rows_of, interrupted)

    return run_with(make_all, study, out, interrupted)


def run_with(
    make_all: Callable[[Store, Iterable[Job], Dataset], int],
    study: Study,
    out: Path | str,
    interrupted: Callable[[], bool] = lambda: False,
    describe: Callable[[], dict] = environment.describe,
) -> Outcome:
    """Run what is missing of `study`, its jobs done by `make_all`, which returns how many parts it made.

    `describe` says where that happens.
    """
    dataset = config.load_data(study.workload)
    parts = list(cells.parts(study, dataset))
    store = Store(Path(out), study, describe)
    store.check_cells(part.id for part in parts)
    made = make_all(store, (Job(part) for part in parts), dataset)
    if not interrupted():
        made += make_all(store, (_winner(study, store, part, dataset) for part in parts), dataset)
    return Outcome(not interrupted(), made)


def _make_all(store: Store, jobs: Iterable[Job], rows_of: Callable, interrupted: Callable[[], bool]) -> int:
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
                if not store.has(job.phase, job.name) and (rows := rows_of(job)) is not None:
                    store.write(job.phase, job.name, rows)
                    made += 1
                missing.remove(job)
        if len(missing) == left:
            time.sleep(POLL)  # others make all that is missing; should one die, its part is free again
    return made


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


def _winner(study: Study, store: Store, part: Part, dataset: Dataset) -> Job:
    rows = store.read("tuning", part.id)
    assert rows is not None
    return Job(part, winner(rows, config.score(dataset)), study.noise_scale)
