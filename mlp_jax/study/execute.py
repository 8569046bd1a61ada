"""Make what a study lacks: tune every cell, then run each cell's winner alone with fresh seeds.

Invariant: what a part holds does not depend on where it is made, when, or after how many interruptions; clocks aside.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.analysis import targets
from mlp_jax.data import Dataset
from mlp_jax.machine import environment
from mlp_jax.study import cells
from mlp_jax.study.cells import Job, StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.store import Store
from mlp_jax.training import config

if TYPE_CHECKING:
    import pandas


class Outcome(NamedTuple):
    """How a run of a study ended: whether all its parts are there, and how many this process made."""

    complete: bool
    made: int


def run(
    study: Study,
    out: Path | str,
    place: Callable[[Iterator[Job | None], Dataset, Store], Generator[tuple[Job, "pandas.DataFrame"], None, None]],
    *,
    interrupted: Callable[[], bool] = lambda: False,
    describe: Callable[[], dict] = environment.describe,
    at_once: int = 1,
) -> Outcome:
    """Run what is missing of `study` in the directory `out`; several processes may do so at once.

    Args:
        place: a generator that takes the jobs of `Store.claimed` and yields each with its rows, which are kept at once.
            It ends when no job comes any more.
        interrupted: asked before each job; once it is true no job comes any more.
        describe: says where the parts are made.
        at_once: how many jobs `place` may hold at a time.

    Raises:
        ValueError: the study does not fit its data, or `out` holds another one.
        OSError: `out` can't be written.
    """
    dataset = config.load_data(study.workload)
    all_cells = list(cells.of(study, dataset))
    store = Store(Path(out), study, describe)
    store.check_cells(cell.id for cell in all_cells)

    def make(jobs: Iterable[Job]) -> int:
        made = 0
        try:
            with contextlib.closing(place(store.claimed(jobs, interrupted, at_once), dataset, store)) as rows_of:
                for job, rows in rows_of:
                    store.write(job, rows)
                    made += 1
        finally:
            store.let_go()
        return made

    made = 0
    while not interrupted():
        made += make(Job(cell) for cell in all_cells)
        if interrupted():
            break
        winners = [job for cell in all_cells if (job := _winner(study, store, cell, dataset)) is not None]
        if len(winners) == len(all_cells):  # else a part of the tuning has been deleted since
            made += make(winners)
            break
    return Outcome(not interrupted(), made)


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


def _winner(study: Study, store: Store, cell: StudyCell, dataset: Dataset) -> Job | None:
    rows = store.read(Job(cell))
    return None if rows is None else Job(cell, winner(rows, config.score(dataset)), study.noise_scale)
