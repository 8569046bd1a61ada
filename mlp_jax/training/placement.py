"""How many trials a device runs at once, and how many fit into its memory.

Invariant: this decides where and when trials are computed, never their numbers.
"""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from mlp_jax import trial
from mlp_jax.machine import accelerators, devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.training.engine import Engine, on_cpu
from mlp_jax.trial import Cell, Data

PLACEMENTS = ("auto", "map", "vmap")
FAST_SHARE = 0.7  # of the memory on a chip may hold states; a step needs some of it too
PROBED = 64  # trials in the program whose memory is read


def block(placement: str | int, mesh: Mesh, cell: Cell, trials: int) -> int | None:
    """Return the `block` of Engine for a placement: map, vmap, a number of trials, or auto.

    auto is map on a CPU, where a trial's weights stay in the cache, and vmap elsewhere; on a TPU it is as many of
    `trials` at once as fit into the memory on its chip.

    Raises:
        ValueError: `placement` is none of these.
    """
    if isinstance(placement, int) and placement >= 1:
        return None if placement == 1 else placement
    if placement not in PLACEMENTS:
        raise ValueError(f"unknown placement {placement!r}; choose {', '.join(PLACEMENTS)} or a number of at least 1")
    if placement == "map" or (placement == "auto" and on_cpu(mesh)):
        return None
    return _on_chip(mesh, cell, trials) if placement == "auto" else 0


def _on_chip(mesh: Mesh, cell: Cell, trials: int) -> int:
    """Return the block whose states fit into the memory on the chip; 0 if all fit, or the chip has none.

    States of larger blocks are updated in the device's memory. By its compiler's estimate, a v5e then takes 6.9 µs for
    a step of one of 256 trials of 784-256-128-10, and 4.6 µs in blocks of 43.
    """
    known, each = accelerators.of(mesh.devices.flat[0]), -(-trials // mesh.shape["trial"])
    held, _ = trial.needed_bytes(cell, trial.complete(cell))
    most = int(FAST_SHARE * known.fast // held) if known is not None else 0
    return -(-each // -(-each // most)) if 1 < most < each else 0


def fitting(engine: Engine, hyper: Mapping[str, object], of_data: int) -> int:
    """Estimate how many trials fit on the devices beside the data; states count twice, since programs may copy them.

    Raises:
        ValueError: not even one trial fits.
    """
    held, working = trial.needed_bytes(engine.cell, hyper)
    device = engine.mesh.devices.flat[0]
    free, together = devices.free_memory(device), engine.block == 0
    each = 2 * held + (working if together else 0)
    shared = of_data + (0 if together else working * (engine.block or 1))
    devices.check_memory(each + shared, device)
    return int((devices.MEMORY_SHARE * free - shared) // each) * engine.shards


def compiled_fitting(
    engine: Engine, hyper: Mapping[str, object], data: dict[str, Data], points: int, lanes: int = PROBED
) -> int:
    """Return how many trials fit, judged by the program for `lanes` trials; `data` are on the devices already."""
    compiled = engine.compile(Clock(), data, hyper, engine.lanes(lanes), points)
    free = devices.free_memory(engine.mesh.devices.flat[0])
    return max(engine.shards, holding(engine, compiled, engine.lanes(lanes), data, devices.MEMORY_SHARE * free))


def holding(engine: Engine, compiled: Any, lanes: int, data: Mapping[str, Data], free: float) -> int:
    """Return how many trials fit into `free` bytes of each device beside `data`, by the program for `lanes` trials.

    The program's working memory grows with the number of trials that it runs at once.
    """
    working, each = compiled.memory_analysis().temp_size_in_bytes, lanes // engine.shards
    kept = program_bytes(compiled) - working - data_bytes(data)
    if engine.block == 0:
        kept, working = kept + working, 0
    return max(0, int((free - working) // (kept / each))) * engine.shards


def data_bytes(data: Mapping[str, Data]) -> int:
    """Return the bytes of data, which may also be shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(dict(data)))


def program_bytes(compiled: Any) -> int:
    """Return the bytes that a compiled program needs on a device while it runs, including its arguments."""
    took = compiled.memory_analysis()
    new = took.output_size_in_bytes - took.alias_size_in_bytes
    return took.argument_size_in_bytes + new + took.temp_size_in_bytes
