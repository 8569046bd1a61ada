"""The gradient by hand against jax.grad and central differences; updating early against the ordinary step."""

import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import losses, model, optimizers
from mlp_jax.lecture import backpropagation
from mlp_jax.model import Layer, Network

PAIRS = [(output, loss) for output, fitting in losses.FITTING.items() for loss in fitting]


WIDTH = st.integers(1, 40)
NETWORKS = st.fixed_dictionaries(
    {
        "inputs": WIDTH,
        "hidden": st.lists(WIDTH, max_size=5).map(tuple),
        "outputs": WIDTH,
        "activation": st.sampled_from(sorted(model.ACTIVATIONS)),
        "bias": st.sampled_from(model.BIASES),
    }
)


def draw_params(network: Network, rng: np.random.Generator, dtype):
    """Weights that keep the size of what flows through them, and biases that are not zero."""
    W = lambda out, inp: (1.5 / inp**0.5 * rng.normal(size=(out, inp))).astype(dtype)
    b = lambda out: (0.5 * rng.normal(size=out)).astype(dtype) if network.bias == "all" else None
    return tuple(Layer(W(out, inp), b(out)) for inp, out in zip(network.widths, network.widths[1:]))


def draw_labels(network: Network, n: int, rng: np.random.Generator, one_hot: bool, dtype) -> np.ndarray:
    match network.output:
        case "softmax":
            y = rng.integers(0, network.outputs, n)
            return np.eye(network.outputs, dtype=dtype)[y] if one_hot else y.astype(np.int32)
        case "sigmoid":
            return rng.integers(0, 2, n).astype(np.uint8)
        case "tanh":
            return (2 * rng.integers(0, 2, n) - 1).astype(np.int32)
        case _:
            return rng.normal(size=(n, network.outputs)).astype(dtype)


def of_example(network: Network, loss: str, smoothing: float, params, x, y):
    return losses.LOSSES[loss](network, model.forward(network, params, x), y, smoothing)


def assert_close(ours, theirs, tolerance: float) -> None:
    """Each array within `tolerance` of the largest entry of all."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(largest, 1e-3))


@partial(jax.jit, static_argnums=(0, 1, 2))
def by_hand_and_jax(network: Network, loss: str, smoothing: float, params, x, y):
    """L and its gradient, from both, in one program."""
    theirs = jax.value_and_grad(partial(of_example, network, loss, smoothing))(params, x, y)
    return backpropagation.gradient(network, loss, params, x, y, smoothing), theirs


# ---------------------------------------------------------------------------------------------- gradient


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    NETWORKS,
    st.sampled_from(PAIRS),
    st.sampled_from([(np.float64, 1e-12), (np.float32, 1e-6)]),
    st.booleans(),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 2**16),
)
def test_gradient_equals_jax_grad(
    given: dict, pair: tuple[str, str], precision: tuple[type, float], one_hot: bool, smoothing: float, seed: int
) -> None:
    (output, loss), (dtype, tolerance), rng = pair, precision, np.random.default_rng(seed)
    outputs = 1 if loss == "binary_cross_entropy" else given["outputs"]
    network = Network(**{**given, "output": output, "outputs": outputs})
    params, x = draw_params(network, rng, dtype), rng.normal(size=network.inputs).astype(dtype)
    y = draw_labels(network, 1, rng, one_hot, dtype)[0]
    with jax.enable_x64(dtype == np.float64):
        (value, grads), (expected, theirs) = by_hand_and_jax(network, loss, smoothing, params, x, y)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)
    assert_close(grads, theirs, tolerance)


@pytest.mark.parametrize(
    ("activation", "output", "loss"),
    [("gelu", *pair) for pair in PAIRS] + [(name, *PAIRS[0]) for name in model.ACTIVATIONS if name != "gelu"],
)
def test_gradient_equals_central_differences(activation: str, output: str, loss: str) -> None:
    outputs = 1 if loss == "binary_cross_entropy" else 3
    network = Network(inputs=3, hidden=(4, 2), outputs=outputs, activation=activation, output=output)
    rng, h = np.random.default_rng(1), 1e-6
    with jax.enable_x64(True):
        params = draw_params(network, rng, np.float64)
        x, y = jnp.asarray(rng.normal(size=3)), jnp.asarray(draw_labels(network, 1, rng, False, np.float64)[0])
        flat, unravel = jax.flatten_util.ravel_pytree(params)

        @jax.jit
        def both(flat):
            function = jax.vmap(lambda w: of_example(network, loss, 0.1, unravel(w), x, y))
            nudges = h * jnp.eye(flat.size)
            central = (function(flat[None] + nudges) - function(flat[None] - nudges)) / (2 * h)
            return backpropagation.gradient(network, loss, unravel(flat), x, y, 0.1)[1], central

        ours, central = both(flat)
        np.testing.assert_allclose(jax.flatten_util.ravel_pytree(ours)[0], central, rtol=1e-6, atol=1e-8)
    assert np.abs(central).max() > 1e-3


def test_forward_keeps_what_the_slides_name() -> None:
    network = Network(inputs=2, hidden=(3, 4), outputs=5, bias="ones")
    params = jax.tree.map(jnp.asarray, draw_params(network, np.random.default_rng(0), np.float32))
    x, z = backpropagation.forward(network, params, jnp.array([1.0, -2.0]))
    assert [len(entry) for entry in x] == [3, 3, 4]
    assert [len(entry) for entry in z] == [3, 4, 5]
    np.testing.assert_array_equal(x[0], [1, -2, 1])
    np.testing.assert_array_equal(x[1], np.maximum(z[0], 0))
    np.testing.assert_allclose(z[2], params[2].W @ x[2], rtol=1e-6)
    np.testing.assert_array_equal(z[-1], model.forward(network, params, jnp.array([1.0, -2.0])))


def test_output_slope_of_softmax_is_f_minus_y() -> None:
    network, z = Network(inputs=1, outputs=3), jnp.array([1.0, 2.0, 3.0])
    ours = backpropagation.slope(network, "cross_entropy", z, jnp.int32(2))
    np.testing.assert_allclose(ours, jax.nn.softmax(z) - jnp.array([0, 0, 1]), atol=1e-7)


def test_binary_slope_keeps_its_digits_far_out() -> None:
    network = Network(inputs=1, outputs=1, output="sigmoid")
    ours = backpropagation.slope(network, "binary_cross_entropy", jnp.array([30.0]), jnp.int32(1))
    np.testing.assert_allclose(ours, [-np.exp(-30)], rtol=1e-5)


def test_loss_that_does_not_fit_is_refused() -> None:
    network = Network(inputs=2, outputs=3)
    params, x = (Layer(jnp.ones((3, 2)), jnp.ones(3)),), jnp.ones(2)
    with pytest.raises(ValueError, match="loss 'squared' does not fit output 'softmax'; use cross_entropy"):
        backpropagation.gradient(network, "squared", params, x, jnp.int32(0))
    with pytest.raises(ValueError, match="does not fit"):
        backpropagation.update_as_you_go(
            network, "squared", optax.sgd(0.1), params, (), x[None], jnp.zeros(1, jnp.int32)
        )
    with pytest.raises(ValueError, match="does not fit"):
        backpropagation.memory(network, "squared", optax.sgd(0.1), 2)


# ---------------------------------------------------------------------------------------------- update as you go

STEPS = 2


def some_problem(output: str, loss: str, bias: str, activation: str):
    outputs = 1 if loss == "binary_cross_entropy" else 3
    network = Network(inputs=5, hidden=(4, 6), outputs=outputs, output=output, bias=bias, activation=activation)
    rng = np.random.default_rng(3)
    params = draw_params(network, rng, np.float32)
    x = rng.normal(size=(7, 5)).astype(np.float32)
    y = draw_labels(network, 7, rng, False, np.float32)
    return network, *jax.tree.map(jnp.asarray, (params, x, y))


def take_steps(network: Network, loss: str, optimizer: optax.GradientTransformation, params, x, y):
    """Take STEPS ordinary steps and as many early ones; return both losses and parameters."""

    def ordinary(state, _):
        params, opt_state = state
        mean_loss = lambda params: jnp.mean(jax.vmap(partial(of_example, network, loss, 0.0, params))(x, y))
        value, grads = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    def early(state, _):
        value, *state = backpropagation.update_as_you_go(network, loss, optimizer, *state, x, y)
        return tuple(state), value

    @jax.jit
    def both(params):
        (theirs, _), expected = jax.lax.scan(ordinary, (params, optimizer.init(params)), length=STEPS)
        (ours, _), values = jax.lax.scan(early, (params, backpropagation.start(optimizer, params)), length=STEPS)
        return (values, ours), (expected, theirs)

    return both(params)


QUICK = ("nesterov", "adadelta", "adam with weight decay and cosine")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in optimizers.CLASSICAL if n not in QUICK)]
)
def test_updating_early_equals_the_ordinary_step(name: str) -> None:
    network, params, x, y = some_problem("softmax", "cross_entropy", "all", "tanh")
    name, *more = name.split(" with ")
    schedule, extra = ("cosine", {"schedule_steps": 10.0, "weight_decay": 0.1}) if more else ("constant", {})
    optimizer = optimizers.build(name, schedule, optimizers.complete(name, schedule, **extra))
    (values, ours), (expected, theirs) = take_steps(network, "cross_entropy", optimizer, params, x, y)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert_close(ours, theirs, 1e-6)
    moved = max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(params)))
    assert moved > 1e-3


@pytest.mark.parametrize(
    ("output", "loss", "bias", "activation"),
    [
        ("sigmoid", "binary_cross_entropy", "ones", "relu"),
        ("tanh", "binary_cross_entropy", "none", "sigmoid"),
        ("identity", "squared", "all", "gelu"),
        ("relu", "absolute", "all", "identity"),
    ],
)
def test_updating_early_serves_every_output(output: str, loss: str, bias: str, activation: str) -> None:
    network, params, x, y = some_problem(output, loss, bias, activation)
    (values, ours), (expected, theirs) = take_steps(network, loss, optax.sgd(0.1, 0.9), params, x, y)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert_close(ours, theirs, 1e-6)


def test_clipping_by_the_whole_norm_is_what_early_updates_can_not_do() -> None:
    network, params, x, y = some_problem("softmax", "cross_entropy", "all", "relu")
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))
    (_, ours), (_, theirs) = take_steps(network, "cross_entropy", optimizer, params, x, y)
    assert max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs))) > 1e-3


def test_a_second_step_compiles_nothing() -> None:
    network, params, x, y = some_problem("softmax", "cross_entropy", "all", "relu")
    optimizer, traces = optax.adam(0.1), []

    def early(params, states):
        traces.append(1)
        return backpropagation.update_as_you_go(network, "cross_entropy", optimizer, params, states, x, y)[1:]

    step = jax.jit(early, donate_argnums=(0, 1))
    state = step(params, backpropagation.start(optimizer, params))
    step(*state)
    assert len(traces) == 1


# ---------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1), optax.adam(0.1)], ids=["sgd", "adam"])
def test_updating_early_holds_one_gradient_instead_of_all(optimizer: optax.GradientTransformation) -> None:
    width, depth, batch = 512, 8, 16
    network = Network(inputs=width, hidden=(width,) * (depth - 1), outputs=10)
    first, ordinary, early = backpropagation.memory(network, "cross_entropy", optimizer, batch)
    matrix, row = 4 * width**2, 4 * width * batch
    assert first >= 4 * model.parameter_count(network)
    assert early <= 0.6 * first
    assert matrix <= early <= matrix + 3 * depth * row  # one gradient, and what the forward pass kept
    assert early <= 1.1 * ordinary  # XLA orders the ordinary step so that it frees as early


def test_the_ordinary_step_can_not_free_early_what_a_whole_norm_needs() -> None:
    network = Network(inputs=256, hidden=(256,) * 3, outputs=10)
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    assert backpropagation.memory(network, "cross_entropy", clipped, 8).ordinary >= 4 * model.parameter_count(network)


# ---------------------------------------------------------------------------------------------- experiments


@pytest.fixture
def quick(load_script, tmp_path: Path, capsys: pytest.CaptureFixture):
    """A function that runs an experiment's quick form and returns what it prints."""

    def run(name: str) -> str:
        module = load_script(f"experiments/{name}.py")
        module.main(module.Options(quick=True, figure=tmp_path / "figure.png"))
        assert (tmp_path / "figure.png").read_bytes()[1:4] == b"PNG"
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_experiment_checks_the_gradient_and_lists_memory(quick) -> None:
    out = quick("backpropagation")
    single, double, central = (float(value) for value in re.findall(r"from .* (\S+)$", out, re.M))
    assert single < 1e-5
    assert double < 1e-12
    assert central < 1e-6
    (saving,) = re.findall(r"^6 × 256.* (-\d+) +-?\d+$", out.replace("−", "-"), re.M)
    assert int(saving) <= -40
    assert "new w^(0)" in out


@pytest.mark.slow
def test_experiment_collapses_a_linear_network(quick) -> None:
    out = quick("linear_collapse")
    apart, largest, same = re.findall(r"difference of z (\S+) \(largest z (\S+)\), same prediction (\S+)%", out)[0]
    assert float(apart) < 1e-5 * float(largest)
    assert float(same) == 100
    found = re.findall(r"^(softmax|identity|ReLU).* ([\d.]+) \[[\d.]+, [\d.]+\]$", out, re.M)
    accuracies = {name: float(test) for name, test in found}
    assert accuracies["identity"] == pytest.approx(accuracies["softmax"], abs=3)
