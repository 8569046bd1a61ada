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
