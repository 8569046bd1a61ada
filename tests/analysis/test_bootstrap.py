"""Bootstrap intervals against SciPy's, against what is known of medians, and with misses."""

import numpy as np
import pytest
import scipy.stats

from mlp_jax.analysis import bootstrap

INF = np.inf
VALUES = np.random.default_rng(0).lognormal(size=30)


def test_interval_agrees_with_scipy():
    ours = bootstrap.interval(VALUES, bootstrap.mean, resamples=20_000)
    theirs = scipy.stats.bootstrap((VALUES,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert ours.value == pytest.approx(VALUES.mean())
    assert (ours.low, ours.high) == pytest.approx(theirs.confidence_interval, rel=0.02)


def test_the_seed_decides_everything():
    assert bootstrap.interval(VALUES, seed=3) == bootstrap.interval(VALUES, seed=3)
    assert bootstrap.interval(VALUES, seed=3, resamples=50) != bootstrap.interval(VALUES, seed=4, resamples=50)


def test_five_trials_have_their_range_as_interval_of_the_median():
    assert bootstrap.interval(np.array([5, 1, 4, 2, 3])) == (3, 1, 5)


def test_intervals_grow_with_the_level():
    ends = [bootstrap.interval(VALUES, level=level) for level in (0.5, 0.9, 0.99)]
    assert ends[2].low < ends[1].low < ends[0].low < ends[0].high < ends[1].high < ends[2].high


def test_the_interval_of_the_median_covers_it():
    """A nominal 95 % with 15 trials: at least 90 of 100."""
    rng = np.random.default_rng(1)
    intervals = [bootstrap.interval(rng.normal(7, 2, 15), resamples=500, seed=i) for i in range(100)]
    assert sum(one.low <= 7 <= one.high for one in intervals) >= 90


def test_misses_widen_the_interval():
    assert bootstrap.interval(np.array([1.0, 2.0, 3.0, INF, INF])) == (3, 1, INF)
    assert bootstrap.interval(np.array([INF, INF, INF])) == (INF, INF, INF)
    assert bootstrap.interval(np.array([1.0, 2.0, INF]), bootstrap.mean).value == INF


def test_median_is_numpy_s_and_unknown_only_between_opposite_infinities():
    rows = np.array([[1.0, 2.0, 3.0, 10.0], [1.0, 2.0, INF, INF], [-INF, -INF, INF, INF], [INF, INF, INF, INF]])
    np.testing.assert_array_equal(bootstrap.median(rows), [2.5, INF, np.nan, INF])
    np.testing.assert_allclose(bootstrap.median(VALUES), np.median(VALUES))


def test_what_is_unknown_counts_at_both_ends():
    low, high = bootstrap.percentiles(np.array([1.0, np.nan, 2.0]), 0.9, (0.0, INF))
    assert (low, high) == (0, INF)


def test_pairs_see_through_what_both_share():
    shared = np.random.default_rng(2).normal(0, 100, 10)
    ours = bootstrap.paired(shared + 1, shared)
    assert ours == pytest.approx((1, 1, 1))


def test_a_pair_of_misses_is_no_difference():
    first, second = np.array([INF, INF, 3.0, 4.0]), np.array([INF, 2.0, INF, 1.0])
    np.testing.assert_array_equal(bootstrap.differences(first, second), [0, INF, -INF, 3])


def test_arrays_that_do_not_pair_are_refused_where_no_one_checks_shapes():
    with pytest.raises(ValueError, match="5 and 1 values do not pair"):
        bootstrap.differences.__wrapped__(np.zeros(5), np.zeros(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap.interval(np.array([1.0, np.nan])), "inf for a trial"),
        (lambda: bootstrap.interval(np.array([])), "at least 1"),
        (lambda: bootstrap.interval(VALUES, resamples=0), "at least 1"),
        (lambda: bootstrap.interval(VALUES, level=95.0), "between 0 and 1"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_joined_samples_do_not_go_together_though_they_were_drawn_with_one_seed():
    column = np.random.default_rng(0).normal(size=2000)
    joined = bootstrap.joined([column, column, column])
    np.testing.assert_array_equal(np.sort(joined, axis=0), np.sort(np.stack([column] * 3, axis=1), axis=0))
    assert np.abs(np.corrcoef(joined.T) - np.eye(3)).max() < 0.1
    with pytest.raises(ValueError, match="one length"):
        bootstrap.joined.__wrapped__([column, column[:9]])
