"""Optimizers made for large batches, and recent ones that are often used, from optax.

Invariant: with equal constants the parameters are those of optax's optimizer of the same name, if its weight decay is
applied to matrices only.
"""

import math

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from mlp_jax.checks import NON_NEGATIVE, POSITIVE, Domain
from mlp_jax.optimizers.classical import adam, betas_of
from mlp_jax.optimizers.hyperparameters import Hyper, Hyperparameter, Range, decay, epsilon, fraction, rate
from mlp_jax.optimizers.optimizer import ANY, Links, Optimizer, matrices

OPEN = Domain(lambda v: 0 < v < 1, "a number above 0 and below 1")
RECTIFIED = Domain(lambda v: 4 <= v < math.inf, "a number of at least 4, where the variance is finite")
DECAYS = Range(1e-5, 1e-1)
ROOT, INSIDE = "gradient (added to the root)", "gradient squared (inside the root)"
SHAPE = contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)  # W is outputs × inputs


def _betas(first: float, second: float, source: str) -> dict[str, Hyperparameter]:
    return fraction("beta1", first, source) | fraction("beta2", second, source)


def _root(default: float, source: str) -> dict[str, Hyperparameter]:
    return epsilon(default, INSIDE, source, name="epsilon_root")


def _lars(h: Hyper) -> Links:
    """Return the links of LARS: each matrix and bias moves by a share of its own norm, to which momentum is added."""
    trust = optax.scale_by_trust_ratio(trust_coefficient=h["trust_coefficient"])
    return Links(between=[trust], after=[optax.trace(decay=h["momentum"])])  # pyright: ignore[reportArgumentType]


def _adafactor(h: Hyper) -> Links:
    """Return the links of Adafactor; the size of a step is relative to that of the parameters."""
    scaled = optax.scale_by_factored_rms(decay_rate=h["decay_power"], epsilon=h["epsilon"])
    clipped = optax.clip_by_block_rms(h["clipping_threshold"])
    return Links(before=[scaled, clipped, optax.scale_by_param_block_rms()])


def _muon(h: Hyper) -> optax.GradientTransformation:
    """Return a link that is Muon for matrices (with optax's Newton–Schulz iteration) and Nadam for biases."""
    shapes = lambda params: jax.tree.map(lambda p: SHAPE if p.ndim > 1 else optax.MaskedNode(), params)
    scale = lambda u: u * jnp.sqrt(jnp.maximum(1.0, u.shape[0] / u.shape[1]))
    wider = optax.stateless(lambda updates, _: jax.tree.map(scale, updates))
    of_matrices = contrib.scale_by_muon(
        beta=h["momentum"],
        eps=h["epsilon"],
        weight_dimension_numbers=shapes,  # pyright: ignore[reportArgumentType]
    )
    of_biases = optax.scale_by_adam(**betas_of(h), nesterov=True)
    kinds = lambda params: jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "bias", params)
    return optax.partition({"matrix": optax.chain(of_matrices, wider), "bias": of_biases}, kinds)


def _schedule_free(base: optax.GradientTransformation, h: Hyper, rate) -> optax.GradientTransformation:
    """Return schedule-free training with a base optimizer (Defazio et al. 2024); decay acts where gradients do."""
    decay = [optax.add_decayed_weights(h["weight_decay"], mask=matrices)] if "weight_decay" in h else []
    return contrib.schedule_free(
        optax.chain(base, *decay, optax.scale_by_schedule(lambda step: -rate(step))),
        learning_rate=lambda count: rate(count - 1),  # optax counts steps from 1 here, but from 0 in the base
        b1=h["beta1"],
        weight_lr_power=h["weight_power"],
    )


def _averaged(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """Return the averaged parameters, the result of schedule-free training; gradients are taken at others."""
    is_it = lambda state: isinstance(state, contrib.ScheduleFreeState)
    (state,) = [each for each in jax.tree.leaves(opt_state, is_leaf=is_it) if is_it(each)]
    return contrib.schedule_free_eval_params(state, params)


def _averaging(source: str) -> dict[str, Hyperparameter]:
    power = Hyperparameter(2.0, NON_NEGATIVE, None, "power of the rate that weights the average", source)
    return fraction("beta1", 0.9, source, OPEN) | {"weight_power": power}


RECENT: dict[str, Optimizer] = {
    "adamw": Optimizer(
        adam(0.001, "Loshchilov & Hutter 2019") | decay(1e-4, "optax 0.2", DECAYS),
        lambda h: optax.scale_by_adam(**betas_of(h)),
    ),
    "nadamw": Optimizer(
        adam(0.001, "as adamw") | decay(1e-4, "optax 0.2", DECAYS),
        lambda h: optax.scale_by_adam(**betas_of(h), nesterov=True),
    ),
    "lion": Optimizer(
        rate(1e-4, 1e-5, 1e-2, "Chen et al. 2023: a tenth to a third of adamw's")
        | _betas(0.9, 0.99, "Chen et al. 2023")
        | decay(1e-3, "optax 0.2", DECAYS),
        lambda h: optax.scale_by_lion(b1=h["beta1"], b2=h["beta2"]),
    ),
    "lars": Optimizer(
        rate(1.0, 1e-2, 100.0, "this project: W changes by a share of 0.001 a step, before momentum")
        | {"trust_coefficient": Hyperparameter(0.001, POSITIVE, Range(1e-4, 1e-1), "share of ‖W‖", "You et al. 2017")}
        | fraction("momentum", 0.9, "You et al. 2017"),
        _lars,
    ),
    "lamb": Optimizer(
        rate(0.01, 1e-4, 1.0, "this project: W changes by a share of 0.01 a step")
        | _betas(0.9, 0.999, "You et al. 2020")
        | epsilon(1e-6, ROOT, "You et al. 2020"),
        lambda h: Links(before=[optax.scale_by_adam(**betas_of(h))], between=[optax.scale_by_trust_ratio()]),
    ),
    "adafactor": Optimizer(
        rate(0.01, 1e-4, 1.0, "Shazeer & Stern 2018: the largest relative step")
        | {"decay_power": Hyperparameter(0.8, OPEN, None, "power of the step: 1 − t^−power", "Shazeer & Stern 2018")}
        | {"clipping_threshold": Hyperparameter(1.0, POSITIVE, None, "root mean square", "Shazeer & Stern 2018")}
        | epsilon(1e-30, "gradient squared", "Shazeer & Stern 2018"),
        _adafactor,
    ),
    "adabelief": Optimizer(
        rate(0.001, 1e-4, 0.1, "Zhuang et al. 2020")
        | _betas(0.9, 0.999, "Zhuang et al. 2020")
        | epsilon(1e-16, ROOT, "optax 0.2")
        | _root(1e-16, "optax 0.2"),
        lambda h: optax.scale_by_belief(**betas_of(h), eps_root=h["epsilon_root"]),
    ),
    "radam": Optimizer(
        adam(0.001, "Liu et al. 2020")
        | {
            "threshold": Hyperparameter(5.0, RECTIFIED, None, "length of the mean that is rectified", "Liu et al. 2020")
        },
        lambda h: optax.scale_by_radam(**betas_of(h), threshold=h["threshold"]),
    ),
    "yogi": Optimizer(
        rate(0.01, 1e-4, 0.1, "Zaheer et al. 2018")
        | _betas(0.9, 0.999, "Zaheer et al. 2018")
        | epsilon(1e-3, ROOT, "Zaheer et al. 2018")
        | {"initial_accumulator": Hyperparameter(1e-6, NON_NEGATIVE, None, "gradient squared", "optax 0.2")},
        lambda h: optax.scale_by_yogi(**betas_of(h), initial_accumulator_value=h["initial_accumulator"]),  # pyright: ignore[reportArgumentType]
    ),
    "novograd": Optimizer(
        rate(0.01, 1e-4, 1.0, "Ginsburg et al. 2019")
        | _betas(0.9, 0.25, "optax 0.2")
        | epsilon(1e-6, "norm of the gradient (added to it)", "optax 0.2"),
        lambda h: optax.scale_by_novograd(**betas_of(h)),
    ),
    "sign_sgd": Optimizer(
        rate(1e-3, 1e-5, 1e-1, "this project: as adam's, whose first step is a sign"), lambda h: optax.scale_by_sign()
    ),
    "adan": Optimizer(
        rate(0.001, 1e-4, 0.1, "Xie et al. 2022")
        | _betas(0.98, 0.92, "Xie et al. 2022")
        | fraction("beta3", 0.99, "Xie et al. 2022")
        | epsilon(1e-8, ROOT, "Xie et al. 2022")
        | _root(1e-8, "optax 0.2"),
        lambda h: optax.scale_by_adan(h["beta1"], h["beta2"], h["beta3"], eps=h["epsilon"], eps_root=h["epsilon_root"]),
    ),
    "ademamix": Optimizer(
        adam(0.001, "Pagliardini et al. 2024")
        | fraction("beta3", 0.9999, "Pagliardini et al. 2024")
        | {"alpha": Hyperparameter(5.0, NON_NEGATIVE, Range(1.0, 10.0), "slow means to one fast one", "optax 0.2")},
        lambda h: contrib.scale_by_ademamix(**betas_of(h), b3=h["beta3"], alpha=h["alpha"]),
    ),
    "muon": Optimizer(  # for matrices; biases use nadam, with the same learning rate
        rate(0.02, 1e-3, 1.0, "Jordan 2024")
        | fraction("momentum", 0.95, "Jordan 2024")
        | _betas(0.9, 0.999, "optax 0.2")
        | epsilon(1e-8, "norm of the matrix, and gradient of the biases", "optax 0.2"),
        _muon,
    ),
    "schedule_free_sgd": Optimizer(
        rate(1.0, 1e-2, 100.0, "optax 0.2") | _averaging("Defazio et al. 2024"),
        lambda h, rate: _schedule_free(optax.identity(), h, rate),
        rate_inside=True,
        evaluated=_averaged,
        schedule="constant",
    ),
    "schedule_free_adamw": Optimizer(
        rate(0.0025, 1e-4, 0.1, "Defazio et al. 2024")
        | _averaging("Defazio et al. 2024")
        | fraction("beta2", 0.999, "Defazio et al. 2024")
        | epsilon(1e-8, ROOT, "Defazio et al. 2024"),
        lambda h, rate: _schedule_free(
            optax.scale_by_rms(h["beta2"], h["epsilon"], eps_in_sqrt=False, bias_correction=True), h, rate
        ),
        rate_inside=True,
        evaluated=_averaged,
        schedule="constant",
    ),
    "prodigy": Optimizer(  # finds the size of its steps by itself; the learning rate is a factor of it
        rate(1.0, 0.1, 10.0, "Mishchenko & Defazio 2023")
        | _betas(0.9, 0.999, "Mishchenko & Defazio 2023")
        | epsilon(1e-8, ROOT, "Mishchenko & Defazio 2023")
        | {
            "first_rate": Hyperparameter(
                1e-6, POSITIVE, None, "learning rate it starts from", "Mishchenko & Defazio 2023"
            )
        },
        lambda h, rate: contrib.prodigy(
            rate, betas=(h["beta1"], h["beta2"]), eps=h["epsilon"], estim_lr0=h["first_rate"]
        ),
        rate_inside=True,
        links=tuple(name for name in ANY if name != "weight_decay"),
    ),
}
