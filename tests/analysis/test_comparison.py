"""Comparisons against SciPy's hypergeometric distribution, every subset, a Riemann sum, and chance itself."""

from itertools import combinations

import numpy as np
import pytest
import scipy.stats

from mlp_jax.analysis import comparison

INF = np.inf


@pytest.mark.parametrize("points", [1, 2, 7, 40])
def test_probabilities_are_hypergeometric(points):
    """The best of k is at most the j-th best unless none of those j is drawn."""
    j = np.arange(1, points + 1)
    ours = np.cumsum(comparison.best_probabilities(points), axis=1)
    theirs = [1 - scipy.stats.hypergeom(points, j, k).pmf(0) for k in range(1, points + 1)]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_best_of_k_is_the_mean_over_all_subsets():
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    subsets = [[min(s) for s in combinations(values.tolist(), k)] for k in range(1, 6)]
    curve = comparison.best_of_k(values)
    np.testing.assert_array_equal(curve.k, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(curve.expected, [np.mean(s) for s in subsets])
    np.testing.assert_allclose(curve.median, [np.quantile(s, 0.5, method="inverted_cdf") for s in subsets])


def test_misses_make_the_expectation_infinite_until_they_cannot_fill_the_draw():
    curve = comparison.best_of_k(np.array([INF, 2.0, INF, 1.0]))
    np.testing.assert_allclose(curve.expected, [INF, INF, 1.25, 1])
    np.testing.assert_array_equal(curve.median, [2, 1, 1, 1])
    assert (curve.high == INF).all()
    np.testing.assert_array_equal(comparison.best_of_k(np.array([INF, INF])).expected, [INF, INF])


def test_the_band_holds_the_curve_and_covers_the_truth():
    """Uniform points: the best of k is 1/(k + 1) on average; at k = 5 of 50 the band covers it ≥ 90 of 100 times."""
    rng = np.random.default_rng(0)
    curves = [comparison.best_of_k(rng.uniform(size=50), resamples=300, seed=i) for i in range(100)]
    assert all((curve.low <= curve.expected + 1e-12).all() for curve in curves)
    assert sum(curve.low[4] <= 1 / 6 <= curve.high[4] for curve in curves) >= 90


def test_a_clear_difference_is_found_and_its_sign_told():
    noise = np.random.default_rng(0).normal(0, 100, 5)
    slower, faster = noise + np.array([11, 12, 13, 14, 15]), noise
    found = comparison.difference(slower, faster)
    assert found.verdict == comparison.SECOND_LESS
    assert found.estimate == pytest.approx((13, 11, 15))
    assert comparison.difference(faster, slower).verdict == comparison.FIRST_LESS


@pytest.mark.parametrize("first", [[5, 5, 5, 5, 5], [4, 6, 3, 7, 5], [5, 5, 5, INF, 4], [INF] * 5])
def test_no_difference_is_said_when_the_interval_contains_zero(first):
    second = np.array([INF] * 5) if first == [INF] * 5 else np.full(5, 5.0)
    assert comparison.difference(np.array(first, float), second).verdict == "no difference found"


def test_who_alone_reaches_the_target_is_less():
    assert comparison.difference(np.full(5, 7.0), np.full(5, INF)).verdict == comparison.FIRST_LESS


def test_four_pairs_are_too_few():
    assert comparison.difference(np.arange(4.0), np.arange(4.0) + 9).verdict == comparison.TOO_FEW


@pytest.mark.parametrize("pairs", [5, 10])
def test_equals_are_seldom_told_apart(pairs):
    """5 pairs agree in sign once in 16; at most 12 of 100 equals may be called different."""
    rng = np.random.default_rng(pairs)
    verdicts = [comparison.difference(*rng.normal(size=(2, pairs)), resamples=500, seed=i).verdict for i in range(100)]
    assert verdicts.count(comparison.NO_DIFFERENCE) >= 88


TIMES = np.array([[1.0, 2.0, INF, INF], [2.0, 1.0, 3.0, INF], [5.0, 3.0, 12.0, INF]])


def test_ratios_profile_and_score_of_a_table():
    r = comparison.ratios(TIMES)
    np.testing.assert_array_equal(r, [[1, 2, INF, INF], [2, 1, 1, INF], [5, 3, 4, INF]])
    np.testing.assert_allclose(
        comparison.profile(r, np.array([1, 2, 4])), [[0.25, 0.5, 0.5], [0.5, 0.75, 0.75], [0, 0, 0.5]]
    )
    np.testing.assert_allclose(comparison.score(r), [5 / 12, 8 / 12, 1 / 12])


def test_score_is_the_integral_of_the_profile():
    r = comparison.ratios(np.random.default_rng(0).lognormal(size=(4, 6)))
    middles = 1 + 3 * (np.arange(30_000) + 0.5) / 30_000
    np.testing.assert_allclose(comparison.score(r), comparison.profile(r, middles).mean(axis=1), atol=1e-4)


def test_a_time_of_zero_is_not_divided_by():
    np.testing.assert_array_equal(comparison.ratios(np.array([[0], [0], [3]])), [[1], [1], [INF]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: comparison.best_of_k(np.array([np.nan])), "inf for a point"),
        (lambda: comparison.best_of_k(np.array([])), "at least 1"),
        (lambda: comparison.ratios(np.array([[-1.0]])), "negative"),
        (lambda: comparison.ratios(np.zeros((0, 2))), "missing"),
        (lambda: comparison.score(np.ones((1, 1)), 1.0), "above 1"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
