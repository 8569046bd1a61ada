"""Optimizers: a table from names to hyper-parameters and optax chains, which are built inside the traced function.

Invariant: every constant of an optimizer is a hyper-parameter: an entry in a dictionary of traced scalars, with its
default in the table. Only the names in the dictionary decide the program, so changing a value never recompiles.
"""

from typing import Any

import optax
from jaxtyping import ArrayLike, Float

from mlp_jax.optimizers import chain
from mlp_jax.optimizers.classical import CLASSICAL
from mlp_jax.optimizers.hyperparameters import Hyper, Hyperparameter, Range, check_value, rate
from mlp_jax.optimizers.optimizer import Links, Optimizer
from mlp_jax.optimizers.recent import RECENT
from mlp_jax.optimizers.registry import (
    BUILT_IN,
    NAMES,
    OPTIMIZERS,
    complete,
    find,
    put,
    register,
    table,
    version,
    whole,
)
from mlp_jax.optimizers.schedules import LINKS, REGULARIZERS, SCHEDULES, factor

__all__ = [
    "BUILT_IN", "CLASSICAL", "LINKS", "NAMES", "OPTIMIZERS", "RECENT", "REGULARIZERS", "SCHEDULES", "Hyper",
    "Hyperparameter", "Links", "Optimizer", "Range", "build", "check_value", "complete", "evaluated", "factor",
    "find", "put", "rate", "register", "table", "update", "version", "whole",
]  # fmt: skip


def build(name: str, schedule: str, hyper: Hyper) -> optax.GradientTransformation:
    """Return the optax chain: clip → direction → weight decay (of matrices) → −learning rate · schedule → rest.

    >>> import jax.numpy as jnp
    >>> transform = build("sgd", "constant", {"learning_rate": 0.1})
    >>> updates, _ = transform.update({"W": jnp.ones(2)}, transform.init({"W": jnp.zeros(2)}))
    >>> updates["W"].tolist()
    [-0.10000000149011612, -0.10000000149011612]

    Args:
        hyper: a scalar, which may be traced, for each name that `complete` returns.
    """
    return chain.links(find(name), schedule, hyper)


def update(
    name: str,
    schedule: str,
    hyper: Hyper,
    grads: Any,
    opt_state: optax.OptState,
    params: Any,
    loss: Float[ArrayLike, ""] | None = None,
) -> tuple[Any, optax.OptState]:
    """Return the parameters and the optimizer's state after one update with `grads`, a pytree like `params`.

    `loss` is the loss of the mini-batch, for links that need it; optax calls it `value`.
    """
    made = optax.with_extra_args_support(build(name, schedule, hyper))
    updates, opt_state = made.update(grads, opt_state, params, **({} if loss is None else {"value": loss}))
    return optax.apply_updates(params, updates), opt_state


def evaluated(name: str, opt_state: optax.OptState, params: Any) -> Any:
    """Return the parameters to evaluate and keep: for most optimizers `params` themselves."""
    of_state = find(name).evaluated
    return params if of_state is None else of_state(opt_state, params)
