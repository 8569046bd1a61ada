"""When trials meet a target, and which point does it soonest.

Invariant: every trial has a number; a trial that never meets the target has inf, and no step counts that was not
evaluated.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real


class Reached(NamedTuple):
    """Where each trial met the target: the first evaluation that did, and the last one before it.

    The true place is above `before` and at most `at`. For a miss `at` is inf and `before` is the last evaluation.
    """

    at: Float[np.ndarray, " trials"]
    before: Float[np.ndarray, " trials"]


class Best(NamedTuple):
    """The point whose median over seeds is least, and that median; −1 and inf where no point's median is finite."""

    point: int
    median: float


def reached(
    trial: Int[np.ndarray, " rows"], position: Real[np.ndarray, " rows"], met: Bool[np.ndarray, " rows"], trials: int
) -> Reached:
    """Return where each of `trials` trials first met its target.

    Args:
        trial: number of the trial, 0 … trials − 1, of each evaluation; the rows may come in any order.
        position: where the evaluation was, as steps S, examples S·B or seconds; the result has its unit.
        met: whether the metric met the target there, as in `metric >= target`, which is false for NaN.

    Raises:
        ValueError: a trial's number is out of range, or a position is negative or NaN.
    """
    _check_numbers("trial", trial, trials)
    if not np.all(position >= 0):
        raise ValueError("a position is negative or NaN; give steps, examples or seconds since the start")
    at, before = np.full(trials, np.inf), np.zeros(trials)
    np.minimum.at(at, trial[met], position[met])
    earlier = position < at[trial]
    np.maximum.at(before, trial[earlier], position[earlier])
    return Reached(at, before)


def medians(
    values: Real[np.ndarray, " trials"], point: Int[np.ndarray, " trials"], points: int
) -> Float[np.ndarray, " points"]:
    """Return the median over each point's trials, its seeds; inf for a point that at least half of them miss.

    A point without trials has inf as well.

    Raises:
        ValueError: a point's number is not in 0 … points − 1, or a value is NaN.
    """
    _check_numbers("point", point, points)
    if np.isnan(values).any():
        raise ValueError("a value is NaN; give inf for a trial that missed the target")
    groups = (values[point == number] for number in range(points))
    return np.array([np.median(group) if group.size else np.inf for group in groups])


def best(values: Real[np.ndarray, " trials"], point: Int[np.ndarray, " trials"], points: int) -> Best:
    """Return the minimum over points of the median over seeds (Shallue et al. 2018); the first of equals.

    Raises:
        ValueError: as `medians`, or there are no points.
    """
    if points < 1:
        raise ValueError(f"{points!r} points cannot be compared; give at least 1")
    each = medians(values, point, points)
    point_of_least = int(np.argmin(each))
    return Best(point_of_least if np.isfinite(each[point_of_least]) else -1, float(each[point_of_least]))


def _check_numbers(what: str, numbers: np.ndarray, count: int) -> None:
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
        raise ValueError(
            f"{what} numbers {numbers.min()} to {numbers.max()} are not in 0 to {count - 1}; renumber them"
        )
