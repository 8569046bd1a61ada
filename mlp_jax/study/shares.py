"""Run a study over several processes: each takes the next job when it is free, process 0 keeps the parts.

Invariant: process 0 alone reads and writes the study's directory; the others need no disk in common with it.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from mlp_jax.data import Dataset
from mlp_jax.machine import devices, hosts
from mlp_jax.study import cells
from mlp_jax.study.job import Job, make
from mlp_jax.study.plan import Study
from mlp_jax.study.runner import POLL, Outcome, run_with
from mlp_jax.study.store import Store
from mlp_jax.training import config
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    import pandas


def run(
    study: Study,
    out: Path | str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
    mesh: tuple[int, int] | None = None,
) -> Outcome:
    """Run what is missing of `study` in the directory `out` of process 0; all processes must call this.

    Each trains its jobs on its own devices, laid out as `mesh` (see `runner.run`), and says on stderr how many these
    were. One that fails or is interrupted stops all.

    Raises:
        ValueError: the study does not fit its data, `out` holds another one, `mesh` does not multiply to the devices
            of a process, the processes were given different studies, or another process has failed.
        OSError: `out` can't be written.
    """
    with hosts.ending_together():
        if mesh is not None:
            devices.mesh(mesh)
        _check_same(study)
        stopped = hosts.interruptible(interrupted)
        share = _Share(study, progress, stopped, mesh)
        if hosts.index() > 0:
            return share.follow(config.load_data(study.workload))
        outcome = run_with(share.lead, study, out, stopped)
        share.announce([], outcome.complete)
        return outcome


class _Share:
    """What one process does of a study, phase after phase."""

    def __init__(
        self,
        study: Study,
        progress: Callable[[Progress], None],
        stopped: Callable[[], bool],
        mesh: tuple[int, int] | None,
    ) -> None:
        self.study, self.progress, self.stopped, self.mesh = study, progress, stopped, mesh
        self.phase, self.made = 0, 0

    def lead(self, store: Store, jobs: Iterable[Job], dataset: Dataset) -> int:
        """Say what is missing, make some of it, and keep the parts of all; return how many these were."""
        missing = [job for job in jobs if store.read(job.phase, job.name) is None]
        self.announce([(job.part.id, *job[1:]) for job in missing])
        left = dict(enumerate(missing))

        def keep(number: int, rows: "pandas.DataFrame") -> None:
            job = left.pop(number)
            store.write(job.phase, job.name, rows)

        def keep_arrived() -> None:
            for key, rows in hosts.receive_all(f"rows/{self.phase}/"):
                keep(int(key), _from_bytes(rows))

        for number, rows in self.work(missing, dataset):
            keep(number, rows)
            keep_arrived()
        while left and not self.stopped():
            time.sleep(POLL)
            keep_arrived()
        keep_arrived()
        return len(missing) - len(left)

    def follow(self, dataset: Dataset) -> Outcome:
        """Make some of what process 0 says is missing, and send it the rows."""
        parts = {part.id: part for part in cells.parts(self.study, dataset)}
        while (said := self.hear())["complete"] is None:
            if any(cell not in parts for cell, *_ in said["jobs"]):
                raise ValueError(f"{hosts.name()} has other data in {self.study.workload.dataset} than process 0")
            for number, rows in self.work([Job(parts[cell], *rest) for cell, *rest in said["jobs"]], dataset):
                hosts.send(f"rows/{self.phase}/{number}", _to_bytes(rows))
        return Outcome(said["complete"], self.made)

    def announce(self, jobs: list[tuple], complete: bool | None = None) -> None:
        """Tell the other processes the jobs of the next phase, or how the study has ended."""
        self.phase += 1
        hosts.send(f"phase/{self.phase}", json.dumps({"jobs": jobs, "complete": complete}).encode())

    def hear(self) -> dict:
        """Return what process 0 announces next."""
        self.phase += 1
        return json.loads(hosts.receive(f"phase/{self.phase}"))

    def work(self, jobs: list[Job], dataset: Dataset) -> Iterator[tuple[int, "pandas.DataFrame"]]:
        """Take jobs until none is left or the run is stopped; yield the number and the rows of each."""
        before = self.made
        while not self.stopped() and (number := hosts.take(f"taken/{self.phase}")) < len(jobs):
            rows = make(self.study, jobs[number], dataset, self.progress, self.stopped, self.mesh)
            if rows is not None:
                self.made += 1
                yield number, rows
        if jobs:
            made = f"{self.made - before} of {len(jobs)} parts of {jobs[0].phase}"
            print(f"{hosts.name()} ({jax.local_device_count()} devices): {made}", file=sys.stderr, flush=True)


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
