"""The numbers of every back end: integers to the bit, float32 within the tolerances below of NumPy in float64.

    pytest -m backend                                           on the devices that JAX finds; eight where they are CPUs
    JAX_NUM_CPU_DEVICES=1 pytest -m backend                     on one CPU device
    pytest -m backend -o addopts=--import-mode=importlib        where the packages of `mlp_jax[dev]` are missing

The last needs jax, optax, jaxtyping, orbax, pyarrow and pytest. Products are asked for at the highest precision, and
tolerances are relative to the largest entry, or to how far the parameters have moved.
"""

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import EQUATIONS, UNUSUAL

from mlp_jax import losses, model, optimizers, sampling, trial
from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.model import Layer, Network
from mlp_jax.training import population, run, timetable
from mlp_jax.training.config import Config
from mlp_jax.trial import Cell, Data

pytestmark = pytest.mark.backend

ROUNDING = 1e-5  # of one pass, forward and backward: some hundred roundings of 6e-8
DRIFT = 1e-4  # of twenty steps
SEED = 2**32 - 5


@pytest.fixture(autouse=True)
def _highest_precision() -> Iterator[None]:
    with jax.default_matmul_precision("highest"):
        yield


# ---------------------------------------------------------------------------------------------- integers

CHANGED = "the data come in another order than in every study so far: undo it, or start a new PROTOCOL in study/plan.py"


@partial(jax.jit, static_argnums=(0, 1, 2))
def stream(kind: str, n: int, batch_size: int, steps):
    draw = partial(sampling.minibatch, n=n, batch_size=batch_size, sampling=kind)
    return jax.vmap(lambda step: draw(jnp.uint32(SEED), step))(steps)


@pytest.mark.parametrize(
    ("kind", "n", "batch_size", "first", "begin", "checksum"),
    [
        ("epochs", 10, 4, 0, [6, 5, 9, 8], 0x6CE22288),
        ("epochs", 1294, 32, 0, [538, 23, 361, 1271], 0x80832F87),
        ("epochs", 60_000, 128, 1_000_000, [25185, 32182, 13686, 44901], 0xE32A32BD),
        ("epochs", 2**31, 5, 2**32 - 100, [54729056, 1262379172, 160233768, 802292361], 0xC1B6695F),
        ("replacement", 60_000, 128, 0, [21976, 49794, 4585, 24361], 0x1CEFA82E),
    ],
)
def test_the_order_of_the_data_is_the_same_everywhere(
    kind: str, n: int, batch_size: int, first: int, begin: list[int], checksum: int
) -> None:
    """The first four indices of a hundred mini-batches, and the CRC-32 of all as little-endian int32."""
    steps = jnp.arange(100, dtype=jnp.uint32) + jnp.uint32(first)
    indices = np.asarray(stream(kind, n, batch_size, steps))
    assert indices.ravel()[:4].tolist() == begin, CHANGED
    assert zlib.crc32(indices.astype("<i4").tobytes()) == checksum, CHANGED


def test_the_order_is_the_same_on_every_device() -> None:
    steps = np.arange(50, dtype=np.uint32)
    orders = [np.asarray(stream("epochs", 777, 20, jax.device_put(steps, device))) for device in jax.devices()]
    for order in orders:
        np.testing.assert_array_equal(order, orders[0])
    np.testing.assert_array_equal(np.sort(orders[0].ravel()[:777]), np.arange(777))


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("he", [-0.36724213, 0.37569901, 0.4559527]),
        ("glorot", [-0.36285913, 0.3703517, 0.43860522]),
        ("lecun", [-0.25967941, 0.26565936, 0.32240728]),
        ("truncated_normal", [-0.016785422, 0.01717196, 0.02084009]),
    ],
)
def test_trials_start_from_the_same_weights_everywhere(init: str, expected: list[float]) -> None:
    """The first three weights of the last layer of two."""
    params = model.init(jax.random.key(SEED), Network(inputs=7, hidden=(6,), outputs=3, init=init))
    np.testing.assert_allclose(np.asarray(params[1].W)[0, :3], expected, rtol=ROUNDING)


# ---------------------------------------------------------------------------------------------- losses and gradients

FUNCTIONS: dict[str, Callable] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
    "gelu": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
}
PAIRS = [(output, loss) for output, fitting in losses.FITTING.items() for loss in fitting]
ACTIVATED = list(zip(itertools.cycle(model.ACTIVATIONS), PAIRS))  # each pair once, each activation at least once


def log_probabilities(z: np.ndarray) -> np.ndarray:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def mean_loss(network: Network, loss: str, hyper: dict, params: list[np.ndarray], x: np.ndarray, y: np.ndarray):
    """What a step minimises, in float64; `params` alternate W and b."""
    for W, b in zip(params[:-2:2], params[1:-2:2]):
        x = FUNCTIONS[network.activation](x @ W.T + b)
    z, smoothing = x @ params[-2].T + params[-1], hyper.get("label_smoothing", 0.0)
    if loss == "cross_entropy":
        target = (1 - smoothing) * np.eye(network.outputs)[y] + smoothing / network.outputs
        each = -(target * log_probabilities(z)).sum(axis=1)
    elif loss == "binary_cross_entropy":
        p, one = (1 + np.tanh(z[:, 0])) / 2 if network.output == "tanh" else FUNCTIONS["sigmoid"](z[:, 0]), y == 1
        target = (1 - smoothing) * one + smoothing / 2
        each = -target * np.log(p) - (1 - target) * np.log(1 - p)
    else:
        residual = FUNCTIONS[network.output](z)[:, 0] - y
        each = residual**2 / 2 if loss == "squared" else np.abs(residual)
    return each.mean() + hyper.get("l2", 0.0) / 2 * sum((W**2).sum() for W in params[::2])


def slope(function: Callable[[list[np.ndarray]], float], params: list[np.ndarray], h: float = 1e-6) -> list[np.ndarray]:
    """The gradient by central differences: in float64 good to some 1e-9."""
    grads = [np.zeros_like(leaf) for leaf in params]
    moving = [leaf.copy() for leaf in params]
    for leaf, grad in zip(moving, grads):
        for place in np.ndindex(leaf.shape):
            middle = leaf[place]
            ends = []
            for leaf[place] in (middle + h, middle - h):
                ends.append(function(moving))
            leaf[place] = middle
            grad[place] = (ends[0] - ends[1]) / (2 * h)
    return grads


def rows(network: Network, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and labels as the loss of `network` wants them."""
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (n, network.inputs)).astype(np.uint8)
    if network.output == "softmax":
        return x, rng.integers(0, network.outputs, n).astype(np.int32)
    if network.output in ("sigmoid", "tanh"):
        return x, np.asarray(losses.labels(network, jnp.asarray(rng.integers(0, 2, n).astype(np.int32))))
    return x, rng.normal(size=n).astype(np.float32)


def on_device(x: np.ndarray, y: np.ndarray) -> Data:
    return Data(jnp.asarray(x), jnp.asarray(y), jnp.float32(127.5), jnp.float32(1 / 64))


def in_double(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float64) - 127.5) / 64


def make_params(network: Network) -> list[np.ndarray]:
    """W, b, W, b, …; no bias is zero."""
    rng = np.random.default_rng(0)
    shapes = [shape for out, inp in zip(network.widths[1:], network.widths) for shape in ((out, inp), (out,))]
    return [(0.5 * rng.normal(size=shape)).astype(np.float32).astype(np.float64) for shape in shapes]


def as_layers(params: list[np.ndarray]) -> model.Params:
    return tuple(Layer(jnp.float32(W), jnp.float32(b)) for W, b in zip(params[::2], params[1::2]))


def flat(params) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(params)])


def assert_close(ours: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Within `tolerance` of the largest entry."""
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())


gradient = jax.jit(trial.gradient, static_argnums=0)


@pytest.mark.parametrize("regular", [False, True], ids=["plain", "regularised"])
@pytest.mark.parametrize(
    ("activation", "pair"), ACTIVATED, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_losses_and_gradients_equal_numpy(activation: str, pair: tuple[str, str], regular: bool) -> None:
    output, loss = pair
    outputs = 3 if output == "softmax" else 1
    network = Network(inputs=7, hidden=(5, 4), outputs=outputs, activation=activation, output=output)
    hyper = {"l2": 0.1} | ({} if losses.is_regression(loss) else {"label_smoothing": 0.2}) if regular else {}
    (x, y), params = rows(network, 40), make_params(network)
    cell = Cell(network=network, loss=loss)
    value, grads = gradient(cell, hyper, on_device(x, y), as_layers(params), jnp.arange(40, dtype=jnp.int32))
    function = lambda params: mean_loss(network, loss, hyper, params, in_double(x), y)
    assert float(value) == pytest.approx(function(params), rel=ROUNDING)
    for ours, expected in zip(jax.tree.leaves(grads), slope(function, params), strict=True):
        assert_close(np.asarray(ours), expected, ROUNDING)


def test_a_large_batch_is_the_mean_of_its_pieces() -> None:
    n = 3 * trial.GRADIENT_ROWS + 17
    network = Network(inputs=7, hidden=(5,), outputs=3, activation="tanh")
    (x, y), params = rows(network, n), make_params(network)
    value, grads = gradient(Cell(network=network), {}, on_device(x, y), as_layers(params), None)
    function = lambda params: mean_loss(network, "cross_entropy", {}, params, in_double(x), y)
    assert float(value) == pytest.approx(function(params), rel=ROUNDING)
    assert_close(flat(grads), flat(slope(function, params)), ROUNDING)


@pytest.mark.parametrize("n", [7, 2 * trial.EVALUATION_ROWS + 3])
def test_evaluation_counts_every_example_once(n: int) -> None:
    network = Network(inputs=7, hidden=(5,), outputs=3, activation="tanh")
    (x, y), params = rows(network, n), make_params(network)
    sums = trial.evaluate(Cell(network=network), as_layers(params), on_device(x, y))
    assert int(sums.n) == n
    assert float(sums.loss) == pytest.approx(
        n * mean_loss(network, "cross_entropy", {}, params, in_double(x), y), rel=ROUNDING
    )
    z = np.tanh(in_double(x) @ params[0].T + params[1]) @ params[2].T + params[3]
    first, second = np.sort(z, axis=1)[:, :-3:-1].T
    assert (first - second).min() > ROUNDING, "a tie may go either way: choose other rows"
    assert int(sums.errors) == np.count_nonzero(z.argmax(axis=1) != y)


# ---------------------------------------------------------------------------------------------- trajectories

STEPS = 20
SMALL = Network(inputs=4, hidden=(5,), outputs=3, activation="tanh")


def trajectory(name: str, hyper: dict, point: np.ndarray, slope_at: Callable[[np.ndarray, int], np.ndarray]):
    """Follow the optimizer's equation in float64; yield the parameters after each step."""
    point = point.copy()
    gradients = (slope_at(point, t) for t in range(STEPS))
    for update in EQUATIONS[name](hyper, gradients):
        point += update
        yield point.copy()


QUICK = ("adagrad", "rmsprop")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in optimizers.CLASSICAL if n not in QUICK)]
)
def test_every_optimizer_follows_its_equation(name: str) -> None:
    """Sampling, forward, backward and update, over two ends of an epoch; each step against NumPy's."""
    n, batch_size = 30, 4
    hyper = {key: UNUSUAL[key] for key in optimizers.CLASSICAL[name].hyperparameters}
    hyper["learning_rate"] = 0.03 if name in ("rmsprop", "adam", "adamax", "nadam", "amsgrad") else 0.3
    cell = Cell(network=SMALL, optimizer=name, batch_size=batch_size)
    x, y = rows(SMALL, n)
    batches = np.asarray(stream("epochs", n, batch_size, jnp.arange(STEPS, dtype=jnp.uint32)))
    state = trial.start(cell, hyper, jnp.uint32(SEED))
    begin = flat(state.params)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.params)]
    ends = np.cumsum([0, *map(np.prod, shapes)])
    unflat = lambda point: [point[a:b].reshape(shape) for a, b, shape in zip(ends, ends[1:], shapes)]

    def slope_at(point: np.ndarray, t: int) -> np.ndarray:
        xs, ys = in_double(x[batches[t]]), y[batches[t]]
        return flat(slope(lambda params: mean_loss(SMALL, "cross_entropy", {}, params, xs, ys), unflat(point)))

    advance = partial(trial.advance, cell, hyper, jnp.uint32(SEED), on_device(x, y))
    for expected in trajectory(name, hyper, begin, slope_at):
        state = advance(state, jnp.int32(1))
        moved = np.abs(expected - begin).max()
        np.testing.assert_allclose(flat(state.params), expected, rtol=0, atol=DRIFT * moved)
    assert int(state.step) == STEPS
    assert moved > 0.1, "it hardly moved: a weak comparison"


# ---------------------------------------------------------------------------------------------- placement, resume


def clouds() -> Dataset:
    """Three overlapping clouds of bytes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 140).astype(np.int32)
    x = np.clip(rng.normal(128, 40, (140, 7)) + 60 * np.eye(3, 7)[y], 0, 255).astype(np.uint8)
    train, validation, test = (Split(x[part], y[part]) for part in (slice(100), slice(100, 120), slice(120, None)))
    return Dataset(
        name="clouds", task="multiclass", shape=(7,), classes=("a", "b", "c"), levels=255, train=train,
        validation=validation, test=test, center=np.array(128, np.float32), scale=np.array(1 / 64, np.float32),
    )  # fmt: skip


RATES = (0.01, 0.03, 0.1, 1e30, 0.3, 0.05, 0.2, 0.02, 0.15)  # one diverges
EVERYWHERE = ("train", "validation", "test")
ASKED = Config(hidden=(6,), batch_size=8, epochs=4.0, evaluations=4, evaluate_on=EVERYWHERE)


@pytest.fixture(scope="module")
def alone() -> list[run.Run]:
    with jax.default_matmul_precision("highest"):
        return [
            run.train(dataclasses.replace(ASKED, learning_rate=rate, seed=seed), dataset=clouds())
            for seed, rate in enumerate(RATES)
        ]


@pytest.mark.parametrize(("how", "count"), [("map", 9), ("vmap", 9), (2, 9), ("vmap", 1)])
@pytest.mark.slow
def test_the_place_of_a_trial_decides_nothing(alone: list[run.Run], how: str | int, count: int) -> None:
    found = population.train(
        ASKED,
        {"learning_rate": np.array(RATES[:count])},
        np.arange(count),
        dataset=clouds(),
        placement=how,
        keep_params=True,
        evaluation_share=1.0,
    )
    for trial_, one in enumerate(alone[:count]):
        assert found.status[trial_] == one.status == ("COMPLETE" if RATES[trial_] < 1 else "INFEASIBLE")
        assert found.steps[trial_] == one.steps
        if one.status == "INFEASIBLE":
            continue
        for split in EVERYWHERE:
            assert found.metrics[f"{split}_loss"][trial_] == pytest.approx(one.metrics[f"{split}_loss"], rel=DRIFT)
        params = flat(jax.tree.map(lambda leaf, trial_=trial_: leaf[trial_], found.params))
        assert_close(params, flat(one.params), DRIFT)


def bits(state) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_steps_divided_otherwise_are_the_same_bits(optimizer: str) -> None:
    cell = Cell(network=SMALL, optimizer=optimizer, batch_size=4)
    hyper, data = trial.complete(cell), on_device(*rows(SMALL, 30))
    ends = []
    for parts in ([STEPS], [1, 12, STEPS - 13], [1] * STEPS):
        state = trial.start(cell, hyper, jnp.uint32(SEED))
        for steps in parts:
            state = trial.advance(cell, hyper, jnp.uint32(SEED), data, state, jnp.int32(steps))
        ends.append(bits(state))
    assert ends[0] == ends[1] == ends[2]


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)  # so that there are many moments to interrupt it
    whole = run.train(ASKED, dataset=clouds())
    asked = itertools.count()
    part = run.train(ASKED, dataset=clouds(), out=tmp_path, interrupted=lambda: next(asked) == 20)
    assert part.status == "INCOMPLETE"
    assert 0 < part.steps < whole.steps
    rest = run.train(ASKED, dataset=clouds(), out=tmp_path, resume=True)
    assert bits(rest.state) == bits(whole.state)
    assert rest.metrics == whole.metrics
