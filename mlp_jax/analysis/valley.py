"""The bottom of a valley: a robust parabola through noisy heights, for many resamples at once.

Invariant: each row is fitted as if it were alone. Heights are natural logarithms of steps, inf for a trial that missed.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

BAD = np.log(3.0)  # a trial this much above the base does not belong to the valley's floor
KEPT = np.log(2.0)  # the parabola takes in what is at most this much above its bottom
LEAST = 5  # trials for a parabola to narrow its window, 3 for one at all
PASSES, REWEIGHTS = 3, 3  # of the window, and of Huber's weights for each
HUBER = 1.345  # standard deviations: 95 % efficient where errors are normal (Huber 1964)
SMALL = 0.02  # an error of 2 % is never an outlier
MISSED = 1e6  # stands for inf: its differences are numbers


class Parabola(NamedTuple):
    """log steps = a + b·u + c·u², u being the coordinate of the rate; NaN where there is no curve."""

    a: float
    b: float
    c: float

    def steps(self, coordinate: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the steps that the curve has at the coordinates."""
        return np.exp(self.a + self.b * coordinate + self.c * coordinate**2)


class Bottom(NamedTuple):
    """Of each row the bottom's height and place, the parabola's coefficients, and the ends of what it was fitted to."""

    bottom: Float[np.ndarray, " rows"]
    place: Float[np.ndarray, " rows"]
    coefficients: Float[np.ndarray, "rows 3"]
    low: Float[np.ndarray, " rows"]
    high: Float[np.ndarray, " rows"]

    def curve(self, row: int) -> Parabola:
        """Return the parabola of a row."""
        return Parabola(*self.coefficients[row].tolist())


def fit(place: Float[np.ndarray, "rows trials"], height: Float[np.ndarray, "rows trials"]) -> Bottom:
    """Find the bottom of each row's valley.

    The least running median of 3 is the base. The valley goes from there to both sides until most of the next three
    trials are bad: missed, or more than 3 times the base; a cliff stays outside. A Huber parabola is fitted to what
    lies in it and then twice more to what the parabola itself puts within 2 times its bottom. The bottom is where the
    parabola is least between the outermost trials that it was fitted to.
    """
    order = np.lexsort((height, place), axis=-1)
    place, height = np.take_along_axis(place, order, 1), np.take_along_axis(height, order, 1)
    height = np.where(np.isfinite(height), height, MISSED)
    smooth = running_median(height)
    smooth = np.where((smooth.min(axis=1) < MISSED / 2)[:, None], smooth, height)  # one trial in time is all there is
    base, centre = smooth.min(axis=1, keepdims=True), smooth.argmin(axis=1)
    bad = height > base + BAD
    inside = within(bad, centre) & (smooth <= base + BAD)
    capped = np.minimum(height, base + BAD)
    coefficients, bottom, at, low, high = _parabola(place, capped, inside)
    for _ in range(PASSES - 1):
        a, b, c = coefficients.T[..., None]
        near = inside & (a + b * place + c * place**2 <= bottom[:, None] + KEPT)
        kept = np.where((near.sum(axis=1) >= LEAST)[:, None], near, inside)
        coefficients, bottom, at, low, high = _parabola(place, capped, kept)
    few = inside.sum(axis=1) < 3
    coefficients = np.where(few[:, None], np.nan, coefficients)
    bottom = np.where(few, base[:, 0], bottom)
    at = np.where(few, place[np.arange(len(place)), centre], at)
    none = base[:, 0] > MISSED / 2
    known = lambda values, otherwise: np.where(none, otherwise, values)
    return Bottom(known(bottom, np.inf), known(at, np.nan), coefficients, known(low, np.nan), known(high, np.nan))


def _parabola(place: np.ndarray, height: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fit the trials that are kept; return coefficients, height and place of the bottom, and the ends of the trials."""
    low = np.where(kept, place, np.inf).min(axis=1)
    high = np.where(kept, place, -np.inf).max(axis=1)
    coefficients = huber(place, height, kept.astype(float))
    return coefficients, *lowest(coefficients, low, high), low, high


def running_median(height: Float[np.ndarray, "rows trials"]) -> Float[np.ndarray, "rows trials"]:
    """Return the median of each trial and its two neighbours; at an end the higher of the two that there are."""
    if height.shape[1] < 2:
        return height
    beyond = np.full((len(height), 1), MISSED)
    padded = np.hstack([beyond, height, beyond])
    return np.median(np.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]]), axis=0)


def within(bad: Bool[np.ndarray, "rows trials"], centre: np.ndarray) -> Bool[np.ndarray, "rows trials"]:
    """Walk from the centre to both sides until most of the next three trials, or of those left, are bad."""
    return _rightwards(bad, centre) & _rightwards(bad[:, ::-1], bad.shape[1] - 1 - centre)[:, ::-1]


def _rightwards(bad: np.ndarray, centre: np.ndarray) -> np.ndarray:
    trials = bad.shape[1]
    ahead = lambda values: sum(np.pad(values, ((0, 0), (0, 3)))[:, k : trials + k] for k in range(3))
    ends = 2 * ahead(bad.astype(int)) > ahead(np.ones_like(bad, int))
    return ~np.logical_or.accumulate(ends & (np.arange(trials) > centre[:, None]), axis=1)


def huber(
    place: Float[np.ndarray, "rows trials"],
    height: Float[np.ndarray, "rows trials"],
    weight: Float[np.ndarray, "rows trials"],
) -> Float[np.ndarray, "rows 3"]:
    """Return a, b, c of a + b·u + c·u² for each row, by weighted least squares with Huber's weights."""
    total = np.maximum(weight.sum(axis=1), 1e-9)
    middle = (weight * place).sum(axis=1) / total
    away = place - middle[:, None]
    spread = np.sqrt((weight * away**2).sum(axis=1) / total) + 1e-9
    away = away / spread[:, None]
    powers = np.stack([np.ones_like(away), away, away**2], axis=1)
    solution = _least_squares(powers, height, weight)
    for _ in range(REWEIGHTS):
        error = np.abs(height - np.einsum("rkn,rk->rn", powers, solution))
        limit = HUBER * 1.4826 * np.nanmedian(np.where(weight > 0, error, np.nan), axis=1, keepdims=True)
        robust = weight * np.minimum(1, np.maximum(limit, SMALL) / np.maximum(error, SMALL))
        solution = _least_squares(powers, height, robust)
    x, y, z = solution[:, 0], solution[:, 1] / spread, solution[:, 2] / spread**2
    return np.stack([x - y * middle + z * middle**2, y - 2 * z * middle, z], axis=1)


def _least_squares(powers: np.ndarray, height: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weighted = powers * weight[:, None]
    normal = weighted @ powers.swapaxes(1, 2) + 1e-9 * np.eye(3)
    return np.linalg.solve(normal, weighted @ height[..., None])[..., 0]


def lowest(
    coefficients: Float[np.ndarray, "rows 3"], low: Float[np.ndarray, " rows"], high: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Return the least height between low and high, and its place."""
    a, b, c = coefficients.T
    height = lambda at: a + b * at + c * at**2
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(c > 1e-6, np.clip(-b / (2 * c), low, high), np.where(height(low) < height(high), low, high))
        return height(turn), turn
