"""The devices that JAX has here: how many CPU devices it starts, a mesh of them, and what memory they have free.

Importing this starts no back end.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

MEMORY_SHARE = 0.8  # of what a device has free


def start_cpu_devices(count: int | None = None) -> None:
    """Make JAX see `count` CPU devices, by default $JAX_NUM_CPU_DEVICES or one a core, before anything runs on JAX.

    When the back end has started with fewer, warn and go on with these.
    """
    asked = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]  # −1 where nobody asked
    count = count or (asked if asked > 0 else cores())
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        if (there := len(jax.devices("cpu"))) < count:
            warnings.warn(
                f"JAX has started with {there} CPU device(s), so {count} cores are not all used; call "
                "mlp_jax.devices.start_cpu_devices() before the first computation",
                stacklevel=2,
            )


def missing_back_end() -> str | None:
    """Say why JAX can't start a back end, and what to do; None if it can."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second where nothing of the name is installed
        asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        why = next(iter(str(error).splitlines()), f"nothing for {asked} is installed")
        return (
            f"JAX can't start its back end ({why}); leave JAX_PLATFORMS unset for what is here, or install what it "
            "names: pip install 'jax[cuda13]' for a GPU, 'jax[tpu]' for a TPU"
        )
    return None


def mesh(shape: tuple[int, int] | None = None, there: Sequence[Any] | None = None) -> Mesh:
    """Return `there`, by default this process's devices, as a mesh with the axes trial and data; neighbours share data.

    Args:
        shape: how many lie along each axis; None is all along the trial axis.

    Raises:
        ValueError: `shape` does not multiply to the devices.
    """
    there = jax.local_devices() if there is None else there
    trial, data = shape or (len(there), 1)
    if trial < 1 or data < 1 or trial * data != len(there):
        fitting = ", ".join(f"{len(there) // d} × {d}" for d in range(1, len(there) + 1) if len(there) % d == 0)
        raise ValueError(f"mesh {trial} × {data} does not fit the {len(there)} device(s) here; give one of {fitting}")
    return Mesh(np.asarray(there).reshape(trial, data), ("trial", "data"))


def free_memory(device: Any) -> int:
    """Return the bytes that are free on a device; CPU devices share what the machine has available."""
    if statistics := device.memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return _available_memory() // max(1, jax.local_device_count())


def check_memory(needed: int, device: Any) -> None:
    """Raise a ValueError if one trial, with its data, needs more bytes than MEMORY_SHARE of what is free."""
    free = free_memory(device)
    if needed > MEMORY_SHARE * free:
        raise ValueError(
            f"one trial needs {needed / 2**20:,.0f} MiB with its data, and a device has {free / 2**20:,.0f} MiB free; "
            "choose narrower layers or a smaller batch"
        )


def cores() -> int:
    """Return how many cores this process may use."""
    import psutil

    process = psutil.Process()
    return len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def memory() -> int:
    """Return the bytes of memory that this machine has."""
    import psutil

    return psutil.virtual_memory().total


def _available_memory() -> int:
    import psutil

    return psutil.virtual_memory().available
