"""Optimizers against each other: paired differences, best of k points, performance profiles.

Invariant: less is better everywhere (an error, a loss, steps, seconds), and a miss is inf.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from mlp_jax.analysis import bootstrap
from mlp_jax.analysis.bootstrap import Estimate

NO_DIFFERENCE = "no difference found"
FIRST_LESS = "the first is less"
SECOND_LESS = "the second is less"
TOO_FEW = "too few pairs to tell: 5 are needed"
R_MAX = 4.0  # times the least cost, beyond which a workload adds nothing to a score (Dahl et al. 2023)
LEAST_PAIRS = 5  # between equals, all 5 pairs have one sign in 1 of 16 cases, all 4 in 1 of 8


class Difference(NamedTuple):
    """The median of first − second with its interval, the number of pairs, and a verdict in words."""

    estimate: Estimate
    pairs: int
    verdict: str


class Curve(NamedTuple):
    """The best of k points for k = 1 … N: its expectation with an interval, and its median, which is less often inf."""

    k: Int[np.ndarray, " N"]
    expected: Float[np.ndarray, " N"]
    low: Float[np.ndarray, " N"]
    high: Float[np.ndarray, " N"]
    median: Float[np.ndarray, " N"]


def difference(
    first: Real[np.ndarray, " pairs"],
    second: Real[np.ndarray, " pairs"],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Compare two optimizers by pairs of trials with the same seed; an interval that contains 0 shows no difference.

    Give logarithms to compare by ratio. A share of about 1 − `level` of all comparisons between equals finds a
    difference by chance, so raise `level` if you make many.

    Raises:
        ValueError: as `bootstrap.paired`.
    """
    estimate = bootstrap.paired(first, second, level=level, resamples=resamples, seed=seed)
    verdict = NO_DIFFERENCE
    if first.size < LEAST_PAIRS:
        verdict = TOO_FEW
    elif estimate.high < 0:
        verdict = FIRST_LESS
    elif estimate.low > 0:
        verdict = SECOND_LESS
    return Difference(estimate, first.size, verdict)


def best_of_k(values: Real[np.ndarray, " N"], *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Curve:
    """Return the expected best of k of the N points for each k: result against tuning budget (Dodge et al. 2019).

    Of k points drawn without replacement, the best is the j-th best of all with probability C(N−j, k−1)/C(N, k). With m
    misses the expectation is inf up to k = m. The interval draws the N points with replacement; near k = N it is too
    narrow, since no resample holds a point better than the best.

    Args:
        values: the result of each point, inf for one that failed.

    Raises:
        ValueError: a value is NaN or −inf, there are no values, or `level` or `resamples` is not allowed.
    """
    if not values.size or not np.all(values > -np.inf):
        raise ValueError("values are missing, NaN or −inf; give at least 1, and inf for a point that failed")
    probability = best_probabilities(values.size)
    samples = _expected(values[bootstrap.draws(values.size, resamples, seed)], probability)
    low, high = bootstrap.percentiles(samples, level)
    half = np.argmax(np.cumsum(probability, axis=1) >= 0.5 - 1e-12, axis=1)
    ordered = np.sort(values.astype(float))
    return Curve(np.arange(1, values.size + 1), _expected(values, probability), low, high, ordered[half])


def best_probabilities(points: int) -> Float[np.ndarray, "points points"]:
    """Return C(N−j, k−1)/C(N, k) in row k − 1 and column j − 1, N = `points`; each row adds up to 1."""
    k, j = np.arange(1, points + 1)[:, None], np.arange(1, points)
    steps = np.maximum(points - j - k + 1, 0) / (points - j)  # C(N−j−1, k−1)/C(N−j, k−1)
    return k / points * np.cumprod(np.hstack([np.ones_like(k, float), steps]), axis=1)


def ratios(times: Real[np.ndarray, "optimizers workloads"]) -> Float[np.ndarray, "optimizers workloads"]:
    """Return each time divided by the workload's least time; inf for a miss, also where all optimizers miss.

    Raises:
        ValueError: a time is negative or NaN, or there are no optimizers or workloads.
    """
    if not times.size or not np.all(times >= 0):
        raise ValueError(
            "times are missing, negative or NaN; give a number for each optimizer and workload, inf for a miss"
        )
    least = np.min(times, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isinf(times), np.inf, np.where(times == least, 1.0, times / least))


def profile(
    ratios: Float[np.ndarray, "optimizers workloads"], tau: Real[np.ndarray, " taus"]
) -> Float[np.ndarray, "optimizers taus"]:
    """Return ρ(τ), the share of workloads on which an optimizer has r ≤ τ (Dolan & Moré 2002)."""
    return np.mean(ratios[:, None, :] <= tau[None, :, None], axis=-1)


def score(ratios: Float[np.ndarray, "optimizers workloads"], r_max: float = R_MAX) -> Float[np.ndarray, " optimizers"]:
    """Return 1/(r_max − 1)·∫₁^r_max ρ(τ) dτ (Dahl et al. 2023): 1 if always the fastest, 0 if never within r_max.

    ρ is a sum of steps, so the integral is the mean of r_max − r over the workloads with r ≤ r_max.

    Raises:
        ValueError: `r_max` is not above 1.
    """
    if not 1 < r_max < np.inf:
        raise ValueError(f"r_max {r_max!r} is not allowed; give a finite number above 1, such as 4")
    return np.mean(np.maximum(r_max - ratios, 0), axis=-1) / (r_max - 1)


def _expected(values: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return Σ_j P(j-th best) · j-th best for each k, along the last axis; inf if all k points may be misses."""
    ordered = np.sort(values.astype(float), axis=-1)
    misses = np.isinf(ordered).sum(axis=-1, keepdims=True)
    expected = np.where(np.isinf(ordered), 0.0, ordered) @ probability.T
    return np.where(np.arange(1, values.shape[-1] + 1) <= misses, np.inf, expected)
