"""Losses and metrics against NumPy in float64, SciPy, PyTorch, scikit-learn; sums against every way to divide them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import losses
from mlp_jax.losses import ClassificationSums, RegressionSums
from mlp_jax.model import Layer, Network

CLASSES = 4
SOFTMAX = Network(inputs=2, outputs=CLASSES)
SIGMOID = Network(inputs=2, outputs=1, output="sigmoid")
TANH = Network(inputs=2, outputs=1, output="tanh")
IDENTITY = Network(inputs=2, outputs=3, output="identity")
RELU = Network(inputs=2, outputs=3, output="relu")
PAIRS = [
    (network, loss) for network in (SOFTMAX, SIGMOID, TANH, IDENTITY, RELU) for loss in losses.FITTING[network.output]
]
FUNCTIONS = {"identity": lambda z: z, "relu": lambda z: np.maximum(z, 0)}


def some_labels(network: Network, n: int, rng: np.random.Generator) -> np.ndarray:
    """Labels as the loss of `network` wants them."""
    match network.output:
        case "softmax":
            return rng.integers(0, CLASSES, n).astype(np.int32)
        case "sigmoid":
            return rng.integers(0, 2, n).astype(np.int32)
        case "tanh":
            return (2 * rng.integers(0, 2, n) - 1).astype(np.int32)
        case _:
            return rng.normal(size=(n, network.outputs))


def each_loss(network: Network, loss: str, z: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """The loss of every row in float64."""
    with jax.enable_x64(True):
        one = lambda z, y: losses.LOSSES[loss](network, z, y, smoothing)
        return np.asarray(jax.vmap(one)(jnp.asarray(z, jnp.float64), jnp.asarray(y)))


def in_numpy(network: Network, loss: str, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same, written out."""
    match loss:
        case "cross_entropy":
            return scipy.special.logsumexp(z, axis=1) - z[np.arange(len(z)), y]
        case "binary_cross_entropy":
            p = (1 + np.tanh(z[:, 0])) / 2 if network.output == "tanh" else scipy.special.expit(z[:, 0])
            return -np.log(np.where(y == 1, p, 1 - p))
        case "squared":
            return ((FUNCTIONS[network.output](z) - y) ** 2).sum(axis=1) / 2
        case _:
            return np.abs(FUNCTIONS[network.output](z) - y).sum(axis=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_numpy_and_scikit_learn(rng: np.random.Generator, smoothing: float) -> None:
    z, y = 3 * rng.normal(size=(50, CLASSES)), some_labels(SOFTMAX, 50, rng)
    ours = each_loss(SOFTMAX, "cross_entropy", z, y, smoothing)
    f = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    target = (1 - smoothing) * np.eye(CLASSES)[y] + smoothing / CLASSES
    np.testing.assert_allclose(ours, -(target * np.log(f)).sum(axis=1), rtol=1e-12)
    if not smoothing:
        assert ours.mean() == pytest.approx(sklearn.metrics.log_loss(y, f, labels=range(CLASSES)), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32])
def test_integer_and_one_hot_labels_agree(rng: np.random.Generator, smoothing: float, dtype) -> None:
    z, y = rng.normal(size=(20, CLASSES)), some_labels(SOFTMAX, 20, rng)
    of_ids = each_loss(SOFTMAX, "cross_entropy", z, y, smoothing)
    of_one_hot = each_loss(SOFTMAX, "cross_entropy", z, np.eye(CLASSES, dtype=dtype)[y], smoothing)
    np.testing.assert_allclose(of_ids, of_one_hot, rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_equals_torch(rng: np.random.Generator, smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    z, y = 3 * rng.normal(size=(30, CLASSES)), some_labels(SOFTMAX, 30, rng)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(z), torch.tensor(y, dtype=torch.int64), reduction="none", label_smoothing=smoothing
    )
    np.testing.assert_allclose(each_loss(SOFTMAX, "cross_entropy", z, y, smoothing), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_equals_torch_for_both_outputs(rng: np.random.Generator, smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    z, y = 3 * rng.normal(size=(30, 1)), some_labels(SIGMOID, 30, rng)
    target = torch.tensor((1 - smoothing) * y + smoothing / 2)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits
    ours = each_loss(SIGMOID, "binary_cross_entropy", z, y, smoothing)
    np.testing.assert_allclose(ours, theirs(torch.tensor(z[:, 0]), target, reduction="none").numpy(), 1e-12, 1e-14)
    ours = each_loss(TANH, "binary_cross_entropy", z, 2 * y - 1, smoothing)
    np.testing.assert_allclose(ours, theirs(torch.tensor(2 * z[:, 0]), target, reduction="none").numpy(), 1e-12, 1e-14)


def test_binary_cross_entropy_is_minus_the_logarithm_of_the_probability(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(30, 1)), some_labels(SIGMOID, 30, rng)
    p = scipy.special.expit(z[:, 0])
    ours = each_loss(SIGMOID, "binary_cross_entropy", z, y)
    np.testing.assert_allclose(ours, -np.log(np.where(y == 1, p, 1 - p)), rtol=1e-12)
    assert ours.mean() == pytest.approx(sklearn.metrics.log_loss(y, p), rel=1e-12)
    p = (1 + np.tanh(z[:, 0])) / 2
    ours = each_loss(TANH, "binary_cross_entropy", z, 2 * y - 1)
    np.testing.assert_allclose(ours, -np.log(np.where(y == 1, p, 1 - p)), rtol=1e-12)


def test_a_tanh_output_is_a_sigmoid_output_of_twice_z(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(30, 1)), some_labels(SIGMOID, 30, rng)
    tanh = each_loss(TANH, "binary_cross_entropy", z, np.asarray(losses.labels(TANH, jnp.asarray(y))))
    np.testing.assert_allclose(tanh, each_loss(SIGMOID, "binary_cross_entropy", 2 * z, y), rtol=1e-12)


def test_two_classes_of_softmax_are_a_sigmoid(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(30, 1)), some_labels(SIGMOID, 30, rng)
    two = each_loss(Network(inputs=2, outputs=2), "cross_entropy", np.hstack([0 * z, z]), y)
    np.testing.assert_allclose(two, each_loss(SIGMOID, "binary_cross_entropy", z, y), rtol=1e-12)


@pytest.mark.parametrize("network", [SIGMOID, TANH], ids=lambda network: network.output)
def test_unsigned_class_ids_do_not_wrap_around(network: Network) -> None:
    y = jnp.array([0, 1], jnp.uint8)
    np.testing.assert_array_equal(losses.labels(TANH, y), [-1, 1])
    np.testing.assert_array_equal(losses.labels(SIGMOID, y), [0, 1])
    z = np.array([[1.5], [1.5]])
    signed = np.array([0, 1], np.int32)
    np.testing.assert_array_equal(
        each_loss(network, "binary_cross_entropy", z, np.asarray(losses.labels(network, y))),
        each_loss(network, "binary_cross_entropy", z, np.asarray(losses.labels(network, jnp.asarray(signed)))),
    )


@pytest.mark.parametrize("network", [IDENTITY, RELU], ids=lambda network: network.output)
def test_regression_losses_equal_numpy_and_torch(rng: np.random.Generator, network: Network) -> None:
    z, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    f = FUNCTIONS[network.output](z)
    squared, absolute = each_loss(network, "squared", z, y), each_loss(network, "absolute", z, y)
    np.testing.assert_allclose(squared, ((f - y) ** 2).sum(axis=1) / 2, rtol=1e-12)
    np.testing.assert_allclose(absolute, np.abs(f - y).sum(axis=1), rtol=1e-12)
    torch = pytest.importorskip("torch")
    f, y = torch.tensor(f), torch.tensor(y)
    assert 2 * squared.sum() == pytest.approx(torch.nn.functional.mse_loss(f, y, reduction="sum").item(), rel=1e-12)
    assert absolute.sum() == pytest.approx(torch.nn.functional.l1_loss(f, y, reduction="sum").item(), rel=1e-12)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_scalar_target_is_a_target_of_one_output(loss: str) -> None:
    network = Network(inputs=2, outputs=1, output="identity")
    z, y = np.array([[3.0], [-1.0]]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(each_loss(network, loss, z, y), each_loss(network, loss, z, y[:, None]))
    np.testing.assert_array_equal(each_loss(network, loss, z, y), [2.0, 4.5] if loss == "squared" else [2.0, 3.0])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=CLASSES, max_size=CLASSES), st.integers(0, CLASSES - 1))
def test_cross_entropy_is_exact_in_float32_up_to_ten_thousand(z: list[float], y: int) -> None:
    value, slope = _cross_entropy_with_gradient(jnp.array(z, jnp.float32), jnp.int32(y))
    expected = scipy.special.logsumexp(np.array(z, np.float64)) - z[y]
    assert float(value) == pytest.approx(
        expected, rel=1e-5, abs=4e-3
    )  # 4e-3: half a unit in the last place of 2e4, twice
    np.testing.assert_allclose(slope, scipy.special.softmax(np.array(z, np.float64)) - np.eye(CLASSES)[y], atol=3e-3)


_cross_entropy_with_gradient = jax.jit(jax.value_and_grad(partial(losses.cross_entropy, SOFTMAX)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("network", [SIGMOID, TANH, SOFTMAX], ids=lambda network: network.output)
def test_losses_and_gradients_stay_finite_far_out(network: Network, smoothing: float) -> None:
    loss = partial(losses.LOSSES[losses.FITTING[network.output][0]], network)
    z = jnp.array([0, 1e4, 0, 0]) if network.output == "softmax" else jnp.array([1e4])  # surely class 1
    others = smoothing * (1 - 1 / max(network.outputs, 2))  # what smoothing gives to the classes that are not named
    margin = 2e4 if network.output == "tanh" else 1e4
    wrong = -1 if network.output == "tanh" else 0
    for y, cost in ((1, others), (wrong, 1 - smoothing / max(network.outputs, 2))):
        value, slope = jax.value_and_grad(loss)(z, jnp.int32(y), smoothing)
        assert float(value) == pytest.approx(margin * cost, rel=1e-5, abs=1e-30)
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("network", "loss"), PAIRS, ids=lambda value: getattr(value, "output", value))
def test_gradients_equal_central_differences(
    rng: np.random.Generator, network: Network, loss: str, smoothing: float
) -> None:
    z = rng.normal(size=network.outputs)
    with jax.enable_x64(True):
        y = jnp.asarray(some_labels(network, 1, rng)[0])
        function = lambda z: losses.LOSSES[loss](network, jnp.asarray(z), y, smoothing)
        slope = np.asarray(jax.grad(function)(jnp.asarray(z)))
        h = 1e-5
        central = [float(function(z + h * e) - function(z - h * e)) / (2 * h) for e in np.eye(network.outputs)]
    assert np.abs(slope).max() > 0.01
    np.testing.assert_allclose(slope, central, rtol=1e-7, atol=1e-9)


def test_gradient_of_cross_entropy_is_softmax_minus_label(rng: np.random.Generator) -> None:
    z = rng.normal(size=CLASSES)
    with jax.enable_x64(True):
        slope = jax.grad(partial(losses.cross_entropy, SOFTMAX))(jnp.asarray(z), jnp.int32(2))
    np.testing.assert_allclose(slope, scipy.special.softmax(z) - [0, 0, 1, 0], rtol=1e-12)


def test_cross_entropy_takes_the_label_without_a_scatter(rng: np.random.Generator) -> None:
    """A TPU computes a scatter row after row; the sum over classes gives the same bits."""

    def plain(z, y):
        return -jax.nn.log_softmax(z)[y]

    def mean(loss, z, y):
        return jnp.mean(jax.vmap(loss)(z, y))

    z, y = jnp.asarray(rng.normal(0, 5, (64, 10)), jnp.float32), jnp.asarray(rng.integers(0, 10, 64), jnp.int32)
    ours, theirs = (
        jax.jit(jax.value_and_grad(partial(mean, loss)))(z, y)
        for loss in (partial(losses.cross_entropy, Network(inputs=2, outputs=10)), plain)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    program = jax.make_jaxpr(jax.grad(partial(mean, partial(losses.cross_entropy, SOFTMAX))))(z[:, :CLASSES], y)
    assert "scatter" not in str(program)
    assert "gather" not in str(program)


def padded(z: np.ndarray, y: np.ndarray, rows: int):
    """`rows` rows of which the first are z and y, and a mask; the others hold garbage that must not be counted."""
    missing = rows - len(z)
    garbage = np.nan if np.issubdtype(y.dtype, np.floating) else 999
    z = np.concatenate([z, np.full((missing, *z.shape[1:]), np.nan)])
    y = np.concatenate([y, np.full((missing, *y.shape[1:]), garbage, y.dtype)])
    order = np.random.default_rng(rows).permutation(rows)  # garbage between the rows, not behind them only
    return jnp.asarray(z[order]), jnp.asarray(y[order]), jnp.asarray((np.arange(rows) < rows - missing)[order])


_sums = jax.jit(losses.sums, static_argnums=(0, 1))
ROWS = 12


@pytest.mark.parametrize(("network", "loss"), PAIRS, ids=lambda value: getattr(value, "output", value))
@settings(max_examples=15, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(0, ROWS), min_size=1, max_size=6), seed=st.integers(0, 2**16))
def test_sums_of_any_parts_merge_into_the_whole(network: Network, loss: str, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    z, y = rng.normal(size=(n, network.outputs)), some_labels(network, n, rng)
    cuts = np.cumsum(sizes)[:-1]
    with jax.enable_x64(True):
        parts = [
            _sums(network, loss, *padded(*part, ROWS))
            for part in zip(np.split(z, cuts), np.split(y, cuts), strict=True)
        ]
        merged = jax.tree.map(lambda *values: sum(np.asarray(value) for value in values), *parts)
    f = FUNCTIONS[network.output](z) if losses.is_regression(loss) else z
    np.testing.assert_allclose(merged.loss, in_numpy(network, loss, z, y).sum(), rtol=1e-11, atol=1e-12)
    if losses.is_regression(loss):
        assert int(merged.n) == z.size
        expected = [np.abs(f - y).sum(), ((f - y) ** 2).sum(), y.sum(), (y**2).sum()]
        np.testing.assert_allclose(merged[2:], expected, rtol=1e-11, atol=1e-11)
    else:
        truth = (y > 0) if network.output == "tanh" else y
        guess = z.argmax(axis=1) if network.outputs > 1 else z[:, 0] > 0
        assert (int(merged.n), int(merged.errors)) == (n, np.count_nonzero(guess != truth))


@pytest.mark.parametrize(("network", "loss"), PAIRS, ids=lambda value: getattr(value, "output", value))
def test_metrics_equal_scikit_learn(rng: np.random.Generator, network: Network, loss: str) -> None:
    z, y = rng.normal(size=(40, network.outputs)), some_labels(network, 40, rng)
    with jax.enable_x64(True):
        metrics = losses.metrics(_sums(network, loss, jnp.asarray(z), jnp.asarray(y), jnp.ones(40, bool)), 3.0)
    approx = partial(pytest.approx, rel=1e-10)
    if losses.is_regression(loss):
        f, y = FUNCTIONS[network.output](z).ravel(), y.ravel()
        mean_square, mean_absolute = sklearn.metrics.mean_squared_error(y, f), sklearn.metrics.mean_absolute_error(y, f)
        mean_loss = mean_square / 2 if loss == "squared" else mean_absolute
        assert metrics == {
            "loss": approx(mean_loss),
            "rmse": approx(3 * mean_square**0.5),  # in the target's own unit, which the loss is not
            "mae": approx(3 * mean_absolute),
            "r2": approx(sklearn.metrics.r2_score(y, f)),
        }
        return
    if network.outputs == 1:
        probability = scipy.special.expit(z[:, 0] * (2 if network.output == "tanh" else 1))
        guess, y = probability > 0.5, y > 0
    else:
        probability = scipy.special.softmax(z, axis=1)
        guess = probability.argmax(axis=1)
    assert metrics == {
        "loss": approx(sklearn.metrics.log_loss(y, probability)),
        "error": approx(sklearn.metrics.zero_one_loss(y, guess)),
        "accuracy": approx(sklearn.metrics.accuracy_score(y, guess)),
    }
    assert 0 < metrics["error"] < 1


def test_sums_take_one_hot_labels(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(ROWS, CLASSES)), some_labels(SOFTMAX, ROWS, rng)
    z, mask = jnp.asarray(z, jnp.float32), jnp.ones(ROWS, bool)
    of_ids = losses.sums(SOFTMAX, "cross_entropy", z, jnp.asarray(y), mask)
    of_one_hot = losses.sums(SOFTMAX, "cross_entropy", z, jnp.asarray(np.eye(CLASSES, dtype=np.float32)[y]), mask)
    assert 0 < int(of_ids.errors) == int(of_one_hot.errors) < ROWS
    np.testing.assert_allclose(of_ids.loss, of_one_hot.loss, rtol=1e-6)


@pytest.mark.parametrize(("network", "loss"), PAIRS, ids=lambda value: getattr(value, "output", value))
def test_losses_of_many_are_those_of_each(rng: np.random.Generator, network: Network, loss: str) -> None:
    params = (Layer(jnp.asarray(rng.normal(size=(network.outputs, 2)), jnp.float32), None),)
    x, y = jnp.asarray(rng.normal(size=(ROWS, 2)), jnp.float32), jnp.asarray(some_labels(network, ROWS, rng))
    z = x @ params[0].W.T
    each = [float(losses.LOSSES[loss](network, z[i], y[i], 0.1)) for i in range(ROWS)]
    np.testing.assert_allclose(losses.each(network, loss, z, y, 0.1), each, rtol=1e-5)
    assert float(losses.total(network, loss, params, x, y, 0.1)) == pytest.approx(sum(each), rel=1e-5)
    mask = jnp.arange(ROWS) >= 4
    assert float(losses.total(network, loss, params, x, y, 0.1, mask)) == pytest.approx(sum(each[4:]), rel=1e-5)
    all_rows, no_mask = losses.sums(network, loss, z, y, jnp.ones(ROWS, bool)), losses.sums(network, loss, z, y)
    jax.tree.map(np.testing.assert_array_equal, all_rows, no_mask)


def test_an_empty_part_has_no_metrics() -> None:
    nothing = jnp.zeros(ROWS, bool)
    for network, loss, names in (
        (SOFTMAX, "cross_entropy", ["loss", "error", "accuracy"]),
        (IDENTITY, "squared", ["loss", "rmse", "mae", "r2"]),
    ):
        y = jnp.zeros(ROWS, jnp.int32) if loss == "cross_entropy" else jnp.zeros((ROWS, 3))
        metrics = losses.metrics(losses.sums(network, loss, jnp.zeros((ROWS, network.outputs)), y, nothing))
        assert list(metrics) == names
        assert all(np.isnan(value) for value in metrics.values())


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu"])
def test_an_infinite_output_has_no_metrics_where_the_output_s_function_hides_it(output: str) -> None:
    network, loss = Network(inputs=1, outputs=1, output=output), losses.FITTING[output][0]
    z = jnp.full((4, 1), -jnp.inf)
    y = jnp.asarray(losses.labels(network, np.zeros(4, np.int32)) if output != "relu" else np.zeros(4, np.float32))
    if output == "relu":
        np.testing.assert_array_equal(losses.each(network, loss, z, y), 0)  # as if it were right
    metrics = losses.metrics(losses.sums(network, loss, z, y))
    assert all(np.isnan(value) for value in metrics.values())


def test_r2_of_a_constant_target_is_not_defined() -> None:
    network = Network(inputs=1, outputs=1, output="identity")
    y = jnp.full(4, 2.0)
    metrics = losses.metrics(losses.sums(network, "squared", jnp.ones((4, 1)), y, jnp.ones(4, bool)))
    assert np.isnan(metrics["r2"])
    assert (metrics["loss"], metrics["rmse"], metrics["mae"]) == (0.5, 1.0, 1.0)


def test_a_network_that_is_not_finite_has_no_accuracy() -> None:
    """argmax of NaNs is class 0, which is right for every example of that class."""
    y = jnp.zeros(ROWS, jnp.int32)
    for bad in (np.nan, np.inf):
        z = jnp.zeros((ROWS, CLASSES)).at[3, 1].set(bad)
        metrics = losses.metrics(losses.sums(SOFTMAX, "cross_entropy", z, y))
        assert all(np.isnan(metrics[name]) for name in ("error", "accuracy"))
        assert not np.isfinite(metrics["loss"])


@pytest.mark.parametrize(("mean", "outlier"), [(0.0, 0.0), (3000.0, 0.0), (-5e4, 0.0), (0.0, 50.0)])
def test_r2_is_exact_where_the_mean_is_far_from_0(rng: np.random.Generator, mean: float, outlier: float) -> None:
    network = Network(inputs=1, outputs=1, output="identity")
    y = (mean + rng.normal(size=5000)).astype(np.float32)
    y[0] += outlier
    z = (y + rng.normal(0, 0.7, 5000)).astype(np.float32)
    shift = losses.middle(jnp.asarray(y[:1000]))
    parts = [
        _sums(network, "squared", z[k : k + 1000, None], y[k : k + 1000], None, shift) for k in range(0, 5000, 1000)
    ]
    metrics = losses.metrics(jax.tree.map(lambda *values: sum(values), *parts))
    expected = sklearn.metrics.r2_score(y.astype(np.float64), z.astype(np.float64))
    assert metrics["r2"] == pytest.approx(expected, abs=1e-4)


def test_the_middle_is_a_target_near_the_mean() -> None:
    assert float(losses.middle(jnp.array([0.0, 10.0, 4.0, 5.0]))) == 5.0
    assert set(np.asarray(jnp.full(7, 0.1) - losses.middle(jnp.full(7, 0.1))).tolist()) == {0.0}


def test_sums_are_the_right_kind() -> None:
    assert [loss for loss in losses.LOSSES if losses.is_regression(loss)] == ["squared", "absolute"]
    mask = jnp.ones(1, bool)
    classes = losses.sums(SOFTMAX, "cross_entropy", jnp.zeros((1, CLASSES)), jnp.zeros(1, jnp.int32), mask)
    assert isinstance(classes, ClassificationSums)
    assert isinstance(losses.sums(IDENTITY, "absolute", jnp.zeros((1, 3)), jnp.zeros((1, 3)), mask), RegressionSums)


@pytest.mark.parametrize(
    ("network", "z", "expected"),
    [
        (SOFTMAX, [[0, 1, 3, 2], [5, 1, 1, 1]], [2, 0]),
        (SIGMOID, [[0.1], [-0.1]], [1, 0]),
        (TANH, [[3.0], [-3.0]], [1, 0]),
    ],
    ids=["softmax", "sigmoid", "tanh"],
)
def test_predicted_class(network: Network, z: list, expected: list[int]) -> None:
    np.testing.assert_array_equal(losses.predicted_class(network, jnp.array(z, jnp.float32)), expected)
    assert int(losses.predicted_class(network, jnp.array(z[0], jnp.float32))) == expected[0]


def test_penalty_is_half_the_squares_of_the_matrices_alone(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))
    with jax.enable_x64(True):
        params = (Layer(jnp.asarray(first), jnp.full(3, 100.0)), Layer(jnp.asarray(second), None))
        value, slope = jax.value_and_grad(losses.penalty)(params)
    assert float(value) == pytest.approx(((first**2).sum() + (second**2).sum()) / 2, rel=1e-12)
    np.testing.assert_allclose(slope[0].W, first, rtol=1e-12)
    np.testing.assert_array_equal(slope[0].b, np.zeros(3))


@pytest.mark.parametrize("output", sorted(losses.FITTING))
@pytest.mark.parametrize("loss", sorted(losses.LOSSES))
def test_check_accepts_what_fits_and_refuses_the_rest(output: str, loss: str) -> None:
    fits = {
        "cross_entropy": ["softmax"],
        "binary_cross_entropy": ["sigmoid", "tanh"],
        "squared": ["identity", "relu"],
        "absolute": ["identity", "relu"],
    }
    network = Network(inputs=2, outputs=1, output=output)
    if output in fits[loss]:
        losses.check(network, loss)
        return
    with pytest.raises(ValueError, match=f"loss '{loss}' does not fit output '{output}'; use .*, or another output"):
        losses.check(network, loss)


def test_check_names_the_losses_that_fit() -> None:
    with pytest.raises(ValueError, match=r"use squared or absolute, or another output"):
        losses.check(IDENTITY, "cross_entropy")
    with pytest.raises(
        ValueError, match=r"unknown loss 'hinge'; choose one of absolute, binary_cross_entropy, cross_entropy, squared"
    ):
        losses.check(SOFTMAX, "hinge")


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_binary_cross_entropy_needs_one_output(output: str) -> None:
    with pytest.raises(ValueError, match=r"needs 1 output, not 3; use output softmax for more than two classes"):
        losses.check(Network(inputs=2, outputs=3, output=output), "binary_cross_entropy")
