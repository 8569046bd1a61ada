"""An optimizer of your own, to copy and change: here sgd whose steps grow while gradients agree, beside sgd itself.

    python experiments/my_optimizer.py
    mlp-jax train --optimizer experiments.my_optimizer:AGREEING --hyper rho=0.04 gamma=2
    mlp-jax study --optimizers sgd experiments.my_optimizer:AGREEING

M ← (1 − ρ)M + ρG, and W ← W − α(1 + γ·max(0, cos(M, G)))G. Such a step is at most 1 + γ times sgd's, so what it can
gain is bounded too. The script studies both on the digits, each tuned at each batch size, and writes the page.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import tyro

from mlp_jax import Config, optimizers, study
from mlp_jax.checks import FRACTION, NON_NEGATIVE, RATIO
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import Asked, script, show
from mlp_jax.machine import devices
from mlp_jax.optimizers import Hyperparameter, Range
from mlp_jax.study import Study


class Agreement(NamedTuple):
    """What the optimizer remembers: the mean of the gradients so far."""

    mean: optax.Updates


def direction(h: optimizers.Hyper) -> optax.GradientTransformation:
    """Return the link; `h` has traced values, so they must decide no shape and no branch."""

    def init(params: optax.Params) -> Agreement:
        return Agreement(jax.tree.map(jnp.zeros_like, params))

    def update(
        grads: optax.Updates, state: Agreement, params: optax.Params | None = None
    ) -> tuple[optax.Updates, Agreement]:
        mean = jax.tree.map(lambda m, g: (1 - h["rho"]) * m + h["rho"] * g, state.mean, grads)
        norms = optax.tree.norm(mean) * optax.tree.norm(grads)
        cosine = optax.tree.vdot(mean, grads) / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny)
        scale = 1 + h["gamma"] * jnp.maximum(cosine, 0)
        return jax.tree.map(lambda g: scale * g, grads), Agreement(mean)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType] (its state is any pytree)


AGREEING = optimizers.register(
    "agreeing",
    direction,
    optimizers.rate(0.1, 1e-3, 10.0, "as sgd's")
    | {
        "rho": Hyperparameter(0.1, RATIO, Range(0.01, 1.0), "share of the newest gradient", "this script"),
        "gamma": Hyperparameter(2.0, NON_NEGATIVE, Range(0.1, 10.0), "growth at full agreement", "this script"),
    },
)

# One of optax's, in five lines: what it is made of before the learning rate, and the constants that it takes.
SM3 = optimizers.register(
    "sm3",
    lambda h: optax.scale_by_sm3(b1=h["momentum"], eps=h["epsilon"]),
    optimizers.rate(0.1, 1e-3, 1.0, "Anil et al. 2019")
    | {
        "momentum": Hyperparameter(0.9, FRACTION, None, "share kept per step", "optax 0.2"),
        "epsilon": Hyperparameter(1e-8, NON_NEGATIVE, None, "gradient squared", "optax 0.2"),
    },
)

NAME = "experiments.my_optimizer:AGREEING"  # as other processes find it, and whoever reads the study
STUDY = Study(
    workload=Config(hidden=(64,), validation=0.2), optimizers=("sgd", NAME), batch_sizes=(16, 64, 256, "full")
)
QUICK = Study(
    workload=Config(dataset="iris", hidden=(8,), validation=0.2), optimizers=("sgd", NAME), batch_sizes=(16, "full"),
    rounds=1, fresh_seeds=2, max_steps=400, evaluations=60, target=0.9,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(Asked):
    """What the script may be asked."""

    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """A small study of iris."""


def main(options: Options) -> None:
    """Study an optimizer of your own beside sgd."""
    devices.start_cpu_devices()
    asked = QUICK if options.quick else STUDY
    found, page = experiment.found(options, "my_optimizer", asked)
    text = f"{study.table(found)}\n\nreport: {page}"
    show(options, study.to_json(found), text, "iris, two batch sizes" if options.quick else None)


if __name__ == "__main__":
    script(main, Options)
