"""The devices that JAX has here: how many CPU devices it starts, a mesh of devices, and their free memory.

Importing this module starts no back end.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

MEMORY_SHARE = 0.8  # of a device's free memory


def start_cpu_devices(count: int | None = None) -> None:
    """Make JAX use `count` CPU devices (default: $JAX_NUM_CPU_DEVICES, or one per core); call it before JAX computes.

    If the back end has already started with fewer devices, warn and go on with those.
    """
    asked = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]  # −1 if it was not set
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
    except (RuntimeError, AssertionError) as error:  # AssertionError: no such platform is installed
        asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        why = next(iter(str(error).splitlines()), f"nothing for {asked} is installed")
        return (
            f"JAX can't start its back end ({why}); leave JAX_PLATFORMS unset for what is here, or install what it "
            "names: pip install 'jax[cuda13]' for a GPU, 'jax[tpu]' for a TPU"
        )
    return None


def mesh(shape: tuple[int, int] | None = None, there: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh of devices with the axes trial and data; devices along the data axis are neighbours.

    Args:
        shape: the number of devices along each axis; None puts all along the trial axis.
        there: the devices (default: those of this process).

    Raises:
        ValueError: `shape` does not multiply to the number of devices.
    """
    there = jax.local_devices() if there is None else there
    trial, data = shape or (len(there), 1)
    if trial < 1 or data < 1 or trial * data != len(there):
        fitting = ", ".join(f"{len(there) // d} × {d}" for d in range(1, len(there) + 1) if len(there) % d == 0)
        raise ValueError(f"mesh {trial} × {data} does not fit the {len(there)} device(s) here; give one of {fitting}")
    return Mesh(np.asarray(there).reshape(trial, data), ("trial", "data"))


def free_memory(device: Any) -> int:
    """Return the free bytes of a device; CPU devices share the available memory of the machine."""
    if statistics := device.memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return _available_memory() // max(1, jax.local_device_count())


def check_memory(needed: int, device: Any) -> None:
    """Raise a ValueError if one trial, with its data, needs more than MEMORY_SHARE of the free memory."""
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
