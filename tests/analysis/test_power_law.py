"""Exponents against numpy.polyfit; guides through the middle of the points."""

import numpy as np
import pytest

from mlp_jax.analysis import power_law


def test_exponent_and_factor_agree_with_polyfit():
    rng = np.random.default_rng(0)
    x = 2.0 ** np.arange(10)
    y = 3 * x**-0.9 * rng.lognormal(0, 0.2, 10)
    exponent, log_factor = np.polyfit(np.log(x), np.log(y), 1)
    assert power_law.fit(x, y) == pytest.approx((exponent, np.exp(log_factor)))


def test_misses_have_no_place():
    x = np.array([1, 2, 4, 8])
    assert power_law.fit(x, np.array([8.0, 4.0, 2.0, np.inf])) == pytest.approx((-1, 8))


def test_one_point_has_no_exponent():
    assert np.isnan(power_law.fit(np.array([4, 4]), np.array([1.0, 2.0]))).all()


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_a_guide_leaves_the_points_on_both_sides(exponent):
    x, y = np.array([1, 8, 64]), np.array([0.1, 0.3, 2.0])
    guide = power_law.guide(x, y, exponent)
    np.testing.assert_allclose(np.log(guide / y).sum(), 0, atol=1e-12)
    assert power_law.fit(x, guide).exponent == pytest.approx(exponent)


def test_a_guide_of_nothing_is_nan():
    assert np.isnan(power_law.guide(np.array([1.0, 2.0]), np.array([np.inf, np.nan]), 1.0)).all()


SIZES = np.array([1.0, 8.0, 64.0, 512.0])


def rates(exponent: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    best = 0.01 * SIZES**exponent
    return best, best * np.random.default_rng(0).lognormal(0, spread, (1000, 4))


@pytest.mark.parametrize(
    ("exponent", "spread", "rules"), [(1, 0.1, ("linear",)), (0.5, 0.1, ("square-root",)), (0.75, 0.01, ())]
)
def test_the_exponent_up_to_the_critical_batch_size_and_the_rules_it_agrees_with(exponent, spread, rules):
    best, samples = rates(exponent, spread)
    best[3] = samples[:, 3] = 1e-9  # beyond the critical batch size: another law
    found = power_law.fit_samples(SIZES, best, samples, 100.0)
    assert found.estimate.value == pytest.approx(exponent)
    assert found.estimate.low < exponent < found.estimate.high
    assert (found.sizes, found.missing, found.rules) == ((1, 8, 64), 0, rules)


def test_an_exponent_that_settles_nothing_agrees_with_both_rules():
    found = power_law.fit_samples(SIZES, *rates(0.75, 1.0), 100.0)
    assert found.verdict == "agrees with the linear and the square-root rule"


@pytest.mark.parametrize(("b_crit", "missing", "has"), [(10.0, 1, "2: 1, 8"), (np.nan, 3, "none"), (0.5, 3, "none")])
def test_too_few_sizes_up_to_the_critical_one_have_no_exponent(b_crit, missing, has):
    found = power_law.fit_samples(SIZES, *rates(1, 0.1), b_crit)
    assert (found.missing, found.estimate[1:]) == (missing, (-np.inf, np.inf))
    assert found.verdict == f"no exponent: it needs 3 batch sizes up to the critical one and has {has}"


def test_a_size_that_missed_the_target_does_not_count():
    best, samples = rates(1, 0.1)
    best[1] = samples[:, 1] = np.nan
    assert power_law.fit_samples(SIZES, best, samples, 100.0).missing == 1
