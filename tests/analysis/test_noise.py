"""The noise scale of a run, weighed by progress, on tables made by hand and against integrals."""

import math

import numpy as np
import pytest
import scipy.stats

from mlp_jax.analysis import noise


def progress(step, trace, squared_norm, batch_size) -> float:
    return noise.progress_average(
        np.array(step), np.array(trace, float), np.array(squared_norm, float), float(batch_size)
    )


def test_the_order_of_the_rows_changes_nothing_and_the_unit_of_the_loss_neither():
    rng = np.random.default_rng(0)
    step, trace, squared_norm = np.arange(9) ** 2, rng.uniform(1, 2, 9), rng.uniform(1, 2, 9)
    order = rng.permutation(9)
    average = progress(step, trace, squared_norm, 8)
    assert progress(step[order], trace[order], squared_norm[order], 8) == average
    assert progress(step, 49 * trace, 49 * squared_norm, 8) == pytest.approx(average)


def test_a_row_that_is_not_finite_is_left_out_and_no_row_has_no_average():
    whole = progress([0, 10], [1, 3], [0.1, 0.3], 8)
    assert progress([0, 10, 20], [1, 3, math.nan], [0.1, 0.3, 1], 8) == whole == pytest.approx(10)
    assert progress([0, 10, 20], [1, 3, 5], [0.1, 0.3, math.inf], 8) == whole
    assert math.isnan(progress([], [], [], 8))


def test_two_runs_in_one_table_are_refused():
    with pytest.raises(ValueError, match="two rows have the same step"):
        progress([0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1], 8)


@pytest.mark.parametrize("batch_size", [1, 8, 1000])
def test_a_noise_scale_that_stays_is_its_own_average(batch_size):
    assert progress([0, 3, 50], [10, 10, 10], [2, 2, 2], batch_size) == pytest.approx(5)
    assert progress([0, 3, 50], [10, 20, 5], [2, 4, 1], batch_size) == pytest.approx(5)
    assert progress([7], [10], [2], batch_size) == pytest.approx(5)


def test_progress_weighs_the_run_as_the_trade_off_does():
    """A run of N steps whose noise scale is b₁, then b₂: E_min/S_min from S = ∫(1 + b/B) ds at two batch sizes.

    The first part needs s₁ noiseless steps, the second s₂; measured at B, they take s₁(1 + b₁/B) and s₂(1 + b₂/B)
    steps. Whatever B the run was made at, the average is (b₁s₁ + b₂s₂)/(s₁ + s₂).
    """
    (b1, s1), (b2, s2) = (10.0, 100.0), (300.0, 40.0)
    for batch_size in (1.0, 30.0, 1000.0):
        first, second = s1 * (1 + b1 / batch_size), s2 * (1 + b2 / batch_size)
        step = np.array([0, first, first * (1 + 1e-9), first + second])
        average = progress(step, [b1, b1, b2, b2], [1, 1, 1, 1], batch_size)
        assert average == pytest.approx((b1 * s1 + b2 * s2) / (s1 + s2), rel=1e-5)


def test_the_average_lies_between_the_ends_of_the_curve_and_is_the_integral():
    step, trace, squared_norm = np.array([0.0, 10, 90]), np.array([4.0, 6, 9]), np.array([1.0, 0.1, 0.02])
    fine = np.linspace(0, 90, 200_001)
    curve = np.interp(fine, step, trace) / np.interp(fine, step, squared_norm)
    ds = 1 / (1 + curve / 16)
    average = progress(step, trace, squared_norm, 16)
    assert average == pytest.approx(np.trapezoid(curve * ds, fine) / np.trapezoid(ds, fine), rel=1e-3)
    assert 4 < average < 450
    order = np.array([2, 0, 1])
    assert progress(step[order], 5 * trace[order], 5 * squared_norm[order], 16) == pytest.approx(average)


def test_a_gradient_that_vanishes_at_the_end_leaves_a_finite_average():
    assert 0 < progress([0, 10], [1, 1], [1, 0], 4) < math.inf
    assert progress([0, 10], [1, 1], [0, 0], 4) == math.inf
    assert math.isnan(progress([], [], [], 4))


def test_the_interval_over_seeds_is_student_s():
    values = [30.0, 40.0, 37.0]
    estimate = noise.over_seeds(values)
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(np.log(values)), scipy.stats.sem(np.log(values)))
    assert estimate == pytest.approx((scipy.stats.gmean(values), np.exp(low), np.exp(high)))
    assert noise.over_seeds([30.0]) == pytest.approx((30, 0, math.inf))
    assert math.isnan(noise.over_seeds([math.nan]).value)


def test_a_batch_size_that_is_none_is_refused():
    with pytest.raises(ValueError, match="positive number"):
        progress([0, 1], [1, 1], [1, 1], 0)
