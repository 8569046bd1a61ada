"""When trials meet their target: tables made by hand, and every order of their rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_jax.analysis import targets

INF = np.inf
TRIAL = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3])
STEP = np.array([0, 10, 20, 0, 10, 20, 0, 10, 0])
ACCURACY = np.array([0.1, 0.9, 0.8, 0.1, 0.2, 0.3, np.nan, np.nan, 0.95])


def test_first_evaluation_that_meets_the_target_counts_and_misses_are_inf():
    reached = targets.reached(TRIAL, STEP, ACCURACY >= 0.8, 5)
    np.testing.assert_array_equal(reached.at, [10, INF, INF, 0, INF])
    np.testing.assert_array_equal(reached.before, [0, 20, 10, 0, 0])


@given(st.permutations(range(len(TRIAL))))
def test_rows_may_come_in_any_order(order):
    ours = targets.reached(TRIAL[order], STEP[order], ACCURACY[order] >= 0.8, 5)
    np.testing.assert_array_equal(ours, targets.reached(TRIAL, STEP, ACCURACY >= 0.8, 5))


def test_examples_and_seconds_are_the_same_function():
    met = ACCURACY >= 0.8
    np.testing.assert_array_equal(
        targets.reached(TRIAL, STEP * 32, met, 4).at, 32 * targets.reached(TRIAL, STEP, met, 4).at
    )
    assert targets.reached(TRIAL, STEP * 0.25, met, 4).at[0] == 2.5


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
        (lambda: targets.reached(TRIAL, STEP, ACCURACY > 0, 3), "trial numbers 0 to 3 are not in 0 to 2"),
        (lambda: targets.reached(TRIAL, STEP - 1, ACCURACY > 0, 4), "position is negative"),
        (lambda: targets.medians(np.array([np.nan]), np.array([0]), 1), "give inf"),
        (lambda: targets.medians(np.array([1.0]), np.array([-1]), 1), "point numbers -1"),
        (lambda: targets.best(np.array([]), np.array([], int), 0), "at least 1"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
