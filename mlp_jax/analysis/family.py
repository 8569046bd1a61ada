"""Which of several optimizers needs less: all pairs at once, in a family of comparisons that is fixed beforehand.

Invariant: the size of the family does not depend on what was measured; a comparison that can't be made still counts.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mlp_jax.analysis.bootstrap import Estimate

FIRST_LESS = "the first is less"
SECOND_LESS = "the second is less"
NOT_TOLD_APART = "not told apart"
NOT_REACHED = "the target was not reached by both"
UNKNOWN = 0.025  # share of the samples that may be without a value
Measured = tuple[float, Float[np.ndarray, " resamples"]]  # a number of steps and its samples, inf for a miss
NORMAL = NormalDist()


class Pair(NamedTuple):
    """Two optimizers compared in one quantity: the ratio first/second, and a verdict in words.

    The interval of `ratio` is simultaneous with those of all other pairs of the family (Bonferroni). `p` is adjusted
    after Holm. A ratio of at least `least_ratio`, or at most its reciprocal, would have been detected with the
    probability `power` that `compare` was given. If an optimizer missed the target, `ratio` is NaN, from 0 to inf.
    """

    quantity: str
    first: str
    second: str
    ratio: Estimate
    p: float
    verdict: str
    least_ratio: float


def compare(measured: Mapping[str, Mapping[str, Measured]], *, level: float = 0.95, power: float = 0.8) -> list[Pair]:
    """Compare all pairs of optimizers in each quantity, with an error of at most 1 − `level` for all of them together.

    The difference of the logarithms, divided by its standard deviation over the samples, is taken to be normal; the
    p-values are adjusted after Holm (1979). If Holm's test tells two optimizers apart while the wider simultaneous
    interval contains 1, that interval is cut at 1.

    Args:
        measured: for each quantity (such as "steps at B = 512") the value and the samples of each optimizer, inf for a
            miss; samples of different optimizers must be independent.

    Raises:
        ValueError: `level` or `power` is not between 0 and 1.
    """
    refuse(level, power)
    pairs = [(what, *two) for what, of in measured.items() for two in combinations(of, 2)]
    differences = [difference(measured[what][a], measured[what][b]) for what, a, b in pairs]
    raw = [2 * NORMAL.cdf(-abs(middle) / spread) if 0 < spread < np.inf else 1.0 for middle, spread in differences]
    adjusted, each = holm(raw), (1 - level) / max(len(pairs), 1)
    return [_pair(pair, *two, p, 1 - level, each, power) for pair, two, p in zip(pairs, differences, adjusted)]


def refuse(level: float, power: float) -> None:
    """Raise a ValueError unless both are between 0 and 1."""
    if not (0 < level < 1 and 0 < power < 1):
        raise ValueError(f"level {level!r} and power {power!r} are not allowed; give numbers between 0 and 1")


def difference(first: Measured, second: Measured) -> tuple[float, float]:
    """Return log first − log second and its standard deviation; the two are taken to be independent.

    If either missed the target, the result is NaN and inf.
    """
    known = [samples[np.isfinite(samples)] for _, samples in (first, second)]
    whole = all(kept.size >= (1 - UNKNOWN) * samples.size for kept, (_, samples) in zip(known, (first, second)))
    if not whole or not np.isfinite([first[0], second[0]]).all():
        return np.nan, np.inf
    return math.log(first[0] / second[0]), math.hypot(*(float(np.std(np.log(kept), ddof=1)) for kept in known))


def holm(p: list[float]) -> list[float]:
    """Return adjusted p-values, each to be compared with the error allowed for all of them together (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.array(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted.tolist()


def _pair(
    pair: tuple[str, str, str], middle: float, spread: float, p: float, error: float, each: float, power: float
) -> Pair:
    if not np.isfinite(spread):
        return Pair(*pair, Estimate(np.nan, 0.0, np.inf), p, NOT_REACHED, np.inf)
    half = -NORMAL.inv_cdf(each / 2) * spread
    low, high = middle - half, middle + half
    verdict = NOT_TOLD_APART
    if p <= error:
        verdict = FIRST_LESS if middle < 0 else SECOND_LESS
        low, high = (low, min(high, 0.0)) if middle < 0 else (max(low, 0.0), high)
    least = np.exp(half + NORMAL.inv_cdf(power) * spread)
    return Pair(*pair, Estimate(*np.exp([middle, low, high]).tolist()), p, verdict, float(least))
