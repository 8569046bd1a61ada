"""Training to be timed: one trial alone, or many on all devices, on rows of noise.

Invariant: it runs on the engine of all training, and a trial that failed is an error, since its steps cost no time.
"""

import copy
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mlp_jax import stopping
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.model import Network, Params
from mlp_jax.training.engine import Engine
from mlp_jax.training.look import Look
from mlp_jax.training.placement import block
from mlp_jax.trial import Cell, Data


def noise(network: Network, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `rows` rows of random uint8 and their labels, the same ones every time."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, network.inputs), dtype=np.uint8)
    return x, rng.integers(0, network.outputs, rows).astype(np.int32)


def held(x: np.ndarray, y: np.ndarray) -> Data:
    """Put rows of uint8 and their labels on the device, to be normalised to numbers from 0 to 1."""
    return Data(jnp.asarray(x), jnp.asarray(y), jnp.zeros(()), jnp.float32(1 / 255))


class Together:
    """Trials on all devices, placed by the engine; trial i has seed i. `seconds` is the time of compiling."""

    def __init__(
        self,
        cell: Cell,
        values: Mapping[str, float],
        data: Data,
        trials: int,
        placement: str | int = "auto",
        mesh: Mesh | None = None,
    ) -> None:
        mesh = mesh or devices.mesh()
        self._engine = Engine(cell, mesh, block(placement, mesh, cell, trials), ("train",))
        self._clock, self._step = Clock(), 0
        lanes = self._engine.lanes(trials)
        hyper = {name: np.full(lanes, value, np.float32) for name, value in values.items()}
        self._data = {"train": self._engine.put_everywhere(data)}
        self._hyper, self._seeds, self._running = self._engine.put(
            (hyper, np.arange(lanes, dtype=np.uint32), np.arange(lanes) < trials)
        )
        self.lanes = self._engine.room(self._engine.start(Clock(), self._hyper, self._seeds), 1)
        self.run(0)
        self.seconds = self._clock["tracing"] + self._clock["compilation"]

    @property
    def params(self) -> Params:
        """The parameters of all lanes, stacked."""
        return self.lanes.state.params

    def first(self) -> "Together | None":
        """Return the first trial alone in the same program, if idle lanes cost no time there; otherwise None."""
        if self._engine.block is not None:
            return None
        alone = copy.copy(self)
        alone._running = self._engine.put(np.arange(len(self._seeds)) < 1)
        alone.lanes = jax.tree.map(jnp.copy, self.lanes)
        return alone

    def run(self, count: int) -> None:
        """Take `count` steps of every trial in one call, and await them."""
        size = self.lanes.batch_loss.shape[1]
        from_to = (np.int32(self._step), np.int32(self._step + count), np.int32(0), np.int32(0))
        none = np.zeros(size, np.int32)
        look = Look(
            *from_to, none, none.astype(bool), none, np.full(size, stopping.limit(self._engine.cell.loss, 1, None))
        )
        of_trials = (self._hyper, self._seeds, self._running, self.lanes)
        self.lanes = self._engine.advance("training", self._clock, look, self._data, *of_trials)
        self._step += count
        _check(self._engine.cell, self.lanes.state.failed)


class Alone(Together):
    """One trial on one device, as `mlp-jax train` runs it, which begins with `params` or with weights of its own."""

    def __init__(self, cell: Cell, values: Mapping[str, float], data: Data, params: Params | None = None) -> None:
        super().__init__(cell, values, data, 1, mesh=devices.mesh((1, 1), jax.local_devices()[:1]))
        if params is not None:
            stacked = self._engine.put(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params))
            self.lanes = self.lanes._replace(state=self.lanes.state._replace(params=stacked))


def _check(cell: Cell, failed: jax.Array) -> None:
    if (np.asarray(failed) >= 0).any():
        raise ValueError(
            f"a trial of {cell.optimizer} at batch size {cell.batch_size} had a loss that is not finite; it would take "
            "no more steps, and no more time"
        )
