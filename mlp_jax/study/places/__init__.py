"""Where a study runs: on the devices of this process, shared by several processes, or on a Ray cluster."""

import functools
from collections.abc import Callable

from mlp_jax.machine import hosts
from mlp_jax.study.execute import Outcome
from mlp_jax.study.places import here, processes


def choose(
    ray: str | None,
    mesh: tuple[int, int] | None,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> Callable[..., Outcome]:
    """Return the function that runs a study: on Ray, shared with other processes (after they have joined), or alone.

    Args:
        ray: a cluster's address, "" for the cluster that runs here or is started here; None for no Ray.
        mesh: how the devices of a process are laid out, see `here.run`.
        distributed: share the study with the other processes of this run.
        coordinator, num_processes, process_id: see `hosts.start`.

    Raises:
        ValueError: the options do not go together, or as `hosts.start`.
        OSError: as `hosts.start`.
    """
    if ray is not None:
        if distributed:
            raise ValueError("--ray and --distributed are two ways to share a study; choose one of them")
        if mesh is not None:
            raise ValueError("--mesh lays out the devices of a process, and Ray gives each cell one; leave out --mesh")
        from mlp_jax.study.places import ray_cluster

        return functools.partial(ray_cluster.run, address=ray or None)
    if distributed:
        hosts.start(coordinator, num_processes, process_id)
        return functools.partial(processes.run, mesh=mesh)
    if (coordinator, num_processes, process_id) != (None, None, None):
        raise ValueError("--coordinator, --num-processes and --process-id are for --distributed; add it")
    return functools.partial(here.run, mesh=mesh)
