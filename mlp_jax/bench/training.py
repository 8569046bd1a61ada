"""Training timed: one step of one trial at a batch size, and trial-steps of many trials together.

Invariant: where training does not fit into memory, its row says so instead of the numbers.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from mlp_jax import trial
from mlp_jax.bench import ceilings, workloads
from mlp_jax.bench.effort import Effort
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import median_seconds
from mlp_jax.model import Network
from mlp_jax.training import placement
from mlp_jax.training.engine import Engine
from mlp_jax.trial import Cell, Data

LEARNING_RATE = 1e-3
TOGETHER = 32  # the batch size of the population


def step(network: Network, batch_size: int, data: Data, effort: Effort) -> dict[str, Any]:
    """Time a step of one trial alone, as `mlp-jax train` runs it."""
    cell = Cell(network=network, batch_size=batch_size)
    values = trial.complete(cell, learning_rate=LEARNING_RATE)
    held, working = trial.needed_bytes(cell, values)
    with _of_memory():
        devices.check_memory(2 * held + working + 4 * batch_size, jax.devices()[0])
    trained = workloads.Alone(cell, values, data)
    seconds = median_seconds(trained.run, effort.seconds, effort.rounds)
    return {"step_seconds": seconds, "examples_per_second": batch_size / seconds, "compile_seconds": trained.seconds}


def together(network: Network, count: int, data: Data, effort: Effort) -> dict[str, Any]:
    """Time `count` trials together on all devices, as `mlp-jax study` tunes them."""
    cell, mesh = Cell(network=network, batch_size=TOGETHER), devices.mesh()
    values = trial.complete(cell, learning_rate=LEARNING_RATE)
    programs = Engine(cell, mesh, placement.block("auto", mesh, cell, count))
    with _of_memory():
        fits = placement.fitting(programs, values, data.x.nbytes + data.y.nbytes)
    if fits < count:
        raise MemoryError(f"{fits} trials fit into the memory that is free")
    trained = workloads.Together(cell, values, data, count)
    rate = count / median_seconds(trained.run, effort.call_seconds, effort.rounds)
    flops = ceilings.flops(ceilings.products(network, TOGETHER))
    speed = {"trial_steps_per_second": rate, "flops_per_second": rate * flops}
    return {"batch_size": TOGETHER} | speed | {"compile_seconds": trained.seconds}


def or_memory(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of `make`, or the error message if it does not fit into memory."""
    try:
        return make()
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"error": one_line(error)}


@contextlib.contextmanager
def _of_memory() -> Iterator[None]:
    """Turn a ValueError that says what does not fit into a MemoryError."""
    try:
        yield
    except ValueError as error:
        raise MemoryError(str(error)) from error


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
