"""The bottom of a valley: a robust parabola through noisy heights, for many resamples at once.

Invariant: each row is fitted as if it were alone. Heights are natural logarithms of steps, inf for a trial that missed;
places are coordinates in decades.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

BAD = float(np.log(4.0))  # a trial this much above the base is bad: not in the valley, and counted as this much
KEPT = float(np.log(1.5))  # the next parabola is fitted to trials at most this much above the bottom of the last
AHEAD, MOST = 5, 0.6  # the valley ends where more than this share of the next 5 trials is bad
UNKNOWNS = 3  # of a parabola
LEAST = 16  # trials that the window must have when it is narrowed
PASSES, REWEIGHTS = 3, 3  # fits with a new window, and Huber reweightings of each
HUBER = 1.345  # standard deviations: 95 % efficient where errors are normal (Huber 1964)
SMALL = 0.02  # an error of 2 % is never an outlier
BEND, TRUST = 3.0, 0.002  # the curvature that is used where the trials do not determine it, and its weight
MISSED = 1e6  # stands for inf: differences of inf would be NaN


class Parabola(NamedTuple):
    """log steps = a + b·u + c·u², u being the coordinate of the rate; NaN where there is no curve."""

    a: float
    b: float
    c: float

    def steps(self, coordinate: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the steps that the curve has at the coordinates."""
        return np.exp(self.a + self.b * coordinate + self.c * coordinate**2)


class Bottom(NamedTuple):
    """For each row, the height and place of the bottom, the parabola, and the ends of the trials it was fitted to.

    `turn` is where the parabola itself is lowest. It may lie past the last trial that the parabola was fitted to, but
    not past the next trial that was tried. `trials` is the number of trials that it was fitted to.
    """

    height: Float[np.ndarray, " rows"]
    place: Float[np.ndarray, " rows"]
    coefficients: Float[np.ndarray, "rows 3"]
    low: Float[np.ndarray, " rows"]
    high: Float[np.ndarray, " rows"]
    turn: Float[np.ndarray, " rows"]
    trials: Float[np.ndarray, " rows"]

    def curve(self, row: int) -> Parabola:
        """Return the parabola of a row."""
        return Parabola(*self.coefficients[row].tolist())


def fit(place: Float[np.ndarray, "rows trials"], height: Float[np.ndarray, "rows trials"]) -> Bottom:
    """Find the bottom of each row's valley; all NaN where no trial of a row met the target.

    The least running median of 3 is the base. A trial is bad if it missed or needed more than 4 times the base; it
    counts as 4 times the base. The valley extends from the base to both sides until more than 60 % of the next five
    trials are bad, and contains the trials whose running median is at most 4 times the base, so a cliff stays outside.
    A Huber parabola is fitted to the valley, then twice more to the trials where it is within 1.5 times its bottom (or
    to the whole valley, if those are fewer than 16). Each time that bottom is the new base, from which the valley and
    the bad trials are found again. The bottom is where the parabola is least between the outermost trials fitted.

    If the trial at the base is bad itself and fewer than 3 trials lie in the valley, most trials there miss by chance
    and none of them tells how high the valley is: the bottom is the base.
    """
    order = np.lexsort((height, place), axis=-1)
    place, height = np.take_along_axis(place, order, 1), np.take_along_axis(height, order, 1)
    height = np.where(np.isfinite(height), height, MISSED)
    smooth = running_median(height)
    smooth = np.where((smooth.min(axis=1) < MISSED)[:, None], smooth, height)  # where no median of 3 is in time
    base = smooth.min(axis=1)
    centre = smooth.argmin(axis=1)
    inside = within(height, smooth, base, centre)
    misses = np.take_along_axis(height, centre[:, None], 1)[:, 0] > base + BAD
    alone = misses & (inside.sum(axis=1) < UNKNOWNS)
    found = parabola(place, np.minimum(height, base[:, None] + BAD), inside)
    for _ in range(PASSES - 1):
        nearest = np.abs(place - found.place[:, None]).argmin(axis=1)
        inside = _unless_few(within(height, smooth, found.height, nearest), inside, UNKNOWNS)
        near = inside & (_heights(found.coefficients, place) <= found.height[:, None] + KEPT)
        kept = _unless_few(near, inside, LEAST)
        found = parabola(place, np.minimum(height, found.height[:, None] + BAD), kept)
    lone = np.take_along_axis(place, centre[:, None], 1)[:, 0]
    level = np.stack([base, np.zeros_like(base), np.zeros_like(base)], axis=1)
    found = _where(alone, Bottom(base, lone, level, lone, lone, lone, found.trials), found)
    missed = base >= MISSED
    return _where(missed, Bottom(*(np.full_like(values, np.nan) for values in found)), found)


def _where(rows: Bool[np.ndarray, " rows"], first: Bottom, second: Bottom) -> Bottom:
    """Return the bottoms of `first` in these rows, and those of `second` in the others."""
    column = lambda values: rows.reshape(-1, *[1] * (values.ndim - 1))
    return Bottom(*(np.where(column(one), one, other) for one, other in zip(first, second)))


def running_median(height: Float[np.ndarray, "rows trials"]) -> Float[np.ndarray, "rows trials"]:
    """Return the median of each trial and its two neighbours; at an end, the higher of the two that exist."""
    beyond = np.full((len(height), 1), MISSED)
    padded = np.hstack([beyond, height, beyond])
    return np.sort(np.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]]), axis=0)[1]


def within(
    height: Float[np.ndarray, "rows trials"],
    smooth: Float[np.ndarray, "rows trials"],
    base: Float[np.ndarray, " rows"],
    centre: Int[np.ndarray, " rows"],
) -> Bool[np.ndarray, "rows trials"]:
    """Tell which trials lie in the valley: walk from the centre to both sides until most of the next trials are bad."""
    bad, limit = height > base[:, None] + BAD, base[:, None] + BAD
    last = bad.shape[1] - 1
    return _rightwards(bad, centre) & _rightwards(bad[:, ::-1], last - centre)[:, ::-1] & (smooth <= limit)


def parabola(
    place: Float[np.ndarray, "rows trials"],
    height: Float[np.ndarray, "rows trials"],
    kept: Bool[np.ndarray, "rows trials"],
) -> Bottom:
    """Fit a Huber parabola to the kept trials of each row, of which there must be at least one."""
    low, high = np.where(kept, place, np.inf).min(axis=1), np.where(kept, place, -np.inf).max(axis=1)
    coefficients = huber(place, height, kept.astype(float))
    _, slope, bend = coefficients.T
    lower_end = np.where(_heights(coefficients, low) < _heights(coefficients, high), low, high)
    turn = np.where(bend > 0, -slope / np.where(bend > 0, 2 * bend, 1), lower_end)
    before = np.where(place < low[:, None], place, -np.inf).max(axis=1)
    after = np.where(place > high[:, None], place, np.inf).min(axis=1)
    at, trials = np.clip(turn, low, high), kept.sum(axis=1).astype(float)
    return Bottom(_heights(coefficients, at), at, coefficients, low, high, np.clip(turn, before, after), trials)


def huber(
    place: Float[np.ndarray, "rows trials"],
    height: Float[np.ndarray, "rows trials"],
    weight: Float[np.ndarray, "rows trials"],
) -> Float[np.ndarray, "rows 3"]:
    """Return a, b, c of a + b·u + c·u² for each row, by weighted least squares with Huber's weights.

    A curvature of 3 is added as if it had been observed. Its weight matters only where the trials are so few, or lie so
    close together, that they hardly determine the curvature.
    """
    middle = (weight * place).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
    away = place - middle[:, None]
    powers = np.stack([np.ones_like(away), away, away**2], axis=1)
    solution = _least_squares(powers, height, weight)
    for _ in range(REWEIGHTS):
        error = np.abs(height - np.einsum("rkn,rk->rn", powers, solution))
        limit = np.maximum(HUBER * 1.4826 * _median(error, weight > 0), SMALL)
        solution = _least_squares(powers, height, weight * np.minimum(1, limit / np.maximum(error, SMALL)))
    x, y, z = solution.T
    return np.stack([x - y * middle + z * middle**2, y - 2 * z * middle, z], axis=1)


def _rightwards(bad: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Tell which trials the walk to the right reaches; all trials left of the centre count as reached."""
    # a trial counts among its own next five, so that the shoulder of a cliff stays outside with the cliff
    place = np.arange(bad.shape[1])
    end = np.minimum(place + AHEAD, place.size)
    before = np.pad(np.cumsum(bad, axis=1), ((0, 0), (1, 0)))  # the number of bad trials left of each
    ends = before[:, end] - before[:, :-1] > MOST * (end - place)
    return ~np.logical_or.accumulate(ends & (place > centre[:, None]), axis=1)


def _unless_few(chosen: np.ndarray, otherwise: np.ndarray, least: int) -> np.ndarray:
    return np.where((chosen.sum(axis=1) >= least)[:, None], chosen, otherwise)


def _heights(coefficients: np.ndarray, place: np.ndarray) -> np.ndarray:
    a, b, c = coefficients.T if place.ndim == 1 else coefficients.T[..., None]
    return a + b * place + c * place**2


def _median(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the (lower) median of each row's known values, as a column."""
    middle = (known.sum(axis=1, keepdims=True) - 1) // 2
    return np.take_along_axis(np.sort(np.where(known, values, np.inf), axis=1), middle, axis=1)


def _least_squares(powers: np.ndarray, height: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weighted = powers * weight[:, None]
    normal = weighted @ powers.swapaxes(1, 2) + np.diag([0, 1e-9, TRUST])
    right = (weighted @ height[..., None])[..., 0] + np.array([0, 0, TRUST * BEND])
    return np.linalg.solve(normal, right[..., None])[..., 0]
