"""Which point meets a target soonest, by the median over its seeds.

Invariant: a trial that misses the target counts as inf, and a point that half of its trials miss does too.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real


class Best(NamedTuple):
    """The point whose median over seeds is least, and that median; −1 and inf where no point's median is finite."""

    point: int
    median: float


def medians(
    values: Real[np.ndarray, " trials"], point: Int[np.ndarray, " trials"], points: int
) -> Float[np.ndarray, " points"]:
    """Return the median over the trials (seeds) of each point; inf if at least half of them miss.

    A point without trials has inf too.

    Raises:
        ValueError: a point's number is not in 0 … points − 1, or a value is NaN.
    """
    if point.size and not 0 <= point.min() <= point.max() < points:
        raise ValueError(f"point numbers {point.min()} to {point.max()} are not in 0 to {points - 1}; renumber them")
    if np.isnan(values).any():
        raise ValueError("a value is NaN; give inf for a trial that missed the target")
    groups = (values[point == number] for number in range(points))
    return np.array([np.median(group) if group.size else np.inf for group in groups])


def best(values: Real[np.ndarray, " trials"], point: Int[np.ndarray, " trials"], points: int) -> Best:
    """Return the point with the least median over its seeds (Shallue et al. 2018); of equals the first.

    Raises:
        ValueError: as `medians`, or there are no points.
    """
    if points < 1:
        raise ValueError(f"{points!r} points cannot be compared; give at least 1")
    each = medians(values, point, points)
    point_of_least = int(np.argmin(each))
    return Best(point_of_least if np.isfinite(each[point_of_least]) else -1, float(each[point_of_least]))
