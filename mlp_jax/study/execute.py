"""Make the missing parts of a study: tune every cell round after round, then run each cell's winner with fresh seeds.

Invariant: except for times, a part does not depend on where it is made, when, or after how many interruptions.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlp_jax.data import Dataset
from mlp_jax.machine import environment
from mlp_jax.study import cells
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.study.store import Store
from mlp_jax.training import config

if TYPE_CHECKING:
    import pandas


class Outcome(NamedTuple):
    """How a run of a study ended: whether it is complete, and how many parts this process has made."""

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
    """Run the missing parts of `study` in the directory `out`; several processes may do so at once.

    Args:
        place: a generator that takes the jobs of `Store.claimed` and yields each with its rows, which are saved at
            once. It ends when there are no more jobs.
        interrupted: asked before each job; once it is true, there are no more jobs.
        describe: returns a description of where the parts are made.
        at_once: how many jobs `place` may hold at a time.

    Raises:
        ValueError: the study does not fit its data, or `out` holds a study that contradicts it.
        OSError: `out` can't be written.
    """
    dataset = config.load_data(study.workload)
    cells.check(study, dataset)
    store, made = Store(Path(out), study, cells.facts(study, dataset), describe), 0
    try:
        with contextlib.closing(place(store.claimed(interrupted, at_once), dataset, store)) as rows_of:
            for job, rows in rows_of:
                store.write(job, rows)
                made += 1
    finally:
        store.let_go()
    return Outcome(not interrupted(), made)
