"""A study on a Ray cluster: each job is a task, and Ray places it, retries it and brings back its rows.

Invariant: this process alone writes the store, and it writes a part only while it holds the claim to it; so whichever
process dies, no row is lost or stored twice. Workers need no data and no shared files.
"""

import functools
import inspect
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlp_jax import optimizers
from mlp_jax.data import Dataset
from mlp_jax.machine import cache, environment
from mlp_jax.optimizers import Optimizer
from mlp_jax.study import execute
from mlp_jax.study.execute import Outcome
from mlp_jax.study.job import make
from mlp_jax.study.places import ray_connection
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.study.store import Store
from mlp_jax.training.trials import Progress

if TYPE_CHECKING:
    import pandas

POLL = 0.5  # seconds between two looks at the tasks
CORES = 1  # of each task: trials run on one CPU device, so that seconds can be compared between nodes
RETRIES = 3  # for a task whose worker or node died
AT_ONCE = 256  # tasks that Ray knows of at a time; each holds a claim, which is an open file


def run(
    study: Study,
    out: Path | str,
    *,
    address: str | None = None,
    progress: Callable[..., None] = lambda *_: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run the missing parts of `study` as tasks that take one core each, and one GPU if the cluster has any.

    Args:
        address: host:port of the cluster's head, or anything else that `ray.init` takes (auto, local, ray://…). None is
            the cluster that RAY_ADDRESS names, or the one that runs here, or one that is started here for the study. A
            program that has already called `ray.init` uses its own cluster.
        progress: called about once a second with the progress of each cell in training.
        interrupted: asked as often; once it is true, the tasks are cancelled.

    Raises:
        ValueError: Ray is not installed, the study does not fit its data, or `out` holds another one.
        OSError: no cluster answers within `ray_connection.ANSWER` seconds, Ray gave up a part, or `out` can't be
            written.
    """
    with ray_connection.connected(address) as ray:
        hands = Hands(ray, progress, interrupted)
        return execute.run(study, out, hands.place, interrupted=interrupted, describe=hands.describe, at_once=AT_ONCE)


class Hands:
    """A cluster that makes the parts of a study."""

    def __init__(self, ray: ModuleType, progress: Callable, interrupted: Callable[[], bool]) -> None:
        self.ray, self.progress, self.interrupted = ray, progress, interrupted
        gpus = int(ray.cluster_resources().get("GPU", 0) >= 1)
        self.resources = {"num_cpus": CORES, "num_gpus": gpus}
        environment = {"env_vars": {"NPROC": str(CORES)}}  # the number of threads that XLA may use
        self.remote = ray.remote(
            **self.resources, max_retries=RETRIES, scheduling_strategy="SPREAD", runtime_env=environment
        )
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self.board = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Board).remote()

    def describe(self) -> dict:
        """Describe where the parts are made: one of the workers, and its resources for a part."""
        described = self.remote(environment.describe).remote()
        while not self.ray.wait([described], timeout=POLL)[0]:
            if self.interrupted():
                raise KeyboardInterrupt
        of = {"version": self.ray.__version__, "nodes": sum(node["Alive"] for node in self.ray.nodes())}
        # a worker has a copy of this process's code, but no checkout
        return self._result(described, "what describes a worker") | environment.commit() | {"ray": of | self.resources}

    def place(
        self, jobs: Iterator[Job | None], dataset: Dataset, store: Store
    ) -> Generator[tuple[Job, "pandas.DataFrame"], None, None]:
        """Make each job a task, and yield the rows of each finished one."""
        running: dict[Any, Job] = {}
        own = self._put_optimizers(list(store.study.versions))
        start = functools.partial(self.remote(_make).remote, dataset=self.ray.put(dataset), own=own)
        try:
            for job in jobs:
                if job is not None:
                    running[start(job=job, board=self.board)] = job
                    continue
                for task in self._finished(running):
                    done = running.pop(task)
                    yield done, self._result(task, _called(done))
                self._show(running)
        finally:
            for task in running:
                self.ray.cancel(task, force=True)

    def _put_optimizers(self, names: list[str]) -> Any:
        """Give the workers optimizers that are not built in, with the code of their packages, which they may lack."""
        rows = {name: optimizers.find(name) for name in names}
        homes = [getattr(inspect.getmodule(row.direction), "__name__", "__main__") for row in rows.values()]
        packages = {home.split(".")[0] for home in homes}
        modules = [sys.modules[name] for name in packages - {"__main__", "mlp_jax"}]
        for module in modules:
            self.ray.cloudpickle.register_pickle_by_value(module)
        try:
            return self.ray.put(rows)
        finally:
            for module in modules:
                self.ray.cloudpickle.unregister_pickle_by_value(module)

    def _finished(self, running: dict) -> list:
        """Wait for a task to end, at most POLL seconds."""
        if running:
            return self.ray.wait(list(running), timeout=POLL)[0]
        time.sleep(POLL)  # other processes make all missing parts
        return []

    def _result(self, task: Any, what: str) -> Any:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self.ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0]
            raise OSError(f"Ray gave up {what} ({reason}); run the same command again to go on") from error

    def _show(self, running: dict) -> None:
        names = [job.name for job in running.values()]
        latest = self.ray.get(self.board.read.remote())
        if rows := [latest[name] for name in names if name in latest]:
            self.progress(*rows)


class Board:
    """An actor that knows the latest progress of each part."""

    def __init__(self) -> None:
        self.latest: dict[str, Progress] = {}

    def note(self, name: str, progress: Progress) -> None:
        """Replace the progress of one part."""
        self.latest[name] = progress

    def read(self) -> dict[str, Progress]:
        """Return the latest progress by the parts' names."""
        return self.latest


def _make(job: Job, dataset: Dataset, own: Mapping[str, Optimizer], board: Any) -> "pandas.DataFrame | None":
    """Do a job on a worker; `own` has the study's optimizers that are not built in."""
    optimizers.put(own)
    cache.enable_compilation_cache()
    return make(job, dataset, progress=lambda progress: board.note.remote(job.name, progress))


def _called(job: Job) -> str:
    return f"{job.cell.optimizer} B={job.cell.batch_size} ({job.phase})"
