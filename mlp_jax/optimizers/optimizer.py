"""An optimizer: its hyper-parameters, and the optax links that turn a gradient into a direction.

Invariant: the links are made from the hyper-parameters inside the traced function. Only the names of the
hyper-parameters decide the program, so changing a value never recompiles.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from mlp_jax.optimizers.hyperparameters import Hyperparameter

ANY = ("clip", "weight_decay", "warmup_steps")
"""Hyper-parameters that every optimizer takes besides its own, unless its row in the table says otherwise."""


class Links(NamedTuple):
    """The links of a direction: before the weight decay, between it and the learning rate, and after the rate."""

    before: Iterable[optax.GradientTransformation] = ()
    between: Iterable[optax.GradientTransformation] = ()
    after: Iterable[optax.GradientTransformation] = ()


class Optimizer(NamedTuple):
    """One row of the table: hyper-parameters, and the direction; a step goes along its negative.

    `direction` takes the hyper-parameters and returns Links, or one or several links, which are put before the weight
    decay. With `rate_inside` it also takes a function that gives the learning rate of a step, and its links return what
    is added to the parameters: the chain adds nothing but clipping.

    `evaluated` takes the optimizer's state and the parameters, and returns the parameters to evaluate and keep; None
    stands for the parameters themselves. `schedule` is the schedule that `auto` means if the budget is in steps.
    `version` is a hash of the module of an optimizer that is not built in, and empty for the others.
    """

    hyperparameters: Mapping[str, Hyperparameter]
    direction: Callable[..., Any]
    rate_inside: bool = False
    evaluated: Callable[[Any, Any], Any] | None = None
    links: tuple[str, ...] = ANY
    schedule: str = "cosine"
    version: str = ""


def as_links(made: Any) -> Links:
    """Return the result of a direction as Links.

    Raises:
        ValueError: the result is neither a link nor several links.
    """
    if isinstance(made, optax.GradientTransformation):
        made = Links(before=(made,))
    elif not isinstance(made, Links) and isinstance(made, Iterable):
        made = Links(before=tuple(made))
    every = [link for group in made for link in group] if isinstance(made, Links) else [made]
    if wrong := [link for link in every if not isinstance(link, optax.GradientTransformation)]:
        raise ValueError(
            f"its direction returns {type(wrong[0]).__name__}; let it return an optax.GradientTransformation"
        )
    return made


def matrices(params: optax.Params) -> optax.Params:
    """Return which of the parameters are matrices: weight decay applies to these alone."""
    return jax.tree.map(lambda p: p.ndim > 1, params)
