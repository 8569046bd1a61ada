"""The optax chain of an optimizer, which is built inside the traced function.

Invariant: only the names of the hyper-parameters decide the program, so changing a value never recompiles.
"""

import optax

from mlp_jax.optimizers.hyperparameters import Hyper
from mlp_jax.optimizers.optimizer import Links, Optimizer, as_links, matrices
from mlp_jax.optimizers.schedules import factor


def links(row: Optimizer, schedule: str, hyper: Hyper) -> optax.GradientTransformation:
    """Return the chain: clip → direction → weight decay (of matrices) → −learning rate · schedule → rest.

    Args:
        hyper: a scalar, which may be traced, for each name that `complete` returns.
    """
    clip = [optax.clip_by_global_norm(hyper["clip"])] if "clip" in hyper else []
    if row.rate_inside:
        rate = lambda step: hyper["learning_rate"] * factor(schedule, hyper, step)
        return optax.chain(*clip, *_all(as_links(row.direction(hyper, rate))))
    made = as_links(row.direction(hyper))
    decay = [optax.add_decayed_weights(hyper["weight_decay"], mask=matrices)] if "weight_decay" in hyper else []
    return optax.chain(*clip, *made.before, *decay, *made.between, _rate(schedule, hyper), *made.after)


def _rate(schedule: str, hyper: Hyper) -> optax.GradientTransformation:
    if schedule == "constant" and "warmup_steps" not in hyper:
        return optax.scale_by_learning_rate(hyper["learning_rate"])
    return optax.scale_by_schedule(lambda step: -hyper["learning_rate"] * factor(schedule, hyper, step))


def _all(made: Links) -> list[optax.GradientTransformation]:
    return [*made.before, *made.between, *made.after]
