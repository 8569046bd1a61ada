"""Every optimizer against its equations in float64 NumPy, against PyTorch, and against the optimizers it contains."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets
from equations import EQUATIONS, UNUSUAL, momentum, rmsprop
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import model, optimizers, sampling, trial
from mlp_jax.model import Layer, Network

STEPS = 25


def gradients(steps: int = STEPS, shape: tuple[int, ...] = (3, 4)) -> np.ndarray:
    """A sequence of gradients that no optimizer should find easy: of many magnitudes, with zeros among them."""
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(steps, *shape)) * np.logspace(-3, 1, math.prod(shape)).reshape(shape)
    sequence[:3, 0, 0] = 0  # a unit that is dead at first
    sequence[5] *= 10  # amsgrad remembers this one
    return sequence


def updates(name: str, hyper: dict[str, float], sequence: np.ndarray, schedule: str = "constant") -> np.ndarray:
    """What is added to a matrix of zeros at each step, in float64."""
    with jax.enable_x64(True):
        return np.diff(np.asarray(_path(name, schedule, hyper, jnp.asarray(sequence))), axis=0, prepend=0)


@partial(jax.jit, static_argnums=(0, 1))
def _path(name: str, schedule: str, hyper, sequence):
    def body(carry, grad):
        params, state = carry
        new, state = optimizers.update(name, schedule, hyper, grad, state, params)
        return (new, state), new

    start = jnp.zeros(sequence.shape[1:])
    state = optimizers.build(name, schedule, hyper).init(start)
    return jax.lax.scan(body, (start, state), sequence)[1]


EVERY = pytest.mark.parametrize("name", list(optimizers.BUILT_IN))
CLASSICAL = pytest.mark.parametrize("name", list(optimizers.CLASSICAL))


def unusual(name: str) -> dict[str, float]:
    return {key: UNUSUAL[key] for key in optimizers.BUILT_IN[name].hyperparameters}


@CLASSICAL
@pytest.mark.parametrize("values", ["unusual", "default"])
def test_updates_equal_the_equations(name: str, values: str) -> None:
    h = unusual(name) if values == "unusual" else optimizers.complete(name)
    ours = updates(name, h, gradients())
    np.testing.assert_allclose(ours, list(EQUATIONS[name](h, gradients())), rtol=1e-9, atol=1e-13)


@CLASSICAL
def test_every_hyperparameter_is_used(name: str) -> None:
    h, sequence = unusual(name), gradients()
    before = np.array(list(EQUATIONS[name](h, sequence)))
    for key in h:
        changed = updates(name, h | {key: h[key] * 0.9}, sequence)
        assert np.abs(changed - before).max() > 1e-6 * np.abs(before).max(), key


def test_amsgrad_and_adam_differ_after_a_large_gradient_only() -> None:
    h = unusual("adam")
    difference = np.abs(updates("adam", h, gradients()) - updates("amsgrad", h, gradients()))[:, -1, -1]
    growing = np.cumsum(np.abs(gradients()), axis=0)
    np.testing.assert_allclose(updates("adam", h, growing), updates("amsgrad", h, growing), rtol=1e-12)
    assert difference[-1] > 1e-3


BATCH, MANY = 32, 100
TINY = 1e-60  # our ε inside the root and its root outside, in PyTorch: neither is felt


def _torch_cases(torch) -> dict:
    """name → our optimizer, our constants, how PyTorch makes the same."""
    o, rate = torch.optim, 0.01
    betas = {"beta1": 0.85, "beta2": 0.99, "epsilon": 1e-6}
    theirs = {"lr": rate, "betas": (0.85, 0.99), "eps": 1e-6}
    return {
        "sgd": ("sgd", {"learning_rate": 0.2}, partial(o.SGD, lr=0.2)),
        "momentum": ("momentum", {"learning_rate": 0.1, "momentum": 0.9}, partial(o.SGD, lr=0.1, momentum=0.9)),
        "nesterov": (
            "nesterov",
            {"learning_rate": 0.1, "momentum": 0.9},
            partial(o.SGD, lr=0.1, momentum=0.9, nesterov=True),
        ),
        "adagrad": (
            "adagrad",
            {"learning_rate": 0.05, "initial_accumulator": 0.1, "epsilon": TINY},
            partial(o.Adagrad, lr=0.05, initial_accumulator_value=0.1, eps=TINY**0.5),
        ),
        "rmsprop": (
            "rmsprop",
            {"learning_rate": rate, "decay": 0.9, "momentum": 0.0, "epsilon": TINY},
            partial(o.RMSprop, lr=rate, alpha=0.9, eps=TINY**0.5),
        ),
        "rmsprop with momentum": (
            "rmsprop",
            {"learning_rate": 0.002, "decay": 0.95, "momentum": 0.8, "epsilon": TINY},
            partial(o.RMSprop, lr=0.002, alpha=0.95, momentum=0.8, eps=TINY**0.5),
        ),
        "adadelta": (
            "adadelta",
            {"learning_rate": 1.0, "decay": 0.95, "epsilon": 1e-6},
            partial(o.Adadelta, lr=1.0, rho=0.95, eps=1e-6),
        ),
        "adam": ("adam", betas | {"learning_rate": rate}, partial(o.Adam, **theirs)),
        "adamw": (
            "adam",
            betas | {"learning_rate": rate, "weight_decay": 0.3},
            lambda weights: o.AdamW(
                [
                    {"params": [w for w in weights if w.ndim > 1], "weight_decay": 0.3},
                    {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
                ],
                **theirs,
            ),
        ),
        "adamax": ("adamax", betas | {"learning_rate": rate}, partial(o.Adamax, **theirs)),
        # PyTorch multiplies β1 by 1 − 0.96^(t·momentum_decay)/2, here 1, and keeps β1^t in float32, exact for ½
        "nadam": (
            "nadam",
            betas | {"learning_rate": rate, "beta1": 0.5},
            partial(o.NAdam, **theirs | {"betas": (0.5, 0.99), "momentum_decay": 1e9}),
        ),
    }


@pytest.mark.parametrize(
    "case",
    ["rmsprop with momentum", "adam"]
    + [
        pytest.param(case, marks=pytest.mark.slow)
        for case in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adamw", "adamax", "nadam")
    ],
)
def test_trajectories_equal_torch(case: str) -> None:
    """100 mini-batches of the digits in float64: sampling, forward, backward and update, step by step."""
    torch = pytest.importorskip("torch")
    name, hyper, make = _torch_cases(torch)[case]
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    cell = trial.Cell(network=Network(inputs=64, hidden=(12, 8), outputs=10, activation="tanh"), batch_size=BATCH)
    with jax.enable_x64(True):
        data = trial.Data(jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.asarray(0.0), jnp.asarray(1 / 16))
        params, batches = _start(cell, jnp.uint32(3), len(x))
        state = optimizers.build(name, "constant", hyper).init(params)
        path, our_loss = [params], []
        for batch in batches:
            loss, grads = _gradient(cell, {}, data, params, batch)
            params, state = _update(name, "constant", hyper, grads, state, params)
            path.append(params)
            our_loss.append(float(loss))
    ours = np.array([np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)]) for params in path])

    weights = [torch.tensor(np.array(leaf), requires_grad=True) for leaf in jax.tree.leaves(path[0])]
    W1, b1, W2, b2, W3, b3 = weights
    x, y = torch.tensor(x / 16), torch.tensor(y)
    optimizer = make(weights)
    for t, batch in enumerate(np.array(batches)):
        hidden = torch.tanh(torch.tanh(x[batch] @ W1.T + b1) @ W2.T + b2)
        loss = torch.nn.functional.cross_entropy(hidden @ W3.T + b3, y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        theirs = np.concatenate([weight.detach().numpy().ravel() for weight in weights])
        assert np.linalg.norm(ours[t + 1] - theirs) < 1e-9 * np.linalg.norm(theirs), f"step {t}"
        assert our_loss[t] == pytest.approx(loss.item(), rel=1e-9)
    assert np.linalg.norm(ours[-1] - ours[0]) > 0.05 * np.linalg.norm(ours[0]), "it hardly moved: a weak comparison"


_gradient = jax.jit(trial.gradient, static_argnums=0)
_update = jax.jit(optimizers.update, static_argnums=(0, 1))


@partial(jax.jit, static_argnums=(0, 2))
def _start(cell: trial.Cell, seed, n: int):
    """Initial weights and the indices of the first mini-batches."""
    order = partial(sampling.minibatch, seed, n=n, batch_size=cell.batch_size)
    return model.init(jax.random.key(seed), cell.network), jax.vmap(order)(jnp.arange(MANY, dtype=jnp.uint32))


def test_amsgrad_equals_torch_once_the_bias_is_corrected() -> None:
    """PyTorch corrects the largest mean, we take the largest corrected mean: equal when it comes late enough."""
    torch = pytest.importorskip("torch")
    hyper = {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.5, "epsilon": 1e-6}
    sequence = np.concatenate([np.cumsum(np.abs(gradients(60)), axis=0), gradients(40)])
    weight = torch.zeros(sequence.shape[1:], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(0.8, 0.5), eps=1e-6, amsgrad=True)
    path = []
    for gradient in sequence:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        path.append(weight.detach().numpy().copy())
    ours = np.cumsum(updates("amsgrad", hyper, sequence), axis=0)
    np.testing.assert_allclose(ours, path, rtol=1e-11)


LIMITS = pytest.mark.parametrize("limit", [1e3, 1e6, 1e9, 1e15, 1e60])
ROUNDING = 1e-13


@LIMITS
def test_rmsprop_contains_momentum(limit: float) -> None:
    """G·√ε/√(v + ε) is G up to a factor between 1 − v/2ε and 1, and v ≤ max G²."""
    sequence, target = gradients(60), {"learning_rate": 0.3, "momentum": 0.7}
    hyper = {"learning_rate": 0.3 * math.sqrt(limit), "momentum": 0.7, "decay": 0.8, "epsilon": limit}
    error = updates("rmsprop", hyper, sequence) - updates("momentum", target, sequence)
    size = -np.array(list(momentum(target, np.abs(sequence))))
    assert np.all(np.abs(error) <= ((sequence**2).max() / (2 * limit) + ROUNDING) * size)


@LIMITS
def test_adagrad_contains_sgd(limit: float) -> None:
    """G·√a/√(a + ΣG² + ε) is G up to a factor between 1 − (ΣG² + ε)/2a and 1."""
    sequence = gradients(60)
    hyper = {"learning_rate": 0.3 * math.sqrt(limit), "initial_accumulator": limit, "epsilon": 1e-7}
    error = updates("adagrad", hyper, sequence) - updates("sgd", {"learning_rate": 0.3}, sequence)
    bound = (np.cumsum(sequence**2, axis=0) + 1e-7) / (2 * limit) + ROUNDING
    assert np.all(np.abs(error) <= bound * 0.3 * np.cumsum(np.abs(sequence), axis=0))


@LIMITS
def test_adam_contains_momentum_with_a_learning_rate_that_falls_to_its_value(limit: float) -> None:
    """m = (1 − β1)·V, so the update is α·V/(1 − β1^t) up to a factor 1/(1 + √v̂/ε), and √v̂ ≤ max |G|."""
    sequence = gradients(60)
    hyper = {"learning_rate": 0.3 * limit / (1 - 0.8), "beta1": 0.8, "beta2": 0.95, "epsilon": limit}
    target = {"learning_rate": 0.3, "momentum": 0.8}
    rise = (1 / (1 - 0.8 ** np.arange(1, 61)))[:, None, None]
    expected = rise * updates("momentum", target, sequence)
    size = np.cumsum(-rise * np.array(list(momentum(target, np.abs(sequence)))), axis=0)
    error = updates("adam", hyper, sequence) - expected
    assert np.all(np.abs(error) <= np.abs(sequence).max() / limit * np.abs(expected) + ROUNDING * size)


def test_smaller_inclusions_are_exact() -> None:
    sequence = gradients()
    plain = updates("sgd", {"learning_rate": 0.3}, sequence)
    for name in ("momentum", "nesterov"):
        np.testing.assert_array_equal(updates(name, {"learning_rate": 0.3, "momentum": 0.0}, sequence), plain)
    one = {"learning_rate": 0.3, "beta1": 0.0, "beta2": 0.9, "epsilon": 1e-8}
    np.testing.assert_allclose(updates("nadam", one, sequence), updates("adam", one, sequence), rtol=1e-12)


@pytest.mark.parametrize("clip", [0.5, 5.0, 1e6])
def test_clip_shortens_the_whole_gradient_to_its_norm(clip: float) -> None:
    W, b = np.array([[3.0, 4.0]]), np.array([12.0])  # norm 13
    with jax.enable_x64(True):
        layer = Layer(jnp.zeros((1, 2)), jnp.zeros(1))
        hyper = {"learning_rate": 1.0, "clip": clip}
        state = optimizers.build("sgd", "constant", hyper).init(layer)
        new, _ = optimizers.update("sgd", "constant", hyper, Layer(jnp.asarray(W), jnp.asarray(b)), state, layer)
    share = min(1, clip / 13)
    np.testing.assert_allclose(new.W, -share * W, rtol=1e-12)
    np.testing.assert_allclose(new.b, -share * b, rtol=1e-12)


@CLASSICAL
def test_weight_decay_is_decoupled_and_for_matrices_only(name: str) -> None:
    """W ← W − α(direction + λW): as large whatever the gradient was divided by, and never clipped."""
    hyper = unusual(name) | {"weight_decay": 0.2, "clip": 1.0}
    grad = np.array([[3.0, -4.0]]), np.array([12.0])
    with jax.enable_x64(True):
        layer = Layer(jnp.array([[10.0, -20.0]]), jnp.array([30.0]))
        state = optimizers.build(name, "constant", hyper).init(layer)
        new, _ = optimizers.update(name, "constant", hyper, Layer(*map(jnp.asarray, grad)), state, layer)
    direction_W, direction_b = (next(EQUATIONS[name](hyper, [g / 13])) for g in grad)
    W = np.array([[10.0, -20.0]])
    np.testing.assert_allclose(new.W, W + direction_W - 0.3 * 0.2 * W, rtol=1e-10)
    np.testing.assert_allclose(new.b, 30 + direction_b, rtol=1e-10)


def test_momentum_does_not_gather_weight_decay() -> None:
    """V holds gradients alone: W shrinks by (1 − αλ) a step."""
    hyper = {"learning_rate": 0.3, "momentum": 0.7, "weight_decay": 0.2}
    with jax.enable_x64(True):
        layer = (Layer(jnp.array([[1.0]]), None),)
        zero = jax.tree.map(jnp.zeros_like, layer)
        state = optimizers.build("momentum", "constant", hyper).init(layer)
        for _ in range(5):
            layer, state = optimizers.update("momentum", "constant", hyper, zero, state, layer)
    np.testing.assert_allclose(layer[0].W, [[(1 - 0.3 * 0.2) ** 5]], rtol=1e-12)


FINAL, STAGES = 0.05, 4
FORMULAS = {
    "constant": lambda p: np.ones_like(p),
    "linear": lambda p: 1 + (FINAL - 1) * p,
    "cosine": lambda p: FINAL + (1 - FINAL) * np.cos(np.pi * p / 2) ** 2,
    "exponential": lambda p: np.exp(p * np.log(FINAL)),
    "step": lambda p: FINAL ** (np.minimum(np.floor(p * STAGES + 1e-9), STAGES - 1) / (STAGES - 1)),
}


def schedule_hyper(schedule: str, warmup: int | None, end: int) -> dict[str, float]:
    chosen = {} if warmup is None else {"warmup_steps": float(warmup)}
    if schedule != "constant":
        chosen |= {"schedule_steps": float(end), "final_factor": FINAL}
    return chosen | ({"stages": float(STAGES)} if schedule == "step" else {})


def expected_factor(schedule: str, warmup: int, end: int, t: np.ndarray) -> np.ndarray:
    rising = (t + 1) / warmup if warmup else np.inf
    falling = FORMULAS[schedule](np.clip((t - warmup) / (end - warmup), 0, 1))
    return np.where(t < warmup, rising, falling)


@pytest.mark.parametrize("warmup", [None, 0, 1, 7])
@pytest.mark.parametrize("schedule", list(optimizers.SCHEDULES))
def test_factor_equals_the_formula_at_every_step(schedule: str, warmup: int | None) -> None:
    end = 47
    hyper = schedule_hyper(schedule, warmup, end)
    t = np.arange(2 * end)
    with jax.enable_x64(True):
        ours = np.asarray(jax.vmap(lambda step: optimizers.factor(schedule, hyper, step))(jnp.asarray(t, jnp.int32)))
    np.testing.assert_allclose(ours, expected_factor(schedule, warmup or 0, end, t), rtol=1e-12)
    np.testing.assert_allclose(ours[end:], 1 if schedule == "constant" else FINAL, rtol=1e-12)
    assert ours[warmup or 0] == pytest.approx(1, rel=1e-12)
    if warmup:
        np.testing.assert_allclose(ours[:warmup], np.arange(1, warmup + 1) / warmup, rtol=1e-12)


def test_factor_half_way() -> None:
    half = {}
    for schedule in ("linear", "cosine", "exponential", "step"):
        hyper = schedule_hyper(schedule, 4, 24)
        half[schedule] = float(optimizers.factor(schedule, hyper, 14))
    mean = (1 + FINAL) / 2
    expected = {"linear": mean, "cosine": mean, "exponential": FINAL**0.5, "step": FINAL ** (2 / 3)}
    assert half == pytest.approx(expected, rel=1e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(2, 20), st.integers(1, 5000))
def test_stages_are_equally_long(stages: int, length: int) -> None:
    """In float32 as well: the first step of stage k is k·length, neither one sooner nor one later."""
    hyper = {"schedule_steps": jnp.float32(stages * length), "final_factor": FINAL, "stages": jnp.float32(stages)}
    stage = np.minimum(np.arange(1, 20), stages - 1)  # always 19 of them: one program
    ours = [np.asarray(_factors(hyper, jnp.asarray(length * stage - before, jnp.int32))) for before in (1, 0)]
    np.testing.assert_allclose(ours, FINAL ** (np.stack([stage - 1, stage]) / (stages - 1)), rtol=1e-4)


_factors = jax.jit(jax.vmap(partial(optimizers.factor, "step"), (None, 0)))


@pytest.mark.parametrize("schedule", list(optimizers.SCHEDULES))
def test_the_schedule_multiplies_the_learning_rate(schedule: str) -> None:
    hyper = {"learning_rate": 0.3} | schedule_hyper(schedule, 3, 20)
    sequence = gradients()
    factor = expected_factor(schedule, 3, 20, np.arange(STEPS))[:, None, None]
    np.testing.assert_allclose(
        updates("sgd", hyper, sequence, schedule), -0.3 * factor * sequence, rtol=1e-8, atol=1e-12
    )


def test_rmsprop_applies_momentum_after_the_scheduled_learning_rate() -> None:
    hyper = unusual("rmsprop") | schedule_hyper("linear", 3, 20)
    factor = expected_factor("linear", 3, 20, np.arange(STEPS))
    directions = list(rmsprop(hyper | {"momentum": 0.0}, gradients()))
    V, expected = 0, []
    for share, direction in zip(factor, directions, strict=True):
        V = hyper["momentum"] * V + share * direction
        expected.append(V)
    np.testing.assert_allclose(updates("rmsprop", hyper, gradients(), "linear"), expected, rtol=1e-8, atol=1e-12)


def test_every_optimizer_and_schedule_is_tested() -> None:
    assert set(EQUATIONS) == set(optimizers.CLASSICAL)
    assert set(FORMULAS) == set(optimizers.SCHEDULES)


def test_published_defaults_are_pinned() -> None:
    adam_like = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    published = {
        "momentum": {"momentum": 0.9},
        "nesterov": {"momentum": 0.9},
        "adagrad": {"learning_rate": 0.01, "initial_accumulator": 0.1, "epsilon": 1e-7},
        "rmsprop": {"learning_rate": 0.001, "decay": 0.9, "momentum": 0.0, "epsilon": 1e-8},
        "adadelta": {"learning_rate": 1.0, "decay": 0.95, "epsilon": 1e-6},
        "adam": {"learning_rate": 0.001} | adam_like,
        "adamax": {"learning_rate": 0.002} | adam_like,
        "nadam": {"learning_rate": 0.002} | adam_like,
        "amsgrad": {"learning_rate": 0.001} | adam_like,
    }
    for name, constants in published.items():
        assert constants.items() <= optimizers.complete(name).items(), name
    assert set(optimizers.complete("sgd")) == {"learning_rate"}


@EVERY
@pytest.mark.parametrize("schedule", list(optimizers.SCHEDULES))
def test_every_default_is_in_its_domain_and_explained(name: str, schedule: str) -> None:
    for key, row in optimizers.table(name, schedule).items():
        assert row.unit, key
        assert row.source, key
        if row.default is not None:
            optimizers.check_value(key, row.default, row)
        if row.search is not None:
            assert row.search.low < row.search.high
            for end in row.search[:2]:
                optimizers.check_value(key, end, row)


def test_complete_fills_in_defaults_around_what_is_given() -> None:
    full = optimizers.complete(
        "rmsprop", "step", learning_rate=1.0, momentum=None, warmup_steps=5.0, schedule_steps=100.0
    )
    assert full == {
        "learning_rate": 1.0,
        "decay": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-8,
        "warmup_steps": 5.0,
        "schedule_steps": 100.0,
        "final_factor": 0.01,
        "stages": 3.0,
    }
    assert all(isinstance(value, float) for value in full.values())
    assert "clip" not in optimizers.complete("sgd", clip=None)
    assert optimizers.complete("sgd", clip=2.0)["clip"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (
            ("adma",),
            {},
            r"unknown optimizer 'adma'; choose one of adabelief, adadelta, .*, sign_sgd, yogi, or one of your own as "
            r"my_module:NAME",
        ),
        (("sgd", "cosin"), {}, r"unknown schedule 'cosin'; choose one of constant, cosine, exponential, linear, step"),
        (
            ("sgd",),
            {"momentum": 0.9},
            r"optimizer 'sgd' has no hyper-parameter 'momentum'; it has learning_rate, clip, weight_decay",
        ),
        (("sgd",), {"schedule_steps": 9.0}, r"optimizer 'sgd' has no hyper-parameter 'schedule_steps'"),
        (("sgd", "linear"), {"stages": 3.0, "schedule_steps": 9.0}, r"'sgd' with schedule 'linear' has no .* 'stages'"),
        (("sgd", "linear"), {}, r"schedule 'linear' needs schedule_steps, the number of steps until it ends"),
    ],
)
def test_names_that_do_not_fit_are_errors(arguments: tuple, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizers.complete(*arguments, **given)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        *(("learning_rate", value, "a positive number") for value in (0.0, -1.0, math.inf, -math.inf, math.nan)),
        *(
            ("momentum", value, "a number from 0 up to but not including 1")
            for value in (1.0, 1.5, -0.1, math.inf, math.nan)
        ),
        *(("epsilon", value, "a number of at least 0") for value in (-1e-9, math.inf, math.nan)),
        *(("clip", value, "a positive number") for value in (0.0, math.nan)),
        *(("weight_decay", value, "a number of at least 0") for value in (-0.1, math.nan)),
        *(("warmup_steps", value, "a whole number of at least 0") for value in (-1.0, 2.5, math.inf, math.nan)),
        *(("schedule_steps", value, "a whole number of at least 0") for value in (-1.0, 2.5, math.nan)),
        *(("final_factor", value, "a number above 0 and at most 1") for value in (0.0, 1.1, math.nan)),
        *(("stages", value, "a whole number of at least 2") for value in (1.0, 2.5, math.inf, math.nan)),
    ],
)
def test_values_outside_their_domain_are_errors(key: str, value: float, words: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} {value!r} is not allowed; give {words}"):
        optimizers.complete("rmsprop", "step", **{"schedule_steps": 100.0, key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("momentum", 0.0),
        ("epsilon", 0.0),
        ("weight_decay", 0.0),
        ("warmup_steps", 0.0),
        ("final_factor", 1.0),
        ("stages", 2.0),
    ],
)
def test_values_at_the_edge_of_their_domain_are_allowed(key: str, value: float) -> None:
    assert optimizers.complete("rmsprop", "step", **{"schedule_steps": 100.0, key: value})[key] == value


@CLASSICAL
@pytest.mark.parametrize("schedule", [pytest.param("constant", marks=pytest.mark.slow), "step"])
def test_other_values_compile_nothing(name: str, schedule: str) -> None:
    traces = 0

    @jax.jit
    def update(hyper, grads, state, params):
        nonlocal traces
        traces += 1
        return optimizers.update(name, schedule, hyper, grads, state, params)

    params = (Layer(jnp.ones((2, 3)), jnp.ones(2)),)
    links = {"clip": 1.0, "weight_decay": 0.1, "warmup_steps": 2.0}
    hyper = unusual(name) | links | schedule_hyper(schedule, 2, 9)
    state = optimizers.build(name, schedule, hyper).init(params)
    first, state = update(hyper, params, state, params)
    second, state = update({key: value * 0.9 for key, value in hyper.items()}, params, state, first)
    update(hyper, params, state, second)
    assert traces == 1
    assert np.any(first[0].W - params[0].W != second[0].W - first[0].W)


@pytest.mark.parametrize(
    ("name", "values", "becomes"),
    [
        ("sgd", {"learning_rate": 1e-46}, "0.0; give a positive number"),
        ("sgd", {"learning_rate": 1e39}, "inf; give a positive number"),
        ("adam", {"learning_rate": 0.1, "epsilon": 1e-45}, "0.0; give a number of at least 0"),
        ("momentum", {"learning_rate": 0.1, "momentum": 1 - 1e-12}, "1.0; give a number from 0 up to"),
    ],
)
def test_a_value_that_programs_can_not_hold_is_refused(name: str, values: dict, becomes: str) -> None:
    with pytest.raises(ValueError, match=f"in the 32 bits that training computes with it is {becomes}"):
        optimizers.complete(name, **values)


def test_what_programs_can_hold_is_taken_as_it_is() -> None:
    values = {"learning_rate": 1.2e-38, "epsilon": 0.0}
    assert values.items() <= optimizers.complete("adam", **values).items()
    assert optimizers.complete("sgd", learning_rate=3.4e38)["learning_rate"] == 3.4e38
