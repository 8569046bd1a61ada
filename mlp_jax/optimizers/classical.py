"""The ten classical optimizers, from plain gradient descent to AMSGrad.

Invariant: every constant of an optimizer is a hyper-parameter, with its default set here.
"""

import optax

from mlp_jax.checks import NON_NEGATIVE
from mlp_jax.optimizers.hyperparameters import Hyper, Hyperparameter, epsilon, fraction, rate
from mlp_jax.optimizers.optimizer import Links, Optimizer


def adam(default: float, source: str) -> dict[str, Hyperparameter]:
    """Return the learning rate and the constants of Adam."""
    betas = fraction("beta1", 0.9, "Kingma & Ba 2015") | fraction("beta2", 0.999, "Kingma & Ba 2015")
    return rate(default, 1e-4, 0.1, source) | betas | epsilon(1e-8, "gradient (added to the root)", "Kingma & Ba 2015")


def betas_of(hyper: Hyper) -> dict:
    """Return Adam's constants under the names that optax gives them."""
    return {"b1": hyper["beta1"], "b2": hyper["beta2"], "eps": hyper["epsilon"]}


CLASSICAL: dict[str, Optimizer] = {
    "sgd": Optimizer(rate(0.1, 1e-3, 10.0, "Bengio 2012, within his range"), lambda h: Links()),
    "momentum": Optimizer(  # V ← βV + G; W ← W − αV, as in the slides (heavy ball)
        rate(0.05, 1e-4, 1.0, "half of sgd's: V is up to 1/(1−β) times G") | fraction("momentum", 0.9, "Ruder 2016"),
        lambda h: optax.trace(decay=h["momentum"]),  # pyright: ignore[reportArgumentType]
    ),
    "nesterov": Optimizer(  # W ← W − α(G + βV)
        rate(0.05, 1e-4, 1.0, "as momentum") | fraction("momentum", 0.9, "Ruder 2016"),
        lambda h: optax.trace(decay=h["momentum"], nesterov=True),  # pyright: ignore[reportArgumentType]
    ),
    "adagrad": Optimizer(  # G / √(a + ΣG² + ε)
        rate(0.01, 1e-3, 1.0, "Ruder 2016")
        | {"initial_accumulator": Hyperparameter(0.1, NON_NEGATIVE, None, "gradient squared", "optax 0.2")}
        | epsilon(1e-7, "gradient squared (inside the root)", "optax 0.2"),
        lambda h: optax.scale_by_rss(h["initial_accumulator"], h["epsilon"]),
    ),
    "rmsprop": Optimizer(  # G / √(mean of G² + ε), heavy ball after the learning rate
        rate(0.001, 1e-4, 0.1, "Hinton 2012, Ruder 2016")
        | fraction("decay", 0.9, "Hinton 2012, Ruder 2016")
        | fraction("momentum", 0.0, "Hinton 2012")
        | epsilon(1e-8, "gradient squared (inside the root)", "Ruder 2016"),
        lambda h: Links(
            before=[optax.scale_by_rms(h["decay"], h["epsilon"])],
            after=[optax.trace(decay=h["momentum"])],  # pyright: ignore[reportArgumentType]
        ),
    ),
    "adadelta": Optimizer(
        rate(1.0, 1e-2, 10.0, "Zeiler 2012")
        | fraction("decay", 0.95, "Zeiler 2012")
        | epsilon(1e-6, "gradient squared (inside both roots)", "Zeiler 2012"),
        lambda h: optax.scale_by_adadelta(rho=h["decay"], eps=h["epsilon"]),
    ),
    "adam": Optimizer(adam(0.001, "Kingma & Ba 2015"), lambda h: optax.scale_by_adam(**betas_of(h))),
    "adamax": Optimizer(adam(0.002, "Kingma & Ba 2015"), lambda h: optax.scale_by_adamax(**betas_of(h))),
    "nadam": Optimizer(adam(0.002, "Dozat 2016"), lambda h: optax.scale_by_adam(**betas_of(h), nesterov=True)),
    "amsgrad": Optimizer(adam(0.001, "Reddi et al. 2018"), lambda h: optax.scale_by_amsgrad(**betas_of(h))),
}
