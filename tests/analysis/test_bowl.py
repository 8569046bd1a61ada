"""The bowl's bottom against quadratics that are known, SciPy-free least squares, and simulated searches."""

import numpy as np
import pytest

from mlp_jax.analysis import bowl

BOTTOM = np.array([-0.5, -1.0])
INF = np.inf


def height(place: np.ndarray, cross: float = 0.5) -> np.ndarray:
    x, y = (place - BOTTOM).T
    return np.log(100) + 3 * x**2 + 1.5 * y**2 + cross * x * y


def trials(seed: int, spread: float, count: int = 54) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    place = BOTTOM + rng.uniform(-0.6, 0.6, (count, 2))
    return place, np.exp(height(place) + rng.normal(0, spread, count))


def test_a_quadratic_without_noise_gives_its_bottom_back():
    found = bowl.fit(*trials(0, 0.0), resamples=10)
    assert found.steps == pytest.approx(100, rel=2e-3)
    np.testing.assert_allclose(found.place, BOTTOM, atol=2e-3)
    np.testing.assert_allclose(found.samples_steps, 100, rtol=0.02)


def test_order_and_units_change_nothing():
    place, steps = trials(1, 0.2)
    base, order = bowl.fit(place, steps, resamples=10), np.random.default_rng(2).permutation(54)
    shuffled, scaled = bowl.fit(place[order], steps[order], resamples=10), bowl.fit(place + 2, 7 * steps, resamples=10)
    np.testing.assert_allclose(shuffled.samples_steps, base.samples_steps, rtol=1e-9)
    np.testing.assert_allclose(scaled.samples_steps, 7 * base.samples_steps, rtol=1e-6)
    np.testing.assert_allclose(scaled.place, np.array(base.place) + 2, rtol=1e-6)


def test_the_intervals_hold_the_bottom():
    """25 searches of noise 0.25: at least 21 hold the steps, and as many each coordinate."""
    found = [bowl.fit(*trials(seed, 0.25), resamples=60, seed=seed) for seed in range(25)]
    ends = [np.quantile(one.samples_steps, [0.025, 0.975]) for one in found]
    assert sum(low <= 100 <= high for low, high in ends) >= 21
    ends = [np.quantile(one.samples_place, [0.025, 0.975], axis=0) for one in found]
    assert min(np.sum([(low <= BOTTOM) & (high >= BOTTOM) for low, high in ends], axis=0)) >= 21


def test_momentum_and_rate_trade_off_along_an_axis():
    """The same η/(1 − β) is the same first coordinate, whatever the momentum."""
    place = bowl.momentum_places(np.array([0.1, 0.01]), np.array([0.0, 0.9]))
    np.testing.assert_allclose(place, [[-1, 0], [-1, -1]], atol=1e-9)


def test_few_trials_have_the_best_as_their_bottom_and_none_has_none():
    place, steps = trials(3, 0.2, 8)
    found = bowl.fit(place, steps, resamples=20)
    assert (found.steps, found.trials) == (pytest.approx(steps.min()), 0)
    none = bowl.fit(place, np.full(8, INF), resamples=20)
    assert np.isinf(none.steps)
    assert np.isinf(none.samples_steps).all()
    with pytest.raises(ValueError, match="after a trial has met the target"):
        bowl.next_places(none, 4)


def test_next_places_surround_the_bottom():
    found = bowl.fit(*trials(4, 0.1), resamples=2)
    away = bowl.next_places(found, 64) - np.array(found.place)
    assert np.abs(away).max() <= 0.5
    np.testing.assert_allclose(away.mean(axis=0), 0, atol=0.05)


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="do not pair"):
        bowl.fit(np.zeros((3, 2)), np.array([1.0, -1.0, 2.0]))
