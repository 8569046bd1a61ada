"""A study shared by several processes: each takes the next job when it is free, and process 0 saves the parts.

Invariant: process 0 alone reads and writes the study's directory, so the others need not share a disk with it. It hands
out a job only while it holds the claim to it, and saves rows as soon as they come, even while it trains itself.
"""

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from mlp_jax.data import Dataset
from mlp_jax.machine import devices, hosts
from mlp_jax.study import cells, execute
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.execute import Outcome
from mlp_jax.study.job import make
from mlp_jax.study.plan import Study, from_dict, to_dict
from mlp_jax.study.protocol import Job
from mlp_jax.study.store import Store
from mlp_jax.training import config
from mlp_jax.training.trials import Cutoff, Progress

if TYPE_CHECKING:
    import pandas

AHEAD = 2  # jobs for each process: the one in training, and the next
POLL = 0.1  # seconds between two looks for rows that have come


def run(
    study: Study,
    out: Path | str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
) -> Outcome:
    """Run the missing parts of `study` in the directory `out` of process 0; all processes must call this.

    Each process trains jobs on its own devices, laid out as `mesh` (see `here.run`), and says on stderr how many parts
    it made. A process that fails or is interrupted stops all others.

    Raises:
        ValueError: the study does not fit its data, `out` holds another one, `mesh` does not multiply to the devices
            of a process, the processes were given different studies, or another process has failed.
        OSError: `out` can't be written.
    """
    with hosts.ending_together():
        if mesh is not None:
            devices.mesh(mesh)
        _check_same(study)
        share = _Share(study, progress, hosts.interruptible(interrupted), mesh)
        return share.follow() if hosts.index() > 0 else share.lead(Path(out))


class _Share:
    """One process's share of a study.

    Process 0 sends messages that are numbered from 0: one for each job, and finally one for each process that says how
    the study ended. A free process takes the next number.
    """

    def __init__(
        self,
        study: Study,
        progress: Callable[[Progress], None],
        stopped: Callable[[], bool],
        mesh: tuple[int, int] | None,
    ) -> None:
        self.study, self.progress, self.stopped, self.mesh = study, progress, stopped, mesh

    def lead(self, out: Path) -> Outcome:
        """Run the study with all processes, as process 0."""
        at_once = AHEAD * hosts.count()
        return execute.run(self.study, out, self.place, interrupted=self.stopped, at_once=at_once)

    def place(
        self, jobs: Iterator[Job | None], dataset: Dataset, store: Store
    ) -> Generator[tuple[Job, "pandas.DataFrame"], None, None]:
        """Hand out the jobs and yield the rows that come; a thread of this process makes some of them."""
        hosts.send("grown", json.dumps([to_dict(store.study), store.data]).encode())
        given: list[Job] = []
        complete: bool | None = None  # None as long as something may have failed
        over = threading.Event()
        stopped = lambda: over.is_set() or self.stopped()

        def arrived() -> Iterator[tuple[Job, "pandas.DataFrame"]]:
            for number, rows in hosts.receive_all("rows/"):
                yield given[int(number)], _from_bytes(rows)

        with ThreadPoolExecutor(1) as threads:
            own = threads.submit(self.work, dataset, stopped, store.work)
            try:
                for job in jobs:
                    if job is not None:
                        given.append(job)
                        self.say(len(given) - 1, {"job": (job.cell.id, *job[1:])})
                        continue
                    time.sleep(POLL)
                    yield from arrived()
                    if own.done():
                        own.result()  # raises the error that stopped it
                complete = not self.stopped()
            finally:
                over.set()
                self.end(len(given), complete)
        own.result()
        yield from arrived()  # when it is interrupted

    def follow(self) -> Outcome:
        """Make some of the jobs that process 0 hands out, until it says how the study ended."""
        complete, made = self.work(config.load_data(self.study.workload), self.stopped)
        if complete is None:
            hosts.receive("never")  # process 0 has failed, which ends this too
        return Outcome(bool(complete), made)

    def work(
        self, dataset: Dataset, stopped: Callable[[], bool], directory: Callable[[Job], Path | None] = lambda _: None
    ) -> tuple[bool | None, int]:
        """Take jobs and send their rows until there are no more; return how the study ended and how many it made."""
        study, facts = json.loads(hosts.receive("grown"))
        if cells.facts(self.study, dataset) != Facts(*facts):
            raise ValueError(f"{hosts.name()} has other data in {self.study.workload.dataset} than process 0")
        mine, known = 0, {cell.id: cell for cell in cells.of(from_dict(study), Facts(*facts))}
        while (said := self.hear())["job"] is not None:
            if stopped():
                continue
            job = _job(known, *said["job"])
            rows = make(job, dataset, self.progress, stopped, self.mesh, directory(job))
            if rows is not None:
                mine += 1
                hosts.send(f"rows/{said['number']}", _to_bytes(rows))
        made = f"{mine} of {said['count']} parts"
        print(f"{hosts.name()} ({jax.local_device_count()} devices): {made}", file=sys.stderr, flush=True)
        return said["complete"], mine

    def say(self, number: int, message: dict[str, Any]) -> None:
        """Send a message to the process that takes its number."""
        hosts.send(f"said/{number}", json.dumps(message).encode())

    def hear(self) -> dict[str, Any]:
        """Take the next number, wait for its message, and return it."""
        number = hosts.take("taken")
        return {"number": number} | json.loads(hosts.receive(f"said/{number}"))

    def end(self, count: int, complete: bool | None) -> None:
        """Tell every process how the study ended."""
        for number in range(count, count + hosts.count()):
            self.say(number, {"job": None, "count": count, "complete": complete})


def _job(known: dict[str, StudyCell], cell: str, phase: str, number: int, hyper, seeds, cutoff, racing, noise) -> Job:
    """Return the job that a message describes."""
    return Job(known[cell], phase, number, hyper, seeds, Cutoff(*cutoff), racing, noise)


def _check_same(study: Study) -> None:
    if hosts.index() == 0:
        hosts.send("study", study.id.encode())
    elif hosts.receive("study").decode() != study.id:
        raise ValueError(f"{hosts.name()} was given another study than process 0; give all the same options")


def _to_bytes(rows: "pandas.DataFrame") -> bytes:
    return rows.to_parquet(index=False)


def _from_bytes(rows: bytes) -> "pandas.DataFrame":
    import pandas

    return pandas.read_parquet(io.BytesIO(rows))
