"""Which point is best: values made by hand, with misses."""

import numpy as np
import pytest

from mlp_jax.analysis import targets

INF = np.inf


def test_median_over_seeds_then_minimum_over_points():
    values = np.array([3.0, 5.0, INF, 1.0, INF, INF, 4.0, 4.0])
    point = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(targets.medians(values, point, 4), [5, INF, 4, INF])
    assert targets.best(values, point, 4) == (2, 4.0)


def test_half_of_the_seeds_missing_is_a_miss():
    assert targets.medians(np.array([3.0, INF]), np.array([0, 0]), 1) == [INF]


def test_no_point_is_best_where_none_reaches():
    assert targets.best(np.array([INF, INF]), np.array([0, 1]), 2) == (-1, INF)


def test_the_first_of_equal_points_is_best():
    assert targets.best(np.array([7, 7]), np.array([1, 2]), 3).point == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: targets.medians(np.array([np.nan]), np.array([0]), 1), "give inf"),
        (lambda: targets.medians(np.array([1.0]), np.array([-1]), 1), "point numbers -1"),
        (lambda: targets.best(np.array([]), np.array([], int), 0), "at least 1"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
