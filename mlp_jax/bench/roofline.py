"""The measured ceilings of this machine, and the least time that a step of training needs under them."""

from typing import NamedTuple

from jax.sharding import Mesh

from mlp_jax.bench import ceilings
from mlp_jax.bench.effort import ACCELERATOR, Effort
from mlp_jax.machine.clocks import median_seconds
from mlp_jax.model import Network, parameter_count
from mlp_jax.training import engine


class Ceilings(NamedTuple):
    """What one device, or all of them together, can do at most.

    `call_seconds` is the time to call and await a program that does nothing, `turn_seconds` the time of one turn of a
    loop inside a program: no step is shorter.
    """

    flops_per_second: float
    bytes_per_second: float
    call_seconds: float
    turn_seconds: float


class Roofline(NamedTuple):
    """The least that a step needs: its FLOP, its bytes, the seconds of the slowest part, and the name of that part."""

    flops: int
    bytes: int
    seconds: float
    bound: str


def need(network: Network, batch_size: int, limits: Ceilings, state_rate: float) -> Roofline:
    """Return the least that a step with momentum needs.

    Weights and momenta are read and written once, at `state_rate` bytes per second: the rate measured for arrays of
    their size, which may stay in a cache. The rows are read once, as uint8.
    """
    flops = ceilings.flops(ceilings.products(network, batch_size))
    state, rows = 16 * parameter_count(network), batch_size * network.inputs
    needs = {
        "compute": flops / limits.flops_per_second,
        "memory": state / state_rate + rows / limits.bytes_per_second,
        "latency": limits.turn_seconds,
    }
    bound = max(needs, key=lambda name: needs[name])
    return Roofline(flops, state + rows, needs[bound], bound)


def measured(mesh: Mesh, effort: Effort, orientation: ceilings.Orientation) -> Ceilings:
    """Measure what the devices of `mesh` do at the same time, with large products in the given `orientation`."""
    numbers = _scale(mesh) * effort.numbers
    timed = lambda run: median_seconds(run, effort.seconds, effort.rounds)
    return Ceilings(
        flops_per_second=product_rate(mesh, effort, orientation),
        bytes_per_second=mesh.size * 8 * numbers / timed(ceilings.update(mesh, numbers)),
        call_seconds=timed(ceilings.call()),
        turn_seconds=timed(ceilings.update(mesh, 1)),
    )


def fastest(mesh: Mesh, effort: Effort) -> ceilings.Orientation:
    """Return the orientation in which large products take the least time."""
    return ceilings.fastest(mesh, ceilings.square(_scale(mesh) * effort.width), 1)


def product_rate(mesh: Mesh, effort: Effort, orientation: ceilings.Orientation) -> float:
    """Return the FLOP per second of large products on all devices of `mesh` together."""
    width = _scale(mesh) * effort.width
    run = ceilings.large(mesh, width, orientation)
    return mesh.size * 2 * width**3 / median_seconds(run, effort.seconds, effort.rounds)


def _scale(mesh: Mesh) -> int:
    return 1 if engine.on_cpu(mesh) else ACCELERATOR
