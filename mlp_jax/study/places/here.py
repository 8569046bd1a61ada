"""A study on the devices of this process, one job after another."""

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_jax.data import Dataset
from mlp_jax.machine import devices
from mlp_jax.study import execute
from mlp_jax.study.cells import Job
from mlp_jax.study.execute import Outcome
from mlp_jax.study.job import make
from mlp_jax.study.plan import Study
from mlp_jax.study.store import Store
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    import pandas

POLL = 0.1  # seconds between two looks at the parts that other processes make


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
        progress: called about once a second with what the cell that is trained now shows.
        interrupted: asked as often; once it is true the run ends.
        mesh: how many devices take trials of their own and how many share the rows of each; by default tuning chooses
            and a winner has one device. With 1 × all, a winner has them all too.

    Raises:
        ValueError: the study does not fit its data, `out` holds another one, or `mesh` does not multiply to the
            devices.
        OSError: `out` can't be written.
    """
    if mesh is not None:
        devices.mesh(mesh)

    def place(
        jobs: Iterator[Job | None], dataset: Dataset, store: Store
    ) -> Generator[tuple[Job, "pandas.DataFrame"], None, None]:
        for job in jobs:
            if job is None:
                time.sleep(POLL)  # others make all that is missing; should one die, its part is free again
            elif (rows := make(study, job, dataset, progress, interrupted, mesh, store.work(job))) is None:
                return
            else:
                yield job, rows

    return execute.run(study, out, place, interrupted=interrupted)
