"""Full-gradient solvers against SciPy, against linear conjugate gradients, and against their own counts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix
import pytest
from jax.flatten_util import ravel_pytree

from mlp_jax import losses, model
from mlp_jax.data import load
from mlp_jax.lecture import full_gradient
from mlp_jax.lecture.full_gradient import CONJUGACY, mean_loss, solve
from mlp_jax.rows import Data

optimize = pytest.importorskip("scipy.optimize")
SEARCHING = ["gradient_descent_line_search", "cg_polak_ribiere", "lbfgs"]  # one of each kind of chain
ONE_IS_QUICK = ["cg_polak_ribiere", *(pytest.param(n, marks=pytest.mark.slow) for n in SEARCHING if "cg" not in n)]
MATRIX = np.diag([1.0, 3.0, 10.0, 30.0]).astype(np.float32)
CALLS = []


def terrain(curvature, kink, wall, w):
    """A bowl, kinks, and a wall beyond which the loss is NaN: one function, so that each solver compiles once."""
    jax.debug.callback(lambda: CALLS.append(1))
    bowl = 0.5 * jnp.dot(w, jnp.dot(MATRIX, w))
    return jnp.where(w[0] > wall, curvature * bowl + kink * jnp.sum(jnp.abs(w)), jnp.nan)


def landscape(curvature=1.0, kink=0.0, wall=-np.inf):
    return jax.tree_util.Partial(terrain, *map(jnp.float32, (curvature, kink, wall)))


def solve_counted(name, loss, **options):
    CALLS.clear()
    solution = solve(name, loss, jnp.ones(4), **options)
    jax.effects_barrier()
    return solution, len(CALLS)


@pytest.fixture(scope="module")
def softmax():
    data = load("digits", validation=0)
    network = model.Network(inputs=data.inputs, outputs=10, init="zeros")
    rows = Data(*map(jnp.asarray, (data.train.x, data.train.y, data.center, data.scale)))
    return mean_loss(network, rows, l2=1e-3), model.init(jax.random.key(0), network)


def flat(loss, params):
    """The same loss and gradient as SciPy wants them."""
    start, unravel = ravel_pytree(params)
    both = jax.jit(lambda v: jax.value_and_grad(lambda v: loss(unravel(v)))(v))

    def function(v):
        value, gradient = both(jnp.asarray(v, jnp.float32))
        return float(value), np.asarray(gradient, float)

    return function, np.asarray(start, float)


@pytest.fixture(scope="module")
def scipy_minimum(softmax) -> float:
    function, start = flat(*softmax)
    ends = [optimize.minimize(function, start, jac=True, method=method).fun for method in ("CG", "L-BFGS-B")]
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)
    return min(ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lbfgs", *CONJUGACY])
def test_softmax_reaches_the_minimum_that_scipy_finds(softmax, scipy_minimum, name):
    solution = solve(name, *softmax, budget=1500, tolerance=3e-4)
    assert solution.status == "CONVERGED"
    assert solution.history.loss[-1] == pytest.approx(scipy_minimum, rel=1e-3)
    assert solution.history.loss[-1] == pytest.approx(float(softmax[0](solution.params)), rel=1e-5)
    assert solution.history.gradient_norm[-1] <= 3e-4


@pytest.mark.parametrize("name", ONE_IS_QUICK)
def test_bowl_converges_and_every_evaluation_is_counted(name):
    solution, calls = solve_counted(name, landscape(), budget=2000, tolerance=1e-3)
    assert solution.status == "CONVERGED"
    assert calls == solution.history.passes[-1]
    assert np.all(np.diff(solution.history.passes) > 0)
    np.testing.assert_allclose(solution.params, 0, atol=2e-3)
    norm = np.linalg.norm(MATRIX @ np.asarray(solution.params))
    assert solution.history.gradient_norm[-1] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("name", CONJUGACY)
def test_exact_line_search_on_a_quadratic_takes_as_many_steps_as_dimensions(name):
    direction = full_gradient.conjugate_gradient(name)
    w = jnp.ones(4)
    state = direction.init(w)
    for _ in range(4):
        gradient = MATRIX @ w
        d, state = direction.update(gradient, state, w)
        w = w - (d @ gradient) / (d @ MATRIX @ d) * d
    assert jnp.linalg.norm(w) < 1e-3


@pytest.mark.parametrize("name", ["fletcher_reeves", "polak_ribiere"])
def test_beta_agrees_with_optimistix_where_optimistix_is_right(name):
    for seed in range(10):
        g, before, d = jax.random.normal(jax.random.key(seed), (3, 5))
        numerator, denominator = CONJUGACY[f"cg_{name}"](g, g - before, before, d)
        np.testing.assert_allclose(numerator / denominator, getattr(optimistix, name)(g, before, d), rtol=1e-5)


def test_directions_do_not_depend_on_the_scale_of_the_loss():
    g = jax.random.normal(jax.random.key(0), (2, 5))
    for name in CONJUGACY:
        direction = full_gradient.conjugate_gradient(name)
        run = lambda c, direction=direction: [
            direction.update(c * g[1], direction.update(c * g[0], direction.init(g[0]), g[0])[1], g[0])[0]
        ]
        np.testing.assert_allclose(run(1e-5)[0] / 1e-5, run(1.0)[0], rtol=1e-4)


def test_fixed_rate_is_gradient_descent():
    solution = solve("gradient_descent", landscape(), jnp.ones(4), budget=11, learning_rate=0.02)
    np.testing.assert_allclose(solution.params, (1 - 0.02 * np.diag(MATRIX)) ** 10, rtol=1e-4)
    assert solution.status == "BUDGET"
    np.testing.assert_array_equal(solution.history.gradients, np.arange(1, 12))
    np.testing.assert_array_equal(solution.history.functions, 0)
    np.testing.assert_allclose(solution.history.loss[0], 22)


@pytest.mark.parametrize("name", ONE_IS_QUICK)
def test_a_failed_line_search_is_a_status(name):
    solution = solve(name, landscape(0.0, 1.0), jnp.full(4, 0.3), budget=500)
    assert solution.status == "LINE_SEARCH_FAILED"
    assert solution.history.loss[-1] == solution.history.loss.min()


def test_a_loss_that_is_not_finite_is_a_status():
    assert solve("lbfgs", landscape(wall=2.0), jnp.ones(4), budget=9).status == "NON_FINITE"
    diverging = solve("gradient_descent", landscape(), jnp.ones(4), budget=999, learning_rate=1.0)
    assert diverging.status == "NON_FINITE"
    assert diverging.history.passes[-1] < 100


@pytest.mark.parametrize("name", SEARCHING)
def test_a_search_steps_back_from_what_is_not_finite(name):
    solution = solve(name, landscape(wall=-0.01), jnp.ones(4), budget=2000, tolerance=1e-3)
    assert solution.status == "CONVERGED"


def test_budget_ends_after_the_iteration_that_uses_it_up():
    solution = solve("lbfgs", landscape(), jnp.ones(4), budget=3, tolerance=0.0)
    assert solution.status == "BUDGET"
    assert solution.history.passes[-2] < 3 <= solution.history.passes[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "newton"}, "unknown solver 'newton'; choose one of cg_dai_yuan, "),
        ({"budget": 0}, "budget 0 is not allowed"),
        ({"tolerance": float("nan")}, "tolerance nan is not allowed"),
        ({"learning_rate": 0.1}, "solver 'lbfgs' finds its own step; leave learning_rate out"),
        ({"name": "gradient_descent"}, "learning_rate None is not allowed; gradient_descent needs a finite number"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    given = {"name": "lbfgs", "budget": 5} | arguments
    with pytest.raises(ValueError, match=message):
        solve(given.pop("name"), landscape(), jnp.ones(4), **given)


def test_one_compilation_serves_every_rate_start_and_data(softmax):
    loss, params = softmax
    run = lambda rate, loss: solve("gradient_descent", loss, params, budget=3, learning_rate=rate)
    run(0.1, loss)
    before = full_gradient._iterate._cache_size()
    network = model.Network(inputs=64, outputs=10, init="zeros")
    other = mean_loss(network, loss.args[0]._replace(y=loss.args[0].y[::-1]), l2=0.1)
    assert run(0.2, other).history.loss[-1] != run(0.1, loss).history.loss[-1]
    assert full_gradient._iterate._cache_size() == before


@pytest.mark.parametrize(("rows", "hidden"), [(7, ()), (1024, ()), pytest.param(1200, (5,), marks=pytest.mark.slow)])
def test_mean_loss_in_pieces_is_the_mean_over_rows(rows, hidden):
    network = model.Network(inputs=4, hidden=hidden, outputs=3)
    x, y = np.random.default_rng(0).integers(0, 255, (rows, 4), np.uint8), jnp.arange(rows) % 3
    loss = mean_loss(network, Data(jnp.asarray(x), y, jnp.asarray(100.0), jnp.full(4, 0.01)), l2=0.3)

    def plain(params):
        z = jax.vmap(lambda x: model.forward(network, params, x))((jnp.asarray(x, float) - 100) * 0.01)
        each = optax.softmax_cross_entropy_with_integer_labels(z, y)
        return jnp.mean(each) + 0.3 * losses.penalty(params)

    params = model.init(jax.random.key(1), network)
    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    expected, expected_gradient = jax.jit(jax.value_and_grad(plain))(params)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(loss)(params), expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), gradient, expected_gradient)


def test_memory_does_not_grow_with_the_rows():
    network = model.Network(inputs=16, hidden=(256,), outputs=3)
    params = model.init(jax.random.key(0), network)

    def scratch(rows):
        loss = mean_loss(network, Data(jnp.zeros((rows, 16), jnp.uint8), jnp.zeros(rows, jnp.int32), *jnp.ones(2)))
        gradient = jax.jit(lambda loss, params: jax.grad(loss)(params))
        return gradient.lower(loss, params).compile().memory_analysis().temp_size_in_bytes

    assert scratch(32 * 512) <= scratch(4 * 512) + 1000


def test_mean_loss_that_does_not_fit_the_network():
    with pytest.raises(ValueError, match="loss 'squared' does not fit output 'softmax'"):
        mean_loss(model.Network(inputs=2, outputs=3), Data(jnp.ones((4, 2)), jnp.zeros(4), *jnp.ones(2)), "squared")
