"""How devices share the work: trials along one axis of the mesh, the rows of a mini-batch along the other.

Invariant: a layout decides where numbers are computed and does not change them, except for the rounding of sums. All
examples are on every device; devices share only the work on them.
"""

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from mlp_jax import trial
from mlp_jax.machine import devices

LEAST_ROWS = trial.GRADIENT_ROWS
"""The least rows per device, one piece of the gradient: with sharing, each step waits for a sum over all devices.

This bound was not measured: it is unknown where sharing begins to pay on an accelerator.
"""


def choose(count: int, trials: int, batch_size: int) -> tuple[int, int]:
    """Return how many of `count` devices to put along the trial and the data axis of the mesh.

    Trials come first, since they need not wait for each other. Devices share a trial's rows only if there are more
    devices than trials, and only so many that each has LEAST_ROWS.
    """
    pays = lambda data: data * trials <= count and data * LEAST_ROWS <= batch_size
    data = max(data for data in range(1, count + 1) if count % data == 0 and (data == 1 or pays(data)))
    return count // data, data


def data_axis(mesh: Mesh) -> str | None:
    """Return the name of the axis along which devices share rows; None if each device takes all rows."""
    return "data" if mesh.shape["data"] > 1 else None


def of_one_trial(asked: tuple[int, int] | None, batch_size: int) -> Mesh:
    """Return the mesh for a trial that trains alone.

    Args:
        asked: (1, number of devices), (1, 1) for one device, or None: as many devices of this process as are useful; on
            a CPU that is one, whose threads already share the rows of a product.

    Raises:
        ValueError: `asked` is neither.
    """
    there = jax.local_devices()
    if asked is None:
        data = 1 if there[0].platform == "cpu" else choose(len(there), 1, batch_size)[1]
        return devices.mesh((1, data), there[:data])
    if tuple(asked) == (1, 1):
        return devices.mesh((1, 1), there[:1])
    if asked[0] != 1:
        raise ValueError(
            f"mesh {asked[0]} × {asked[1]} is for many trials, and this is one; give 1 × {len(there)}, or 1 × 1"
        )
    return devices.mesh(asked)


def put_everywhere(mesh: Mesh, values: PyTree) -> PyTree:
    """Copy arrays to every device."""
    return jax.device_put(values, NamedSharding(mesh, PartitionSpec()))
