"""What any optimizer takes besides its own: clipping, weight decay, a schedule of the rate, changes of the loss.

Invariant: a link is in the program if and only if its hyper-parameter is given.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from mlp_jax.checks import FRACTION, NON_NEGATIVE, POSITIVE, RATIO, whole
from mlp_jax.optimizers.hyperparameters import Hyper, Hyperparameter, Range

LINKS: dict[str, Hyperparameter] = {
    "clip": Hyperparameter(None, POSITIVE, None, "largest norm of the whole gradient", "Pascanu et al. 2013"),
    "weight_decay": Hyperparameter(None, NON_NEGATIVE, None, "share of W lost per learning rate", "Loshchilov 2019"),
    "warmup_steps": Hyperparameter(None, whole(0), None, "steps", "Goyal et al. 2017"),
    "warmup_share": Hyperparameter(
        None, FRACTION, Range(0.0, 0.5, "linear"), "share of schedule_steps", "Goyal et al. 2017"
    ),
    "schedule_steps": Hyperparameter(None, whole(0), None, "steps until final_factor is reached", "the budget"),
    "final_factor": Hyperparameter(
        0.01, RATIO, Range(1e-3, 1.0), "share of the learning rate left at the end", "this project"
    ),
    "stages": Hyperparameter(3.0, whole(2), None, "plateaus of the step schedule", "He et al. 2016"),
}
# Changes of the loss, for any optimizer; each is made only if its hyper-parameter is given.
REGULARIZERS: dict[str, Hyperparameter] = {
    "l2": Hyperparameter(None, NON_NEGATIVE, None, "loss per ½‖W‖²", "Hoerl & Kennard 1970"),
    "label_smoothing": Hyperparameter(
        None, FRACTION, None, "share of the label spread over all classes", "Szegedy 2016"
    ),
}
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


def factor(schedule: str, hyper: Hyper, step: Int[ArrayLike, ""]) -> Float[Array, ""]:
    """Return the factor on the learning rate at `step` (0, 1, …).

    Warm-up is linear: (step + 1)/warmup_steps up to 1, where warmup_share gives the steps as a share of schedule_steps.
    Then the schedule goes from 1 to `final_factor`, which it reaches at `schedule_steps` and keeps: linear, cosine
    (half a period), exponential (equal ratios), or step (`stages` plateaus of equal length and equal ratios).
    """
    t = jnp.asarray(step, jnp.result_type(float))
    warmup = hyper.get("warmup_steps", 0.0)
    if "warmup_share" in hyper:
        warmup = hyper["warmup_share"] * hyper["schedule_steps"]
    rising = jnp.minimum(1.0, (t + 1) / jnp.maximum(warmup, 1.0))
    if schedule == "constant":
        return rising
    progress = jnp.clip((t - warmup) / jnp.maximum(hyper["schedule_steps"] - warmup, 1.0), 0.0, 1.0)
    return rising * SCHEDULES[schedule][0](progress, hyper)


def _stage(progress: Array, hyper: Hyper) -> Array:
    """Return how many plateaus are over; two rounding units are added, so that k/stages never counts as less than k."""
    return jnp.floor(progress * hyper["stages"] * (1 + 2 * jnp.finfo(progress.dtype).eps))
