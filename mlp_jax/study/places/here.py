"""A study on the devices of this process, one job after another."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_jax.data import Dataset
from mlp_jax.machine import devices
from mlp_jax.study import cells, execute
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.execute import Outcome
from mlp_jax.study.job import compile_ahead, make
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.study.store import Store
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    import pandas

AHEAD = 2  # cells to compile while another one trains, since both the compiler and training leave a core idle at times
POLL = 0.1  # seconds between two looks for parts that other processes make


def run(
    study: Study,
    out: Path | str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
) -> Outcome:
    """Run the missing parts of `study` in the directory `out`; several processes may do so at once.

    >>> from mlp_jax.study import from_file
    >>> run(from_file(Path("study.toml")), "runs/mine")  # all of it is there
    Outcome(complete=True, made=0)

    Args:
        progress: called about once a second with the progress of the cell in training.
        interrupted: asked as often; once it is true the run ends.
        mesh: how many devices take trials of their own, and how many share the rows of each mini-batch (default: chosen
            for tuning, and one device for a winner). With 1 × all, a winner uses all devices too.

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
        with _compiler(list(cells.of(store.study, store.data)), dataset, mesh) as compile_behind:
            for job in jobs:
                if job is None:
                    time.sleep(POLL)  # other processes make all missing parts; if one dies, its part is free again
                    continue
                compile_behind(job)
                rows = make(job, dataset, progress, interrupted, mesh, store.work(job))
                if rows is None:
                    return
                yield job, rows

    return execute.run(study, out, place, interrupted=interrupted)


@contextlib.contextmanager
def _compiler(
    order: Sequence[StudyCell], dataset: Dataset, mesh: tuple[int, int] | None
) -> Iterator[Callable[[Job], None]]:
    """Give a function that lets a thread compile the programs of the cells after that of a job, each once.

    No result depends on whether that is done in time, or at all; an error in it shows when the program is needed.
    """
    asked: set[str] = set()
    threads = ThreadPoolExecutor(1, "compiler")

    def compile_behind(job: Job) -> None:
        asked.add(job.cell.id)
        place = next(number for number, cell in enumerate(order) if cell.id == job.cell.id)
        for cell in order[place + 1 : place + 1 + AHEAD]:
            if cell.id not in asked:
                asked.add(cell.id)
                threads.submit(compile_ahead, cell, dataset, mesh)

    try:
        yield compile_behind
    finally:
        threads.shutdown(cancel_futures=True)
