"""How many trials a desired precision takes, predicted from the trials of a study.

Invariant: a forecast changes only how far samples lie from their median, never the median itself. The spread of a
valley's bottom is assumed to shrink like 1/√trials.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import critical_batch_size, family
from mlp_jax.analysis.family import NORMAL, Measured

MOST = 64.0  # times the trials of the study: no forecast goes further
TOLERANCE = 1e-3  # of the number of trials


def shrunk(samples: Float[np.ndarray, "resamples *n"], factor: float) -> Float[np.ndarray, "resamples *n"]:
    """Return the samples that `factor` times as many trials would give: √factor times nearer to their median."""
    with np.errstate(invalid="ignore"):  # inf stays inf: more trials do not turn a miss into a hit
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
    """Return upper/lower end of the interval of B_crit that `factor` times the trials would give; inf if one is open.

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
    """Return how many trials each cell needs so that the interval of B_crit has an upper/lower end of `wished`.

    It is inf if that is out of reach: the interval always reaches 10 % to both sides, and no forecast is made beyond 64
    times the trials of the study.

    Args:
        trials: how many trials each cell has now.
        wished: the upper end divided by the lower end, above 1.

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
    """Return how many trials each cell needs so that a true ratio `wished` between two optimizers is detected.

    Args:
        first, second: as `family.compare` takes them.
        trials: how many trials each of the two cells has now.
        wished: the ratio, above 1.
        comparisons: how many comparisons the family has.
        power: the probability with which the ratio is to be detected.

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
    """Return the least factor that is enough, found by bisection; inf if none up to MOST is."""
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
