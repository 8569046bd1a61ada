"""The recent optimizers against optax's own of the same name, in float64 over 100 mini-batches of the digits."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.datasets
from optax import contrib

from mlp_jax import model, optimizers, sampling, trial
from mlp_jax.model import Network
from mlp_jax.optimizers.optimizer import matrices
from mlp_jax.optimizers.recent import SHAPE
from mlp_jax.trial import Cell, Data

STEPS, BATCH, SEED = 100, 32, jnp.uint32(3)
NETWORK = Network(inputs=64, hidden=(12,), outputs=10, activation="tanh")
QUICK = ("lars", "schedule_free_adamw")
EVERY = pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in optimizers.RECENT if n not in QUICK)]
)
DECAY = {"weight_decay": 0.03}
UNUSUAL = {  # so that no constant can hide behind its default
    "beta1": 0.8, "beta2": 0.95, "beta3": 0.97, "epsilon": 1e-5, "epsilon_root": 1e-6, "momentum": 0.7,
    "trust_coefficient": 0.02, "decay_power": 0.7, "clipping_threshold": 0.5, "threshold": 6.5,
    "initial_accumulator": 1e-4, "alpha": 2.0, "weight_power": 1.0, "first_rate": 1e-4, "weight_decay": 0.03,
}  # fmt: skip


def betas(h: dict) -> dict:
    return {"b1": h["beta1"], "b2": h["beta2"], "eps": h["epsilon"]}


def roots(h: dict) -> dict:
    return betas(h) | {"eps_root": h["epsilon_root"]}


def decay(h: dict) -> dict:
    return {"weight_decay": h["weight_decay"], "mask": matrices}


def dimensions(params):
    return jax.tree.map(lambda p: SHAPE if p.ndim > 1 else None, params)


ALIASES: dict[str, Callable] = {  # optax's optimizer from a learning rate or a schedule of it, and our constants
    "adamw": lambda rate, h: optax.adamw(rate, **betas(h), **decay(h)),
    "nadamw": lambda rate, h: optax.nadamw(rate, **betas(h), **decay(h)),
    "lion": lambda rate, h: optax.lion(rate, h["beta1"], h["beta2"], **decay(h)),
    "lars": lambda rate, h: optax.lars(
        rate, h["weight_decay"], matrices, h["trust_coefficient"], momentum=h["momentum"]
    ),
    "lamb": lambda rate, h: optax.lamb(rate, **betas(h), **decay(h)),
    "adafactor": lambda rate, h: optax.adafactor(
        rate, decay_rate=h["decay_power"], clipping_threshold=h["clipping_threshold"], eps=h["epsilon"]
    ),
    "adabelief": lambda rate, h: optax.adabelief(rate, **roots(h)),
    "radam": lambda rate, h: optax.radam(rate, **betas(h), threshold=h["threshold"]),
    "yogi": lambda rate, h: optax.chain(
        optax.scale_by_yogi(**betas(h), initial_accumulator_value=h["initial_accumulator"]),
        optax.scale_by_learning_rate(rate),
    ),
    "novograd": lambda rate, h: optax.novograd(rate, **betas(h)),
    "sign_sgd": lambda rate, h: optax.sign_sgd(rate),
    "adan": lambda rate, h: optax.adan(rate, b3=h["beta3"], **roots(h), **decay(h)),
    "ademamix": lambda rate, h: contrib.ademamix(rate, b3=h["beta3"], alpha=h["alpha"], **betas(h), **decay(h)),
    "muon": lambda rate, h: contrib.muon(
        rate,
        beta=h["momentum"],
        eps=h["epsilon"],
        weight_decay=h["weight_decay"],
        adam_b1=h["beta1"],
        adam_b2=h["beta2"],
        muon_weight_dimension_numbers=dimensions,
    ),
    "schedule_free_sgd": lambda rate, h: contrib.schedule_free_sgd(
        rate, b1=h["beta1"], weight_lr_power=h["weight_power"]
    ),
    "schedule_free_adamw": lambda rate, h: contrib.schedule_free_adamw(
        rate, b1=h["beta1"], b2=h["beta2"], eps=h["epsilon"], weight_lr_power=h["weight_power"]
    ),
    "prodigy": lambda rate, h: contrib.prodigy(
        rate, betas=(h["beta1"], h["beta2"]), eps=h["epsilon"], estim_lr0=h["first_rate"]
    ),
}
DECAYS = ("adamw", "nadamw", "lion", "lars", "lamb", "adan", "ademamix", "muon")  # as optax's, matrices aside


def constants(name: str, unusual: bool) -> dict[str, float]:
    """The hyper-parameters of an optimizer: the defaults, or others."""
    full = optimizers.complete(name, **(DECAY if name in DECAYS else {}))
    return {key: UNUSUAL.get(key, value) if unusual else value for key, value in full.items()}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return x, y.astype(np.int32)


def path(make: Callable, hyper: dict, cell: Cell, data: Data, schedule: str = "constant") -> tuple[np.ndarray, list]:
    """The parameters after each of STEPS updates with what `make(hyper)` returns, flat, and its last state."""
    params = model.init(jax.random.key(SEED), NETWORK)
    order = partial(sampling.minibatch, SEED, n=data.x.shape[0], batch_size=BATCH)
    batches = jax.vmap(order)(jnp.arange(STEPS, dtype=jnp.uint32))

    @jax.jit
    def run(hyper, params, batches):
        optimizer = optax.with_extra_args_support(make(hyper))

        def one(carry, batch):
            params, state = carry
            loss, grads = trial.gradient(cell, {}, data, params, batch)
            updates, state = optimizer.update(grads, state, params, value=loss)
            params = optax.apply_updates(params, updates)
            return (params, state), jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])

        return jax.lax.scan(one, (params, optimizer.init(params)), batches)

    (params, state), steps = run(hyper, params, batches)
    return np.asarray(steps), [params, state]


@EVERY
@pytest.mark.parametrize("values", [pytest.param("default", marks=pytest.mark.slow), "unusual"])
def test_trajectories_equal_optax(digits, name: str, values: str) -> None:
    hyper = constants(name, values == "unusual")
    cell = Cell(network=NETWORK, optimizer=name, batch_size=BATCH)
    with jax.enable_x64(True):
        data = Data(*map(jnp.asarray, digits), jnp.asarray(0.0), jnp.asarray(1 / 16))
        traced = {key: jnp.asarray(value) for key, value in hyper.items()}
        ours, (params, state) = path(partial(optimizers.build, name, "constant"), traced, cell, data)
        theirs, (alias_params, alias) = path(lambda h: ALIASES[name](h["learning_rate"], h), traced, cell, data)
        found = optimizers.evaluated(name, state, params)
        if name.startswith("schedule_free"):
            expected = contrib.schedule_free_eval_params(alias, alias_params)
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), found, expected)
            assert np.abs(found[0].W - params[0].W).max() > 1e-6
        else:
            assert found is params
    assert np.isfinite(ours).all()
    assert np.abs(ours - theirs).max() <= 1e-12 * max(1.0, np.abs(theirs).max())
    assert np.linalg.norm(ours[-1] - ours[0]) > 1e-3 * np.linalg.norm(ours[0]), "it hardly moved: a weak comparison"


def test_every_recent_optimizer_is_tested() -> None:
    assert set(ALIASES) == set(optimizers.RECENT)
    assert set(optimizers.BUILT_IN) == {*optimizers.CLASSICAL, *optimizers.RECENT}
