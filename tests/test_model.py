"""The network against the same formulas written in float64 NumPy, and its initial weights against their laws."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import model
from mlp_jax.model import Layer, Network

NUMPY = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
    "gelu": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(),
}
WIDTH = st.integers(1, 4)


NETWORKS = st.fixed_dictionaries(
    {
        "inputs": WIDTH,
        "hidden": st.lists(WIDTH, max_size=4).map(tuple),
        "outputs": WIDTH,
        "activation": st.sampled_from(sorted(model.ACTIVATIONS)),
        "output": st.sampled_from(sorted(model.OUTPUTS)),
        "bias": st.sampled_from(model.BIASES),
    }
)


def random_params(network: Network, seed: int):
    """Parameters of the right shapes whose biases are not zero either."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)


def in_numpy(network: Network, params, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z and f(x), written out."""
    if network.bias == "ones":
        x = np.concatenate([x, [1.0]])
    for number, layer in enumerate(params, start=1):
        z = np.asarray(layer.W) @ x
        if network.bias == "all":
            z = z + np.asarray(layer.b)
        x = NUMPY[network.activation if number < len(params) else network.output](z)
    return z, x


@settings(max_examples=40, deadline=None, derandomize=True)
@given(NETWORKS, st.integers(0, 2**16))
def test_forward_and_output_equal_numpy(given: dict, seed: int) -> None:
    network = Network(**given)
    x = np.random.default_rng(seed + 1).normal(size=network.inputs)
    with jax.enable_x64(True):
        params = random_params(network, seed)
        z = model.forward(network, params, jnp.asarray(x))
        f = model.output(network, z)
        expected = in_numpy(network, params, x)
    np.testing.assert_allclose(z, expected[0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(f, expected[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bias", model.BIASES)
@pytest.mark.parametrize("activation", sorted(model.ACTIVATIONS))
@pytest.mark.parametrize("output", sorted(model.OUTPUTS))
def test_every_combination_of_functions_equals_numpy(activation: str, output: str, bias: str) -> None:
    network = Network(inputs=3, hidden=(4, 2), outputs=3, activation=activation, output=output, bias=bias)
    x = np.array([0.5, -1.5, 2.0])
    with jax.enable_x64(True):
        params = random_params(network, 7)
        z = model.forward(network, params, jnp.asarray(x))
        f = model.output(network, z)
        expected = in_numpy(network, params, x)
    np.testing.assert_allclose(z, expected[0], rtol=1e-12)
    np.testing.assert_allclose(f, expected[1], rtol=1e-12)


def test_every_function_is_tested() -> None:
    assert set(NUMPY) == set(model.ACTIVATIONS) | set(model.OUTPUTS)


def test_an_examples_output_does_not_depend_on_the_batch() -> None:
    network = Network(inputs=3, hidden=(4,), outputs=2, bias="ones")
    x = np.random.default_rng(0).normal(size=(5, 3))
    with jax.enable_x64(True):
        params = random_params(network, 1)
        batched = jax.vmap(partial(model.forward, network, params))(jnp.asarray(x))
        expected = [in_numpy(network, params, row)[0] for row in x]
    np.testing.assert_allclose(batched, expected, rtol=1e-12)


def test_a_ones_feature_is_the_bias_of_the_first_layer() -> None:
    x = jnp.array([0.5, -2.0])
    W, b = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), jnp.array([7.0, 8.0, 9.0])
    softmax = partial(Network, inputs=2, outputs=3)
    with_b = model.forward(softmax(bias="all"), (Layer(W, b),), x)
    with_ones = model.forward(softmax(bias="ones"), (Layer(jnp.column_stack([W, b]), None),), x)
    np.testing.assert_array_equal(with_b, with_ones)
    np.testing.assert_array_equal(with_b, [3.5, 1.5, -0.5])


def test_without_activations_the_network_is_the_product_of_its_matrices() -> None:
    network = Network(inputs=4, hidden=(3, 5), outputs=2, activation="identity", bias="none")
    with jax.enable_x64(True):
        params = random_params(network, 3)
        x = jnp.asarray(np.random.default_rng(4).normal(size=4))
        z = model.forward(network, params, x)
    first, second, third = (np.asarray(layer.W) for layer in params)
    np.testing.assert_allclose(z, third @ second @ first @ np.asarray(x), rtol=1e-12)


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "tanh"])
def test_bounded_outputs_stay_finite_far_out(output: str) -> None:
    network = Network(inputs=1, outputs=3, output=output)
    low = -1.0 if output == "tanh" else 0.0
    np.testing.assert_array_equal(model.output(network, jnp.array([-1e4, -1e4, 1e4])), [low, low, 1.0])


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(deadline=None, derandomize=True)
def test_parameter_count_of_the_slides(d1: int, d2: int) -> None:
    network = Network(inputs=784, hidden=(d1, d2), outputs=10, bias="ones")
    assert model.parameter_count(network) == 785 * d1 + d1 * d2 + 10 * d2
    assert model.parameter_count(Network(inputs=784, outputs=10, bias="ones")) == 10 * 785


@given(NETWORKS)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_parameter_count_counts_what_init_draws(given: dict) -> None:
    network = Network(**given)
    shapes = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    assert model.parameter_count(network) == sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert len(shapes) == len(network.hidden) + 1
    assert [layer.W.shape for layer in shapes] == [(o, i) for i, o in zip(network.widths, network.widths[1:])]
    assert [layer.b is None for layer in shapes] == [network.bias != "all"] * len(shapes)


@pytest.mark.parametrize(
    ("bias", "rows"),
    [
        (
            "all",
            ["input 784 0", "hidden 1 256 relu 200,960", "hidden 2 1,000 relu 257,000", "output 10 softmax 10,010"]
            + ["total 467,970"],
        ),
        (
            "ones",
            ["input 784 1 more, of ones 0", "hidden 1 256 relu 200,960", "hidden 2 1,000 relu 256,000"]
            + ["output 10 softmax 10,000", "total 466,960"],
        ),
        (
            "none",
            ["input 784 0", "hidden 1 256 relu 200,704", "hidden 2 1,000 relu 256,000", "output 10 softmax 10,000"]
            + ["total 466,704"],
        ),
    ],
)
def test_summary_shows_every_number(bias: str, rows: list[str]) -> None:
    lines = model.summary(Network(inputs=784, hidden=(256, 1000), outputs=10, bias=bias)).splitlines()
    assert [" ".join(line.split()) for line in lines] == ["layer width activation parameters", *rows]
    assert len({len(line) for line in lines}) == 1, "the columns are not aligned"


def test_summary_of_a_softmax_classifier_has_no_hidden_layer() -> None:
    lines = model.summary(Network(inputs=3, outputs=2, output="identity")).splitlines()
    assert [" ".join(line.split()) for line in lines[1:]] == ["input 3 0", "output 2 identity 8", "total 8"]


TRUNCATED_STD = scipy.stats.truncnorm.std(-2, 2)  # of a standard normal cut at ±2: 0.8796


def _truncated_at_two(scale: float):
    return scipy.stats.truncnorm(-2, 2, scale=scale)


@pytest.mark.parametrize(
    ("init", "law", "std"),
    [
        ("he", _truncated_at_two(np.sqrt(2 / 300) / TRUNCATED_STD), np.sqrt(2 / 300)),
        ("lecun", _truncated_at_two(np.sqrt(1 / 300) / TRUNCATED_STD), np.sqrt(1 / 300)),
        ("glorot", scipy.stats.uniform(-np.sqrt(6 / 500), 2 * np.sqrt(6 / 500)), np.sqrt(2 / 500)),
        ("truncated_normal", _truncated_at_two(0.05), 0.05 * TRUNCATED_STD),
    ],
)
def test_initial_weights_follow_their_law(init: str, law, std: float) -> None:
    network = Network(inputs=300, hidden=(200,), outputs=5, init=init, init_std=0.05)
    layer = model.init(jax.random.key(0), network)[0]
    W = np.asarray(layer.W, np.float64).ravel()
    low, high = law.support()
    slack = 1 + 1e-6
    assert low * slack <= W.min() < 0.98 * low
    assert 0.98 * high < W.max() <= high * slack
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) < 4 * std / np.sqrt(W.size)
    assert scipy.stats.kstest(W, law.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(layer.b, np.zeros(200))


def test_zeros_are_zeros() -> None:
    params = model.init(jax.random.key(0), Network(inputs=3, hidden=(4,), outputs=2, init="zeros"))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(params))


def test_a_deeper_network_starts_with_the_same_first_layers() -> None:
    key = jax.random.key(5)
    short = model.init(key, Network(inputs=6, hidden=(5,), outputs=4))
    deep = model.init(key, Network(inputs=6, hidden=(5, 4, 3), outputs=2, output="identity", activation="tanh"))
    for ours, theirs in zip(short, deep[:2], strict=True):
        np.testing.assert_array_equal(ours.W, theirs.W)


def test_weights_differ_between_layers_and_between_keys() -> None:
    network = Network(inputs=4, hidden=(4,), outputs=4)
    first, second = model.init(jax.random.key(0), network)
    other = model.init(jax.random.key(1), network)[0]
    again = model.init(jax.random.key(0), network)[0]
    assert np.all(np.asarray(first.W) != np.asarray(second.W))
    assert np.all(np.asarray(first.W) != np.asarray(other.W))
    np.testing.assert_array_equal(first.W, again.W)


@pytest.mark.parametrize("init", ["he", "glorot"])
def test_a_key_means_the_same_weights_at_every_precision(init: str) -> None:
    network = Network(inputs=4, hidden=(8,), outputs=3, init=init)
    single = model.init(jax.random.key(5), network)
    with jax.enable_x64(True):
        double = model.init(jax.random.key(5), network)
    for a, b in zip(single, double, strict=True):
        assert (a.W.dtype, b.W.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(a.W, np.asarray(b.W))


def test_parameters_have_the_default_float_type() -> None:
    network = Network(inputs=2, hidden=(2,), outputs=2)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.init(jax.random.key(0), network))} == {jnp.float32.dtype}
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in jax.tree.leaves(model.init(jax.random.key(0), network))} == {jnp.float64.dtype}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": 0}, r"inputs width 0 is not allowed; give a whole number of at least 1"),
        ({"outputs": -1}, r"outputs width -1 is not allowed"),
        ({"hidden": (3, 0)}, r"hidden width 0 is not allowed"),
        ({"inputs": True}, r"inputs width True is not allowed"),
        (
            {"activation": "rleu"},
            r"unknown activation 'rleu'; choose one of gelu, identity, relu, sigmoid, tanh",
        ),
        ({"output": "relu6"}, r"unknown output 'relu6'; choose one of identity, relu, sigmoid, softmax, tanh"),
        ({"bias": "some"}, r"unknown bias 'some'; choose one of all, none, ones"),
        ({"init": "xavier"}, r"unknown init 'xavier'; choose one of glorot, he, lecun, truncated_normal, zeros"),
        ({"init_std": 0.0}, r"init_std 0\.0 is not allowed; give a positive number"),
        ({"init_std": -1.0}, r"init_std -1\.0 is not allowed"),
        ({"init_std": float("nan")}, r"init_std nan is not allowed"),
        ({"init_std": float("inf")}, r"init_std inf is not allowed"),
    ],
)
def test_errors_say_what_is_allowed(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(**({"inputs": 2, "outputs": 2} | given))


def test_a_network_is_static_and_hashable() -> None:
    network = Network(inputs=2, hidden=(3,), outputs=2)
    assert network == Network(inputs=2, hidden=(3,), outputs=2)
    assert hash(network) == hash(Network(inputs=2, hidden=(3,), outputs=2))
    with pytest.raises(AttributeError):
        network.inputs = 3


def test_features_are_x_and_under_bias_ones_a_one() -> None:
    x = jnp.array([2.0, 3.0])
    for bias, expected in (("all", [2, 3]), ("none", [2, 3]), ("ones", [2, 3, 1])):
        network = model.Network(inputs=2, outputs=1, output="identity", bias=bias)
        np.testing.assert_array_equal(model.features(network, x), expected)
