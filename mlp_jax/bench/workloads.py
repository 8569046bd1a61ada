"""Training to be timed: one trial alone, or many on all devices, on rows of noise.

Invariant: what runs is `trial.advance` or the engine of `mlp_jax.population`, and a trial that failed, which would
cost nothing, is an error.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import trial
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import Program
from mlp_jax.model import Network, Params
from mlp_jax.training.engine import Programs, block
from mlp_jax.trial import Cell, Data


def noise(network: Network, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return so many rows of uint8 and labels, the same every time."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, network.inputs), dtype=np.uint8)
    return x, rng.integers(0, network.outputs, rows).astype(np.int32)


def held(x: np.ndarray, y: np.ndarray) -> Data:
    """Put rows of uint8 and their labels on the device; they become numbers from 0 to 1."""
    return Data(jnp.asarray(x), jnp.asarray(y), jnp.zeros(()), jnp.float32(1 / 255))


class Alone:
    """One trial on one device, from `params`, which stay whole, or from its own; `seconds` are those of compiling."""

    def __init__(self, cell: Cell, values: Mapping[str, float], data: Data, params: Params | None = None) -> None:
        self._cell = cell
        self._fixed = ({name: jnp.float32(value) for name, value in values.items()}, jnp.uint32(0), data)
        self.state = jax.jit(trial.start, static_argnums=0)(cell.starting, *self._fixed[:2])
        if params is not None:
            self.state = self.state._replace(params=jax.tree.map(jnp.copy, params))
        self._advance, self._clock = Program(trial.advance, cell), Clock()
        self._advance.compile(self._clock, *self._fixed, self.state, np.int32(0))
        self.seconds = self._clock["tracing"] + self._clock["compilation"]

    def run(self, count: int) -> None:
        """Take so many steps and await them."""
        self.state = self._advance("training", self._clock, *self._fixed, self.state, np.int32(count))
        _check(self._cell, self.state.failed)


class Together:
    """Trials on all devices, as the engine lays them; trial i has seed i. `seconds` are those of compiling."""

    def __init__(
        self, cell: Cell, values: Mapping[str, float], data: Data, trials: int, placement: str | int = "auto"
    ) -> None:
        mesh = devices.mesh()
        self._engine, self._clock = Programs(cell, mesh, block(placement, mesh)), Clock()
        lanes = -(-trials // self._engine.multiple) * self._engine.multiple
        hyper = {name: np.full(lanes, value, np.float32) for name, value in values.items()}
        self._data = self._engine.put_everywhere(data)
        self._hyper, self._seeds = self._engine.put((hyper, np.arange(lanes, dtype=np.uint32)))
        self._takes = np.arange(lanes) < trials
        self.states = self._engine.start(Clock(), self._hyper, self._seeds)
        self.run(0)
        self.seconds = self._clock["tracing"] + self._clock["compilation"]

    def run(self, count: int) -> None:
        """Take so many steps of every trial, in one call, and await them."""
        num_steps = self._engine.put(np.where(self._takes, count, 0).astype(np.int32))
        of_trials = (self._hyper, self._seeds, self.states, num_steps)
        self.states = self._engine.advance(self._clock, self._data, *of_trials)
        _check(self._engine.cell, self.states.failed)


def _check(cell: Cell, failed: jax.Array) -> None:
    if (np.asarray(failed) >= 0).any():
        raise ValueError(
            f"a trial of {cell.optimizer} at batch size {cell.batch_size} had a loss that is not finite; it would take "
            "no more steps, and no more time"
        )
