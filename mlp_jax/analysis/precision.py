"""How many trials a wished-for precision takes, foretold from trials that are there.

Invariant: a forecast changes only how far samples lie from their middle, never the middle itself. The spread of a
valley's bottom is taken to shrink like 1/√trials.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import critical_batch_size, family
from mlp_jax.analysis.family import NORMAL, Measured

MOST = 64.0  # times the trials that are there: a forecast so far away is none
TOLERANCE = 1e-3  # of the number of trials


def shrunk(samples: Float[np.ndarray, "resamples *n"], factor: float) -> Float[np.ndarray, "resamples *n"]:
    """Return the samples as `factor` times as many trials would give them: nearer to their median by √factor."""
    with np.errstate(invalid="ignore"):  # inf stays: a miss is not made up for
        logs = np.log(samples)
        middle = np.median(logs, axis=0)
        return np.where(np.isfinite(logs), np.exp(middle + (logs - middle) / math.sqrt(factor)), samples)


def ends(
    sizes: Real[np.ndarray, " sizes"],
    steps: Float[np.ndarray, " sizes"],
    samples: Float[np.ndarray, "resamples sizes"],
    factor: float = 1.0,
    *,
    level: float = 0.95,
) -> float:
    """Return the ratio of the ends of B_crit's interval that `factor` times the trials would give; inf for open ends.

    Args:
        sizes, steps, samples: as `critical_batch_size.fit_samples` takes them.
    """
    fit = critical_batch_size.fit_samples(sizes, steps, shrunk(samples, factor), level=level, allowed=math.inf)
    return fit.b_crit.high / fit.b_crit.low if fit.b_crit.low > 0 else math.inf


def trials_for_ends(
    sizes: Real[np.ndarray, " sizes"],
    steps: Float[np.ndarray, " sizes"],
    samples: Float[np.ndarray, "resamples sizes"],
    trials: int,
    wished: float,
    *,
    level: float = 0.95,
) -> float:
    """Return how many trials a cell needs for the ends of B_crit's interval to lie within `wished` of each other.

    It is inf where that is out of reach: the interval reaches 10 % to both sides whatever the trials, and a forecast
    of more than 64 times the trials that are there is none.

    Args:
        trials: how many trials each cell has now.
        wished: the upper end over the lower, above 1.

    Raises:
        ValueError: `wished` is not above 1.
    """
    _refuse(wished)
    enough = lambda factor: ends(sizes, steps, samples, factor, level=level) <= wished
    return _rounded(trials * _least(enough))


def trials_for_ratio(
    first: Measured,
    second: Measured,
    trials: int,
    wished: float,
    *,
    comparisons: int = 1,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """Return how many trials a cell needs for a true ratio of `wished` between two optimizers to be seen.

    Args:
        first, second: as `family.compare` takes them.
        trials: how many trials each of the two cells has now.
        wished: the ratio, above 1.
        comparisons: how many the family has.
        power: the probability with which the ratio is to be seen.

    Raises:
        ValueError: `wished` is not above 1, or a level or power is not between 0 and 1.
    """
    _refuse(wished)
    family.refuse(level, power)
    _, spread = family.difference(first, second)
    needed = NORMAL.inv_cdf(1 - (1 - level) / (2 * comparisons)) + NORMAL.inv_cdf(power)
    factor = (needed * spread / math.log(wished)) ** 2
    return _rounded(trials * factor) if factor <= MOST else math.inf


def _least(enough: Callable[[float], bool]) -> float:
    """Return the least factor that is enough, by halving; inf where none up to MOST is."""
    low, high = 1 / MOST, MOST
    if not enough(high):
        return math.inf
    while high / low > 1 + TOLERANCE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _rounded(trials: float) -> float:
    return float(math.ceil(trials)) if math.isfinite(trials) else math.inf


def _refuse(wished: float) -> None:
    if not wished > 1:
        raise ValueError(f"a ratio of {wished!r} is not allowed; give a number above 1, such as 1.5")
