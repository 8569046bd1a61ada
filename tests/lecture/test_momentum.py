"""Momentum on a quadratic against NumPy: eigenvalues of the 2×2 matrix, the Lyapunov equation, and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax.lecture import momentum


def matrix(alpha: float, beta: float, eigenvalue: float) -> np.ndarray:
    """One step of V ← βV + λw, w ← w − αV on (V, w)."""
    after_v = np.array([[beta, eigenvalue], [0.0, 1.0]])
    after_w = np.array([[1.0, 0.0], [-alpha, 1.0]])
    return after_w @ after_v


@settings(deadline=None)
@given(alpha=st.floats(-2, 5), beta=st.floats(-1.5, 1.5), eigenvalue=st.floats(0.01, 10))
def test_rate_is_the_spectral_radius(alpha, beta, eigenvalue):
    radius = np.abs(np.linalg.eigvals(matrix(alpha, beta, eigenvalue))).max()
    assert float(momentum.rate(alpha, beta, eigenvalue)) == pytest.approx(radius, rel=1e-3)  # √ of float32 rounding


@pytest.mark.parametrize(("alpha", "beta"), [(-0.1, 0.0), (-0.1, 0.9), (0.1, 1.0), (0.1, 1.2), (2.1, 0.0), (3.9, 0.9)])
def test_divergence_is_a_rate_of_at_least_1(alpha, beta):
    assert momentum.rate(alpha, beta, 1.0) >= 1
    assert momentum.stationary_variance(alpha, beta, 1.0, 1.0) == np.inf
    path = momentum.iterates(alpha, beta, jnp.ones(1), jnp.ones(1), 300)
    assert np.abs(path[200:]).max() > 0.5


@settings(deadline=None)
@given(beta=st.floats(0, 0.999), share=st.floats(0.01, 0.99))
def test_stable_up_to_twice_one_plus_beta(beta, share):
    edge = 2 * (1 + beta)
    assert momentum.rate(share * edge, beta, 1.0) < 1
    assert momentum.rate((1 + share) * edge, beta, 1.0) > 1


def test_iterates_are_powers_of_the_matrix():
    alpha, beta, eigenvalues, start = 0.3, 0.7, np.array([0.1, 1.0, 4.0]), np.array([1.0, -2.0, 0.5])
    path = momentum.iterates(alpha, beta, jnp.asarray(eigenvalues), jnp.asarray(start), 12)
    assert path.shape == (13, 3)
    for column, (eigenvalue, first) in enumerate(zip(eigenvalues, start)):
        step = matrix(alpha, beta, eigenvalue)
        expected = [(np.linalg.matrix_power(step, t) @ [0.0, first])[1] for t in range(13)]
        np.testing.assert_allclose(path[:, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kappa", [1.0, 4.0, 100.0])
@pytest.mark.parametrize("best", [momentum.optimal, momentum.optimal_gradient_descent])
def test_optimal_has_its_rate_at_both_ends_and_no_neighbour_is_better(best, kappa):
    alpha, beta, rate = best(0.5, 0.5 * kappa)
    worst = lambda alpha, beta: max(momentum.rate(alpha, beta, 0.5), momentum.rate(alpha, beta, 0.5 * kappa))
    root = np.sqrt(kappa) if best is momentum.optimal else kappa
    assert rate == pytest.approx((root - 1) / (root + 1))
    assert worst(alpha, beta) == pytest.approx(rate, abs=2e-3)
    betas = (0.98 * beta, beta, min(1.02 * beta, 0.999)) if best is momentum.optimal else (0.0,)
    for other in [(share * alpha, beta) for share in (0.97, 1.0, 1.03) for beta in betas]:
        assert worst(*other) >= rate - 2e-3


def test_path_decays_at_the_optimal_rate():
    alpha, beta, rate = momentum.optimal_gradient_descent(1.0, 20.0)
    path = np.abs(momentum.iterates(alpha, beta, jnp.array([1.0, 20.0]), jnp.ones(2), 100))
    np.testing.assert_allclose(path[100] / path[50], rate**50, rtol=1e-3)
    _, _, faster = momentum.optimal(1.0, 20.0)
    assert faster < rate


@pytest.mark.parametrize(("smallest", "largest"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, float("inf"))])
def test_optimal_needs_positive_eigenvalues_in_order(smallest, largest):
    for best in (momentum.optimal, momentum.optimal_gradient_descent):
        with pytest.raises(ValueError, match=r"not allowed; give 0 < smallest ≤ largest"):
            best(smallest, largest)


@pytest.mark.parametrize(("alpha", "beta", "eigenvalue"), [(0.1, 0.0, 1.0), (0.5, 0.9, 2.0), (0.05, 0.99, 0.3)])
def test_stationary_variance_solves_the_lyapunov_equation(alpha, beta, eigenvalue):
    scipy_linalg = pytest.importorskip("scipy.linalg")
    sigma, noise = 1.7, np.array([1.0, -alpha])
    covariance = scipy_linalg.solve_discrete_lyapunov(
        matrix(alpha, beta, eigenvalue), sigma**2 * np.outer(noise, noise)
    )
    variance = momentum.stationary_variance(alpha, beta, eigenvalue, sigma)
    np.testing.assert_allclose(variance, covariance[1, 1], rtol=1e-4)


def test_stationary_variance_is_what_simulation_has():
    alpha, beta, sigma, copies = 0.2, 0.8, 0.5, 2000
    zeros = jnp.zeros(copies)
    path = momentum.iterates(alpha, beta, zeros + 1.5, zeros, 300, key=jax.random.key(1), sigma=sigma)
    theory = momentum.stationary_variance(alpha, beta, 1.5, sigma)
    np.testing.assert_allclose(np.var(path[100:]), theory, rtol=0.03)


def test_noise_needs_a_key_and_depends_on_it_alone():
    run = lambda key: momentum.iterates(0.1, 0.5, jnp.ones(3), jnp.ones(3), 5, key=key, sigma=1.0)
    np.testing.assert_array_equal(run(jax.random.key(3)), run(jax.random.key(3)))
    assert np.abs(run(jax.random.key(3)) - run(jax.random.key(4))).max() > 0.01
    np.testing.assert_array_equal(run(None), momentum.iterates(0.1, 0.5, jnp.ones(3), jnp.ones(3), 5))
