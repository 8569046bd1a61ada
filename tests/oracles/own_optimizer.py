"""The text of a module with an optimizer of its own: two hyper-parameters of new names and a state of its own."""

MODULE = """
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlp_jax import optimizers
from mlp_jax.checks import FRACTION, NON_NEGATIVE
from mlp_jax.optimizers import Hyperparameter, Range


class Memory(NamedTuple):
    mean: optax.Updates
    count: jax.Array


def direction(h):
    def init(params):
        return Memory(jax.tree.map(jnp.zeros_like, params), jnp.int32(0))

    def update(grads, state, params=None):
        mean = jax.tree.map(lambda m, g: h["rho"] * m + g, state.mean, grads)
        return jax.tree.map(lambda m, g: g + h["gamma"] * m, mean, grads), Memory(mean, state.count + 1)

    return optax.GradientTransformation(init, update)


OWN = optimizers.register(
    "own_remembering",
    direction,
    optimizers.rate(0.05, 1e-3, 1.0, "here")
    | {
        "rho": Hyperparameter(0.5, FRACTION, Range(0.1, 0.9, "linear"), "share kept", "here"),
        "gamma": Hyperparameter(1.0, NON_NEGATIVE, Range(0.1, 10.0), "weight of the mean", "here"),
    },
)
"""


def steps(h: dict, sequence) -> list:
    """What MODULE's optimizer adds to the parameters at each step, in NumPy."""
    mean, added = 0, []
    for G in sequence:
        mean = h["rho"] * mean + G
        added.append(-h["learning_rate"] * (G + h["gamma"] * mean))
    return added
