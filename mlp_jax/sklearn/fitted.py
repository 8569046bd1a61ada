"""The result of fitting an estimator: a network, its parameters, and the constants of its data.

Invariant: its arrays are on the host; devices get copies.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import model
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import shared
from mlp_jax.rows import Data
from mlp_jax.sklearn import fitting, parameters
from mlp_jax.sklearn.fitting import Fit, Part
from mlp_jax.sklearn.parameters import Asked, Constants
from mlp_jax.training.config import Config
from mlp_jax.trial import Cell, TrialState


@dataclass
class Fitted:
    """A network with its parameters; `state` is the trial's after the last training, which was by `cell`, or None.

    `dtype` is the type of X in training: everything is computed in it.
    """

    config: Config
    cell: Cell
    constants: Constants
    classes: int
    dtype: np.dtype
    params: Any = None
    state: TrialState | None = None

    @classmethod
    def of(cls, given: dict[str, Any], x: np.ndarray, target: np.ndarray, weight: Any, classes: int) -> "Fitted":
        """Make an untrained Fitted of an estimator's parameters and its first data."""
        config = parameters.config(given, regression=not classes)
        constants = parameters.constants(given["scaling"], x, None if classes else target, weight)
        if config.output == "relu":
            constants = constants._replace(target_center=0 * constants.target_center)
        cell = parameters.network_of(config, x, target if classes else constants.target(target), classes)
        return cls(config, cell, constants, classes, x.dtype)

    def asked(self, given: dict[str, Any], n: int, weight: np.ndarray | None, *, stream: bool = False) -> Asked:
        """Return the plan of a fit on `n` examples with these weights."""
        config = parameters.config(given, regression=not self.classes)
        each = 1.0 if weight is None else float(np.mean(weight))
        cell = Cell(network=self.cell.network, loss=self.cell.loss, optimizer=config.optimizer)
        return parameters.asked(given, config, cell, n, parameters.rows_for(n), each=each, stream=stream)

    def start(self, asked: Asked, seed: int) -> TrialState:
        """Return the state with which a fit begins: weights drawn from the seed, or the present ones."""
        with jax.enable_x64(self.dtype == np.float64):
            state = fitting.start(asked.plan.cell, asked.hyper, seed)
        return state if self.params is None else state._replace(params=self.params)

    def stream(self, asked: Asked, seed: int) -> TrialState:
        """Return the state with which the next epoch of a stream begins."""
        same = self.state is not None and self.cell.starting == asked.plan.cell.starting
        return self.state if same else self.start(asked, seed)  # pyright: ignore[reportReturnType]

    def train(
        self, asked: Asked, x: np.ndarray, target: np.ndarray, weight: Any, held: Any, state: Any, seed: int, told: bool
    ) -> Fit:
        """Run a fit to its end and keep its result; with `told`, print the loss of each epoch."""
        n, rows = len(x), parameters.rows_for(len(x))
        whole = asked.plan.cell.batch_size == rows
        data = self._data(x, target, weight, rows, whole)
        part = Part(None if whole else np.arange(rows, dtype=np.int32), np.int32(n))
        scored = None if held is None else self._data(held[0], held[1], held[2], len(held[0]), False)
        with jax.enable_x64(self.dtype == np.float64):
            fit = fitting.begin(asked.plan, state)
            for epochs in range(1, asked.rules.epochs + 1) if told else (asked.rules.epochs,):
                rules = asked.rules._replace(epochs=epochs)
                fit = fitting.alone(asked.plan, rules, asked.hyper, seed, data, part, scored, fit)
                if told and fit.epoch == epochs:
                    print(f"Iteration {epochs}, loss = {fit.losses[epochs - 1]:.8f}")
            params = jax.tree.map(np.asarray, fit.params(asked.plan.cell))
        self.params, self.state, self.cell = params, fit.state, asked.plan.cell
        return fit

    def outputs(self, x: Any) -> np.ndarray:
        """Return the network's output for each row, in the unit of y; for classes, the probability of each."""
        x = x.toarray() if hasattr(x, "toarray") else x
        rows = parameters.rows_for(len(x))
        seen = parameters.padded(self.constants.seen(x).astype(self.dtype), rows)
        with jax.enable_x64(self.dtype == np.float64):
            program = shared(_outputs, self.cell.network)
            outputs = np.asarray(program("evaluation", Clock(), self.params, seen))[: len(x)]
        if self.classes:
            return outputs
        return self.constants.of_outputs(outputs).astype(self.dtype)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return W, of shape (inputs, outputs), and b of each layer, converted for X and y in their own units."""
        layers = [(W.T.astype(np.float64), b.astype(np.float64)) for W, b in self.params]
        W, b = layers[0]
        W = W * self.constants.scale[:, None]
        layers[0] = W, b - self.constants.center @ W
        if not self.classes:
            W, b = layers[-1]
            layers[-1] = W * self.constants.target_scale, self.constants.of_outputs(b)
        return [(W.astype(self.dtype), b.astype(self.dtype)) for W, b in layers]

    def _data(self, x: np.ndarray, target: np.ndarray, weight: Any, rows: int, whole: bool) -> Data:
        """Return examples in the form for the device, padded to `rows` rows; with `whole`, all rows get weights."""
        n, one = len(x), np.ones((), self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            seen = self.constants.seen(x).astype(self.dtype)
        if not np.isfinite(seen).all():
            raise ValueError("X holds values that are too large once they are scaled; give another unit")
        y = target if self.classes else self.constants.target(target).astype(self.dtype)
        if whole or weight is not None:
            weight = np.ones(n) if weight is None else weight / np.mean(weight)
            weight = parameters.padded((weight * (rows / n if whole else 1)).astype(self.dtype), rows)
        return Data(parameters.padded(seen, rows), parameters.padded(y, rows), 0 * one, one, weight)  # pyright: ignore[reportArgumentType]


def _outputs(network: model.Network):
    def one(params, x):
        z = model.forward(network, params, x)
        # a small probability keeps its digits only if it is not computed as 1 − the other class's
        return model.output(network, jnp.concatenate([-z, z]) if network.output == "sigmoid" else z)

    return jax.jit(jax.vmap(one, in_axes=(None, 0)))
