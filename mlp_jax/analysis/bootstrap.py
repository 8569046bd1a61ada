"""Bootstrap intervals: how a number would vary if other trials had been drawn.

Invariant: an interval depends on the data and a seed alone, and unknown values widen it: a resample without a value
counts as the lowest at the lower end and as the highest at the upper end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

Statistic = Callable[[np.ndarray], np.ndarray]  # reduces the last axis


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


def median(values: Real[np.ndarray, "*n trials"]) -> Float[np.ndarray, "*n"]:
    """Return the median over the last axis; NaN only where its two middle values are −inf and inf."""
    ordered, size = np.sort(values.astype(float), axis=-1), values.shape[-1]
    with np.errstate(invalid="ignore"):
        return np.asarray((ordered[..., (size - 1) // 2] + ordered[..., size // 2]) / 2)


def mean(values: Real[np.ndarray, "*n trials"]) -> Float[np.ndarray, "*n"]:
    """Return the mean over the last axis; NaN only where both −inf and inf are in it."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.mean(values.astype(float), axis=-1))


def draws(size: int, resamples: int, seed: int) -> Int[np.ndarray, "resamples size"]:
    """Return indices that draw `size` out of `size` with replacement, `resamples` times.

    Raises:
        ValueError: there is nothing to draw from, or no resample is wanted.
    """
    if size < 1 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {size} values are not possible; give at least 1 of both")
    return np.random.default_rng(seed).integers(0, size, (resamples, size))


def percentiles(
    samples: Float[np.ndarray, "resamples *n"], level: float, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the central `level` of the samples, both of them samples themselves (Efron 1979).

    A NaN stands for an unknown value: it counts as `bounds[0]` for the lower end and as `bounds[1]` for the upper.
    Without samples the ends are `bounds`.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level!r} is not allowed; give a number between 0 and 1, such as 0.95")
    if not len(samples):
        samples = np.full((1, *samples.shape[1:]), np.nan)
    unknown, tail = np.isnan(samples), (1 - level) / 2
    lowest, highest = (np.where(unknown, bound, samples) for bound in bounds)
    low = np.quantile(lowest, tail, axis=0, method="lower")
    high = np.quantile(highest, 1 - tail, axis=0, method="higher")
    return np.asarray(low), np.asarray(high)


def joined(samples: Sequence[Float[np.ndarray, " resamples"]], seed: int = 0) -> Float[np.ndarray, "resamples n"]:
    """Return the samples of independent numbers as columns of one array, each shuffled by itself.

    Without shuffling, cells that were resampled with the same seed would be correlated.

    Raises:
        ValueError: there are no samples, or their lengths differ.
    """
    lengths = {column.size for column in samples}
    if len(lengths) != 1:
        raise ValueError(f"samples of {sorted(lengths)} values can't be joined; give at least one, all of one length")
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(column) for column in samples], axis=-1)


def interval(
    values: Real[np.ndarray, " trials"],
    statistic: Statistic = median,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return `statistic` of the trials with its percentile interval; a trial that missed has the value inf.

    The interval of a median of n trials lies between the least and the greatest and so covers at most 1 − 2·2⁻ⁿ:
    94 % for 5 trials, 75 % for 3.

    Raises:
        ValueError: a value is NaN, there are no values, or `level` or `resamples` is not allowed.
    """
    if not values.size or np.isnan(values).any():
        raise ValueError("values are missing or NaN; give at least 1, and inf for a trial that missed")
    samples = statistic(values[draws(values.size, resamples, seed)])
    low, high = percentiles(samples, level)
    return Estimate(float(statistic(values)), float(low), float(high))


def differences(first: Real[np.ndarray, " pairs"], second: Real[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
    """Return first − second of each pair: ±inf if one of the two missed, 0 if both did, since neither is ahead.

    Raises:
        ValueError: the arrays differ in length.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.size} and {second.size} values do not pair; give both one value for each seed")
    both_missed = np.isinf(first) & (first == second)
    with np.errstate(invalid="ignore"):
        return np.where(both_missed, 0.0, first.astype(float) - second)


def paired(
    first: Real[np.ndarray, " pairs"],
    second: Real[np.ndarray, " pairs"],
    statistic: Statistic = median,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return `statistic` of first − second over pairs (of one seed) with its interval; resamples draw whole pairs.

    Raises:
        ValueError: as `differences` and `interval`.
    """
    return interval(differences(first, second), statistic, level=level, resamples=resamples, seed=seed)
