"""The noise scale against brute force, on a noisy quadratic, and during training."""

from functools import partial
from itertools import cycle, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

from mlp_jax import losses, model, noise_scale, trial
from mlp_jax.model import ACTIVATIONS, BIASES, Layer, Network
from mlp_jax.trial import Cell, Data

OUTPUTS = [(output, loss) for output, fitting in losses.FITTING.items() for loss in fitting]
CASES = [*product(BIASES, OUTPUTS, [(4,)]), *product(BIASES, OUTPUTS[:1], [(), (4, 3)])]
NETWORKS = [  # seven pairs of output and loss for each bias, so that each bias meets all five activations
    (Network(inputs=5, hidden=hidden, outputs=outputs, activation=activation, output=output, bias=bias), loss)
    for (bias, (output, loss), hidden), activation in zip(CASES, cycle(ACTIVATIONS))
    for outputs in [1 if output in ("sigmoid", "tanh") else 3]
]
SMALL = Network(inputs=3, hidden=(4,), outputs=3, activation="tanh")


def example_rows(network: Network, n: int, dtype: str, seed: int = 0):
    """Rows, labels as the network's loss wants them, and parameters whose biases are not zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, network.inputs)).astype(dtype)
    match network.output:
        case "softmax":
            y = rng.integers(0, network.outputs, n).astype(np.int32)
        case "sigmoid":
            y = rng.integers(0, 2, n).astype(np.int32)
        case "tanh":
            y = 2 * rng.integers(0, 2, n).astype(np.int32) - 1
        case _:
            y = rng.normal(size=(n, network.outputs)).astype(dtype)
    draw = lambda *shape: jnp.asarray(rng.normal(0, 0.5, shape), dtype)
    pairs = zip(network.widths, network.widths[1:])
    params = tuple(Layer(draw(out, inp), draw(out) if network.bias == "all" else None) for inp, out in pairs)
    return jnp.asarray(x), jnp.asarray(y), params


def plain(x, y) -> Data:
    """Rows that are normalised already."""
    return Data(x, y, jnp.zeros((), x.dtype), jnp.ones((), x.dtype))


@partial(jax.jit, static_argnums=(0, 1))
def per_example_gradients(network: Network, loss: str, params, x, y, label_smoothing=0.0):
    """The gradient of each example's loss as one long row."""

    def of_example(params, x, y):
        return losses.LOSSES[loss](network, model.forward(network, params, x), y, label_smoothing)

    each = jax.vmap(jax.grad(of_example), (None, 0, 0))(params, x, y)
    return jnp.concatenate([leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(each)], axis=1)


def by_hand(gradients) -> tuple[float, float]:
    """trΣ and |G|² in float64."""
    gradients = np.asarray(gradients, np.float64)
    mean = gradients.mean(axis=0)
    return ((gradients - mean) ** 2).sum(axis=1).mean(), mean @ mean


@partial(jax.jit, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 0})
def both(network: Network, loss: str, params, x, y):
    """What is compared, as one program, compiled fast rather than well: there are some fifty of them."""
    exact = noise_scale.exact(network, loss, params, plain(x, y))
    return exact, per_example_gradients(network, loss, params, x, y)


@pytest.mark.parametrize(("dtype", "rtol"), [pytest.param("float32", 1e-5, marks=pytest.mark.slow), ("float64", 1e-10)])
@pytest.mark.parametrize(("network", "loss"), NETWORKS)
def test_layer_wise_norms_are_those_of_the_gradients(network, loss, dtype, rtol):
    with jax.enable_x64(dtype == "float64"):
        x, y, params = example_rows(network, 7, dtype)
        ours, gradients = both(network, loss, params, x, y)
        trace, squared_norm = by_hand(gradients)
        np.testing.assert_allclose([*ours, ours.b_simple], [trace, squared_norm, trace / squared_norm], rtol=rtol)


def test_factors_are_the_gradient_of_one_example():
    x, y, params = example_rows(SMALL, 1, "float32")
    one = lambda params: losses.cross_entropy(SMALL, model.forward(SMALL, params, x[0]), y[0])
    entered, deltas = jax.jit(noise_scale.factors, static_argnums=(0, 1))(SMALL, "cross_entropy", params, x[0], y[0])
    for grad, a, delta in zip(jax.jit(jax.grad(one))(params), entered, deltas):
        np.testing.assert_allclose(grad.W, np.outer(delta, a), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(grad.b, delta, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1, 5, 11, 12])
def test_the_size_of_the_pieces_changes_nothing(size):
    with jax.enable_x64(True):
        x, y, params = example_rows(SMALL, 11, "float64")
        ours = noise_scale.exact(SMALL, "cross_entropy", params, plain(x, y), size=size)
        np.testing.assert_allclose(ours, by_hand(per_example_gradients(SMALL, "cross_entropy", params, x, y)))


def test_rows_are_normalised_piece_by_piece():
    x, y, params = example_rows(SMALL, 11, "float32")
    raw = Data(x, y, jnp.asarray(0.5), jnp.asarray(2.0))
    by_pieces = noise_scale.exact(SMALL, "cross_entropy", params, raw, size=4)
    whole = noise_scale.exact(SMALL, "cross_entropy", params, plain(2 * x - 1, y))
    np.testing.assert_allclose(by_pieces, whole, rtol=1e-5)


def test_regularisation_is_part_of_the_gradient_and_adds_no_noise():
    with jax.enable_x64(True):
        x, y, params = example_rows(SMALL, 11, "float64")
        gradients = per_example_gradients(SMALL, "cross_entropy", params, x, y, 0.1)
        pull = jax.grad(lambda params: 0.3 * losses.penalty(params))(params)
        flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(pull)])
        theirs = by_hand(gradients + flat[None])
        ours = noise_scale.exact(SMALL, "cross_entropy", params, plain(x, y), l2=0.3, label_smoothing=0.1)
        np.testing.assert_allclose(ours, theirs)


def test_examples_that_agree_have_no_noise():
    x, y, params = example_rows(SMALL, 1, "float32")
    ours = noise_scale.exact(SMALL, "cross_entropy", params, plain(jnp.repeat(x, 9, 0), jnp.repeat(y, 9)))
    assert 0 <= ours.trace < 1e-5 * ours.squared_norm


def quadratic(targets: np.ndarray, w: np.ndarray):
    """The loss ½|w − y|² as a network: one input that is 1, no bias, squared loss; its Hessian is the identity."""
    network = Network(inputs=1, outputs=targets.shape[1], output="identity", bias="none")
    return network, (Layer(jnp.asarray(w)[:, None], None),), jnp.ones((len(targets), 1)), jnp.asarray(targets)


def test_a_noisy_quadratic_is_solved_by_hand():
    """g_i = w − y_i: trΣ is the variance of y, G = w − mean y; and of an SGD step at the best learning rate the loss

    falls by ½|G|²/(1 + B_simple/B), half as much at B = B_simple as without noise (McCandlish et al. 2018, eq. 2.7).
    """
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        targets, w = rng.normal(1, 2, (50, 4)), np.array([3.0, -1.0, 0.5, 2.0])
        network, params, x, y = quadratic(targets, w)
        ours = noise_scale.exact(network, "squared", params, plain(x, y))
        gradient, noise = w - targets.mean(axis=0), targets.var(axis=0).sum()
        np.testing.assert_allclose(ours, (noise, gradient @ gradient), rtol=1e-12)
        for batch_size in (1, 10, 1000):
            learning_rates = np.linspace(0, 1, 10_001)
            squared = (1 - learning_rates) ** 2 * (gradient @ gradient) + learning_rates**2 * noise / batch_size
            fall = (gradient @ gradient - squared.min()) / 2
            np.testing.assert_allclose(fall, gradient @ gradient / 2 / (1 + ours.b_simple / batch_size), rtol=1e-5)


def digits() -> Data:
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return Data(jnp.asarray(x / 8 - 1, jnp.float32), jnp.asarray(y, jnp.int32), jnp.zeros(()), jnp.ones(()))


CELL = Cell(network=Network(inputs=64, hidden=(16,), outputs=10), optimizer="sgd", batch_size=32)
POINTS = (0, 20, 100, 400, 1500)


@pytest.fixture(scope="module")
def training() -> list:
    """The parameters at five points of a training run, with their exact noise scale."""
    data, seed, hyper = digits(), jnp.uint32(0), {"learning_rate": jnp.float32(0.1)}
    state, points = trial.start(CELL, hyper, seed), []
    for before, point in zip((0, *POINTS), POINTS):
        state = trial.advance(CELL, hyper, seed, data, state, jnp.int32(point - before))
        params = jax.tree.map(jnp.copy, state.params)
        points.append((params, noise_scale.exact(CELL.network, CELL.loss, params, data)))
    return points


def test_the_noise_scale_grows_as_the_loss_falls(training):
    values = [float(exact.b_simple) for _, exact in training]
    assert min(values[1:]) > 2 * values[0]
    assert values[-1] > 20 * values[0]


def test_values_are_traced_and_shapes_are_compiled_once():
    x, y, params = example_rows(SMALL, 12, "float32")
    before = noise_scale.exact._cache_size()
    for scale in (1.0, 2.0, 3.0):
        scaled = jax.tree.map(lambda leaf, scale=scale: scale * leaf, params)
        values = {"l2": jnp.float32(scale), "label_smoothing": jnp.float32(scale / 10)}
        noise_scale.exact(SMALL, "cross_entropy", scaled, plain(x, y), **values)
    assert noise_scale.exact._cache_size() == before + 1


def test_bad_input_is_explained():
    x, y, params = example_rows(SMALL, 12, "float32")
    with pytest.raises(ValueError, match="at least 1 of both"):
        noise_scale.exact(SMALL, "cross_entropy", params, plain(x, y), size=0)
