"""Steps to target against batch size: S = S_min + E_min/B, the critical batch size, the range of perfect scaling.

Invariant: a batch size at which the target is not reached is left out of the line and named in the result; what the
data do not settle has an interval that ends at 0 or inf, never an exception.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import bootstrap
from mlp_jax.analysis.bootstrap import Estimate

FITTED = "fitted"
NO_PLATEAU = "no plateau seen: larger batch sizes are needed for an upper end"
NO_SCALING = "no scaling seen: smaller batch sizes are needed for a lower end"
TOO_FEW_SIZES = "too few batch sizes reached the target: a line needs 3"
MISFIT = "no critical batch size: the line misses the steps by {:.0f} %, and {:.0f} % is allowed"
LARGEST_MISFIT = 0.15
FLOOR = 0.1  # the ends are at least so far from B_crit, in shares of it: a parabola is not quite the valley
LEAST = 3  # batch sizes for a line that can be checked
PASSES = 10  # times that the weights are computed anew; the third already changes little


class Fit(NamedTuple):
    """S = S_min + E_min/B and B_crit = E_min/S_min; all NaN with intervals from 0 to inf where there is no line.

    `misfit` is the root mean square of S/(S_min + E_min/B) − 1 over the batch sizes: how far the steps are from the
    line. The intervals do not include it. `missed` lists the batch sizes at which the target was not reached.
    """

    s_min: Estimate
    e_min: Estimate
    b_crit: Estimate
    misfit: float
    missed: tuple[float, ...]
    verdict: str

    def steps(self, batch_size: Real[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return S_min + E_min/B; multiplied by B it is the number of examples."""
        return self.s_min.value + self.e_min.value / batch_size.astype(float)


class Range(NamedTuple):
    """Batch sizes from `low` to `high`, both included; NaN where there is none."""

    low: float
    high: float


def fit_samples(
    sizes: Real[np.ndarray, " sizes"],
    steps: Float[np.ndarray, " sizes"],
    samples: Float[np.ndarray, "resamples sizes"],
    *,
    level: float = 0.95,
    allowed: float = LARGEST_MISFIT,
) -> Fit:
    """Fit S = S_min + E_min/B to the least steps at each batch size, as `response.fit` finds them, and to each sample.

    The intervals are percentiles over the samples. The ends of that of B_crit are at least 10 % away from the value.
    There is no B_crit if the misfit is above `allowed`.

    Args:
        sizes: the batch sizes, each once.
        steps: the least steps at each batch size, inf where the target was not reached.
        samples: one row for each resample and one column for each batch size (`bootstrap.joined`).

    Raises:
        ValueError: there are no sizes, one is given twice, or a number is not positive.
    """
    _refuse(sizes, steps)
    if np.unique(sizes).size != sizes.size or samples.shape[1:] != sizes.shape:
        raise ValueError("batch sizes and columns of samples do not pair; give each batch size once, with one column")
    used = np.isfinite(steps)
    values = _with_ratio(*coefficients(sizes, steps))
    drawn = np.where(np.isfinite(samples), samples, np.nan)[:, used]
    unknown = np.isnan(drawn).any(axis=1, keepdims=True)
    rows = _with_ratio(*coefficients(sizes[used], drawn)) if used.any() else np.full((len(samples), 3), np.nan)
    low, high = bootstrap.percentiles(np.where(unknown, np.nan, rows), level, (0.0, np.inf))
    s_min, e_min, b_crit = map(Estimate, values.tolist(), low.tolist(), high.tolist())
    misfit = _root_mean_square(steps[used] / (s_min.value + e_min.value / sizes[used]) - 1)
    missed = tuple(sizes[~used].astype(float).tolist())
    if misfit > allowed:
        verdict = MISFIT.format(100 * misfit, 100 * allowed)
        return Fit(s_min, e_min, Estimate(np.nan, 0.0, np.inf), misfit, missed, verdict)
    value, least, most = b_crit
    if used.sum() >= LEAST:
        b_crit = Estimate(value, min(least, value * (1 - FLOOR)), max(most, value * (1 + FLOOR)))
    return Fit(s_min, e_min, b_crit, misfit, missed, _verdict(int(used.sum()), b_crit))


def coefficients(
    batch_size: Real[np.ndarray, " sizes"], steps: Real[np.ndarray, "*n sizes"]
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Return S_min and E_min, both at least 0, of each row of `steps`; NaN where fewer than 3 of a row are finite.

    The errors of S are proportional to S, which spans orders of magnitude, so the squares are weighted by 1/S²: the
    result minimises Σ (S − S_min − E_min/B)²/Ŝ², where Ŝ is the line of the pass before.
    """
    x, finite = 1 / batch_size.astype(float), np.isfinite(steps)
    observed = np.where(finite, steps, 1.0)
    s_min, e_min = line(x, observed, finite / observed**2)
    for _ in range(PASSES):
        predicted = np.where(finite, s_min[..., None] + e_min[..., None] * x, 1.0)
        s_min, e_min = line(x, observed, finite / predicted**2)
    few = finite.sum(axis=-1) < LEAST
    return np.where(few, np.nan, s_min), np.where(few, np.nan, e_min)


def line(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, "*m n"], weights: Float[np.ndarray, "*m n"]
) -> tuple[Float[np.ndarray, "*m"], Float[np.ndarray, "*m"]]:
    """Return the a, b ≥ 0 that minimise Σ weights·(y − a − b·x)², for each row of `y`; x and y are positive."""
    total = lambda values: np.sum(weights * values, axis=-1)
    w, wx, wxx, wy, wxy = total(1.0), total(x), total(x * x), total(y), total(x * y)
    with np.errstate(invalid="ignore", divide="ignore"):  # rows of fewer than two points: the caller refuses them
        b = (w * wxy - wx * wy) / (w * wxx - wx**2)
        a = (wy - b * wx) / w
        without_a, without_b = wxy / wxx, wy / w
    a, b = np.where(a < 0, 0.0, a), np.where(a < 0, without_a, b)
    return np.where(b < 0, without_b, a), np.where(b < 0, 0.0, b)


def perfect_scaling(
    batch_size: Real[np.ndarray, " trials"], steps: Real[np.ndarray, " trials"], *, tolerance: float = 0.5
) -> Range:
    """Return the range of batch sizes where S ∝ 1/B: the median S·B is at most 1 + tolerance times the least one.

    The range has no gaps: a batch size at which the target was missed ends it. On the line E = E_min(1 + B/B_crit) it
    ends at about tolerance · B_crit.

    Raises:
        ValueError: a batch size or a number of steps is not positive, or `tolerance` is negative.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance {tolerance!r} is not allowed; give a share of at least 0, such as 0.5")
    sizes, groups = _by_size(batch_size, steps)
    examples = sizes * np.array([bootstrap.median(group) for group in groups])
    fewest = int(np.argmin(examples))
    if not np.isfinite(examples[fewest]):
        return Range(np.nan, np.nan)
    outside = np.flatnonzero(examples > (1 + tolerance) * examples[fewest])
    first = outside[outside < fewest].max(initial=-1) + 1
    last = outside[outside > fewest].min(initial=sizes.size) - 1
    return Range(float(sizes[first]), float(sizes[last]))


def _by_size(batch_size: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the different batch sizes in order, and for each the steps of its trials."""
    _refuse(batch_size, steps)
    sizes = np.unique(batch_size)
    return sizes.astype(float), [steps[batch_size == size] for size in sizes]


def _refuse(batch_size: np.ndarray, steps: np.ndarray) -> None:
    for what, values in (("batch size", batch_size), ("number of steps", steps)):
        if not np.all(values > 0):
            raise ValueError(
                f"a {what} is not positive; give positive numbers, and inf for steps that missed the target"
            )
    if not batch_size.size or np.isinf(batch_size).any():
        raise ValueError("batch sizes are missing or infinite; give one finite number for each of at least 1 trial")


def _with_ratio(s_min: np.ndarray, e_min: np.ndarray) -> np.ndarray:
    """Return S_min, E_min and E_min/S_min along a last axis."""
    with np.errstate(divide="ignore"):
        return np.stack([s_min, e_min, e_min / s_min], axis=-1)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else np.nan


def _verdict(sizes: int, b_crit: Estimate) -> str:
    if sizes < LEAST:
        return TOO_FEW_SIZES
    if np.isinf(b_crit.high):
        return NO_PLATEAU
    return NO_SCALING if b_crit.low == 0 else FITTED
