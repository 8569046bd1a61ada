"""An optimizer: its hyper-parameters, and the optax links that turn a gradient into the direction that is followed.

Invariant: the links are made from the hyper-parameters inside the traced function, so changing a value never
recompiles; only the names present decide the program.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from mlp_jax.optimizers.hyperparameters import Hyperparameter

ANY = ("clip", "weight_decay", "warmup_steps")
"""The hyper-parameters of links that an optimizer takes besides its own, unless its row says otherwise."""


class Links(NamedTuple):
    """The links of a direction: those before the weight decay, between that and the learning rate, and after both."""

    before: Iterable[optax.GradientTransformation] = ()
    between: Iterable[optax.GradientTransformation] = ()
    after: Iterable[optax.GradientTransformation] = ()


class Optimizer(NamedTuple):
    """One row of the table: hyper-parameters, and the direction whose negative is followed.

    `direction` takes the hyper-parameters and returns Links, or one link, or several, which then stand before the
    weight decay. With `rate_inside` it takes the learning rate of a step, a function, too, and its links return what
    is added to the parameters: the chain puts nothing but clipping around them.

    `evaluated` takes the optimizer's state and the parameters and returns the parameters that are evaluated and kept;
    None where these are the parameters themselves. `schedule` is what a schedule of `auto` means in a budget of steps.
    `version` is a hash of the module that an optimizer of others comes from, empty for those built in.
    """

    hyperparameters: Mapping[str, Hyperparameter]
    direction: Callable[..., Any]
    rate_inside: bool = False
    evaluated: Callable[[Any, Any], Any] | None = None
    links: tuple[str, ...] = ANY
    schedule: str = "cosine"
    version: str = ""


def as_links(made: Any) -> Links:
    """Return what a direction has returned as Links.

    Raises:
        ValueError: it is no link and holds none.
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
    """Return which of the parameters are matrices: those that decay."""
    return jax.tree.map(lambda p: p.ndim > 1, params)
