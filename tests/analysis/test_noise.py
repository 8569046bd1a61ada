"""The run-averaged noise scale on tables made by hand, and against an average over every single step."""

import math

import numpy as np
import pytest

from mlp_jax.analysis import noise


def of(step, trace, squared_norm) -> float:
    return noise.run_average(np.array(step), np.array(trace, float), np.array(squared_norm, float))


@pytest.mark.parametrize(
    ("step", "trace", "squared_norm", "average"),
    [
        ([0, 10], [1, 3], [0.1, 0.3], 10),
        ([0, 10], [2, 2], [1, 0], 4),  # the mean of the ratios would be infinite
        ([0, 1, 11], [12, 0, 0], [0, 2, 2], 6 / 21),  # a long interval counts more than a short one
        ([0, 1, 11], [0, 0, 4], [2, 2, 2], 20 / 22),
        ([7], [6], [2], 3),
        ([0], [0], [0], math.nan),
        ([0, 5], [1, 1], [0, 0], math.inf),
        ([], [], [], math.nan),
        ([0, 10, 20], [1, 3, math.nan], [0.1, 0.3, 1], 10),
        ([0, 10, 20], [1, 3, 5], [0.1, 0.3, math.inf], 10),
    ],
)
def test_averages_by_hand(step, trace, squared_norm, average):
    assert of(step, trace, squared_norm) == pytest.approx(average, nan_ok=True)


def test_log_spaced_evaluations_give_the_average_over_every_step():
    every = np.arange(10_001)
    trace, squared_norm = 5 / (1 + every / 300), 1 / (1 + every / 100)
    some = np.unique(np.append(0, np.rint(np.geomspace(1, 10_000, 60)).astype(int)))
    exact = np.trapezoid(trace) / np.trapezoid(squared_norm)
    assert of(some, trace[some], squared_norm[some]) == pytest.approx(exact, rel=0.01)
    plain = trace[some].mean() / squared_norm[some].mean()
    assert abs(plain / exact - 1) > 0.2, "the mean over rows must be another number, or this tests nothing"


def test_the_order_of_the_rows_changes_nothing_and_the_unit_of_the_loss_neither():
    rng = np.random.default_rng(0)
    step, trace, squared_norm = np.arange(9) ** 2, rng.uniform(1, 2, 9), rng.uniform(1, 2, 9)
    order = rng.permutation(9)
    average = of(step, trace, squared_norm)
    assert of(step[order], trace[order], squared_norm[order]) == average
    assert of(step, 49 * trace, 49 * squared_norm) == pytest.approx(average)


def test_two_runs_in_one_table_are_refused():
    with pytest.raises(ValueError, match="two rows are of one step"):
        of([0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1])
