"""Optimizers: a table from a name to an optax chain that is built inside the traced function.

Invariant: every constant of an optimizer is a hyper-parameter, an entry of a dictionary of traced scalars with a
default pinned here; only the names present decide the program, so changing a value never recompiles.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Int

from mlp_jax import checks
from mlp_jax.checks import FRACTION, NON_NEGATIVE, POSITIVE, RATIO, Domain, choose, whole

Hyper = Mapping[str, Float[Array, ""] | float]


class Range(NamedTuple):
    """Where a search looks: from `low` to `high`, evenly on `scale`, as `study.spaces.Space` has them."""

    low: float
    high: float
    scale: str = "log"


class Hyperparameter(NamedTuple):
    """One constant: its default, its domain, where to search, its unit, and where the default comes from."""

    default: float | None  # None: the link that it belongs to is left out
    domain: Domain
    search: Range | None  # None: no range is known to hold the best value of most workloads
    unit: str
    source: str


class Optimizer(NamedTuple):
    """One row of the table: hyper-parameters, and the direction whose negative is followed.

    `direction` returns the links before the learning rate and those after it.
    """

    hyperparameters: dict[str, Hyperparameter]
    direction: Callable[[Hyper], tuple[list[optax.GradientTransformation], list[optax.GradientTransformation]]]


def _rate(default: float, low: float, high: float, source: str) -> dict[str, Hyperparameter]:
    """Return the learning rate; the decades from `low` to `high` hold the best one from B = 1 to the full gradient."""
    row = Hyperparameter(default, POSITIVE, Range(low, high), "parameter per unit of direction", source)
    return {"learning_rate": row}


def _fraction(name: str, default: float, source: str) -> dict[str, Hyperparameter]:
    return {name: Hyperparameter(default, FRACTION, None, "share kept per step", source)}


def _epsilon(default: float, unit: str, source: str) -> dict[str, Hyperparameter]:
    return {"epsilon": Hyperparameter(default, NON_NEGATIVE, None, unit, source)}


def _adam(rate: float, source: str) -> dict[str, Hyperparameter]:
    betas = _fraction("beta1", 0.9, "Kingma & Ba 2015") | _fraction("beta2", 0.999, "Kingma & Ba 2015")
    return _rate(rate, 1e-4, 0.1, source) | betas | _epsilon(1e-8, "gradient (added to the root)", "Kingma & Ba 2015")


def _betas(hyper: Hyper) -> dict:
    return {"b1": hyper["beta1"], "b2": hyper["beta2"], "eps": hyper["epsilon"]}


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(_rate(0.1, 1e-3, 10.0, "Bengio 2012, within his range"), lambda h: ([], [])),
    "momentum": Optimizer(  # V ← βV + G; W ← W − αV, as in the slides (heavy ball)
        _rate(0.05, 1e-4, 1.0, "half of sgd's: V is up to 1/(1−β) times G") | _fraction("momentum", 0.9, "Ruder 2016"),
        lambda h: ([optax.trace(decay=h["momentum"])], []),  # pyright: ignore[reportArgumentType]
    ),
    "nesterov": Optimizer(  # W ← W − α(G + βV)
        _rate(0.05, 1e-4, 1.0, "as momentum") | _fraction("momentum", 0.9, "Ruder 2016"),
        lambda h: ([optax.trace(decay=h["momentum"], nesterov=True)], []),  # pyright: ignore[reportArgumentType]
    ),
    "adagrad": Optimizer(  # G / √(a + ΣG² + ε)
        _rate(0.01, 1e-3, 1.0, "Ruder 2016")
        | {"initial_accumulator": Hyperparameter(0.1, NON_NEGATIVE, None, "gradient squared", "optax 0.2")}
        | _epsilon(1e-7, "gradient squared (inside the root)", "optax 0.2"),
        lambda h: ([optax.scale_by_rss(h["initial_accumulator"], h["epsilon"])], []),
    ),
    "rmsprop": Optimizer(  # G / √(mean of G² + ε), heavy ball after the learning rate
        _rate(0.001, 1e-4, 0.1, "Hinton 2012, Ruder 2016")
        | _fraction("decay", 0.9, "Hinton 2012, Ruder 2016")
        | _fraction("momentum", 0.0, "Hinton 2012")
        | _epsilon(1e-8, "gradient squared (inside the root)", "Ruder 2016"),
        lambda h: ([optax.scale_by_rms(h["decay"], h["epsilon"])], [optax.trace(decay=h["momentum"])]),  # pyright: ignore[reportArgumentType]
    ),
    "adadelta": Optimizer(
        _rate(1.0, 1e-2, 10.0, "Zeiler 2012")
        | _fraction("decay", 0.95, "Zeiler 2012")
        | _epsilon(1e-6, "gradient squared (inside both roots)", "Zeiler 2012"),
        lambda h: ([optax.scale_by_adadelta(rho=h["decay"], eps=h["epsilon"])], []),
    ),
    "adam": Optimizer(_adam(0.001, "Kingma & Ba 2015"), lambda h: ([optax.scale_by_adam(**_betas(h))], [])),
    "adamax": Optimizer(_adam(0.002, "Kingma & Ba 2015"), lambda h: ([optax.scale_by_adamax(**_betas(h))], [])),
    "nadam": Optimizer(_adam(0.002, "Dozat 2016"), lambda h: ([optax.scale_by_adam(**_betas(h), nesterov=True)], [])),
    "amsgrad": Optimizer(_adam(0.001, "Reddi et al. 2018"), lambda h: ([optax.scale_by_amsgrad(**_betas(h))], [])),
}

# Links that any optimizer takes: present when their hyper-parameter is.
LINKS: dict[str, Hyperparameter] = {
    "clip": Hyperparameter(None, POSITIVE, None, "largest norm of the whole gradient", "Pascanu et al. 2013"),
    "weight_decay": Hyperparameter(None, NON_NEGATIVE, None, "share of W lost per learning rate", "Loshchilov 2019"),
    "warmup_steps": Hyperparameter(None, whole(0), None, "steps", "Goyal et al. 2017"),
    "schedule_steps": Hyperparameter(None, whole(0), None, "steps until final_factor is reached", "the budget"),
    "final_factor": Hyperparameter(0.01, RATIO, None, "share of the learning rate left at the end", "this project"),
    "stages": Hyperparameter(3.0, whole(2), None, "plateaus of the step schedule", "He et al. 2016"),
}
# Changes of the loss, for any optimizer: present when their hyper-parameter is.
REGULARIZERS: dict[str, Hyperparameter] = {
    "l2": Hyperparameter(None, NON_NEGATIVE, None, "loss per ½‖W‖²", "Hoerl & Kennard 1970"),
    "label_smoothing": Hyperparameter(
        None, FRACTION, None, "share of the label spread over all classes", "Szegedy 2016"
    ),
}
OWN = tuple(sorted({name for row in OPTIMIZERS.values() for name in row.hyperparameters}))
"""The names that only some optimizers take."""
WHOLE = tuple(name for name, row in LINKS.items() if row.domain.whole)
"""The names whose values are whole numbers."""
SCHEDULES: dict[str, tuple[Callable[[Array, Hyper], Array], tuple[str, ...]]] = {
    "constant": (lambda p, h: jnp.ones_like(p), ()),
    "linear": (lambda p, h: 1 - (1 - h["final_factor"]) * p, ("final_factor",)),
    "cosine": (
        lambda p, h: h["final_factor"] + (1 - h["final_factor"]) * (1 + jnp.cos(jnp.pi * p)) / 2,
        ("final_factor",),
    ),
    "exponential": (lambda p, h: h["final_factor"] ** p, ("final_factor",)),
    "step": (
        lambda p, h: h["final_factor"] ** (jnp.minimum(_stage(p, h), h["stages"] - 1) / (h["stages"] - 1)),
        ("final_factor", "stages"),
    ),
}


def table(name: str, schedule: str = "constant") -> dict[str, Hyperparameter]:
    """Return every hyper-parameter that `name` takes under `schedule`, optional links included."""
    choose("optimizer", name, OPTIMIZERS)
    choose("schedule", schedule, SCHEDULES)
    decaying = () if schedule == "constant" else ("schedule_steps", *SCHEDULES[schedule][1])
    links = ("clip", "weight_decay", "warmup_steps", *decaying)
    return OPTIMIZERS[name].hyperparameters | {link: LINKS[link] for link in links}


def complete(name: str, schedule: str = "constant", **given: float | None) -> dict[str, float]:
    """Fill the table's defaults in around `given`; None counts as not given.

    Raises:
        ValueError: the optimizer or schedule is unknown, does not take a hyper-parameter, lacks one, or its value
            is outside its domain.
    """
    known = table(name, schedule)
    chosen = {key: value for key, value in given.items() if value is not None}
    for key, value in chosen.items():
        if key not in known:
            under = "" if schedule == "constant" else f" with schedule {schedule!r}"
            raise ValueError(f"optimizer {name!r}{under} has no hyper-parameter {key!r}; it has {', '.join(known)}")
        check_value(key, value, known[key])
    defaults = {key: row.default for key, row in known.items() if row.default is not None}
    full = defaults | chosen
    if schedule != "constant" and "schedule_steps" not in full:
        raise ValueError(f"schedule {schedule!r} needs schedule_steps, the number of steps until it ends")
    return {key: float(full[key]) for key in known if key in full}


def check_value(name: str, value: Any, row: Hyperparameter) -> float:
    """Return `value` as a plain number; raise a ValueError unless it is one in the domain of `row`."""
    return checks.value(name, value, Annotated[float, row.domain])


def factor(schedule: str, hyper: Hyper, step: Int[ArrayLike, ""]) -> Float[Array, ""]:
    """Return what the learning rate is multiplied by at `step` (0, 1, …).

    Warm-up is linear, (step + 1)/warmup_steps up to 1; then the schedule goes from 1 to `final_factor`, which it
    reaches at `schedule_steps` and keeps: linear, cosine (half a period), exponential (equal ratios), step (`stages`
    plateaus of equal length and equal ratios).
    """
    t = jnp.asarray(step, jnp.result_type(float))
    warmup = hyper.get("warmup_steps", 0.0)
    rising = jnp.minimum(1.0, (t + 1) / jnp.maximum(warmup, 1.0))
    if schedule == "constant":
        return rising
    progress = jnp.clip((t - warmup) / jnp.maximum(hyper["schedule_steps"] - warmup, 1.0), 0.0, 1.0)
    return rising * SCHEDULES[schedule][0](progress, hyper)


def build(name: str, schedule: str, hyper: Hyper) -> optax.GradientTransformation:
    """Return the optax chain: clip → direction → weight decay (of matrices) → −learning rate · schedule → rest.

    Args:
        hyper: the names that `complete` returns, with scalars that may be traced.
    """
    before, after = OPTIMIZERS[name].direction(hyper)
    links: list[optax.GradientTransformation] = []
    if "clip" in hyper:
        links.append(optax.clip_by_global_norm(hyper["clip"]))
    links += before
    if "weight_decay" in hyper:
        links.append(optax.add_decayed_weights(hyper["weight_decay"], mask=_matrices))
    if schedule == "constant" and "warmup_steps" not in hyper:
        links.append(optax.scale_by_learning_rate(hyper["learning_rate"]))
    else:
        links.append(optax.scale_by_schedule(lambda step: -hyper["learning_rate"] * factor(schedule, hyper, step)))
    return optax.chain(*links, *after)


def update(
    name: str, schedule: str, hyper: Hyper, grads: Any, opt_state: optax.OptState, params: Any
) -> tuple[Any, optax.OptState]:
    """Return the parameters and the optimizer's state after one update with `grads`, a pytree like `params`."""
    updates, opt_state = build(name, schedule, hyper).update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _stage(progress: Array, hyper: Hyper) -> Array:
    """Count the plateaus that are over; the two units more keep k/stages from being rounded to below k."""
    return jnp.floor(progress * hyper["stages"] * (1 + 2 * jnp.finfo(progress.dtype).eps))


def _matrices(params) -> object:
    return jax.tree.map(lambda p: p.ndim > 1, params)
