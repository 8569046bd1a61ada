"""Steps to target against one hyper-parameter, such as the learning rate, at one batch size: a valley and its bottom.

Invariant: a trial that missed the target, failed or was stopped is inf; the bottom comes from all trials of the valley,
not from the luckiest, and depends neither on the order of the trials nor on the units of steps and rates.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import bootstrap, valley
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.scale import Scale
from mlp_jax.analysis.valley import Parabola

STOP = 4.0  # a trial is stopped at this many times the least steps of the first round, later of the fitted bottom
NEAR = 1.5  # the next rates lie where the parabola is at most this times its bottom
HALF_WIDTHS = (1 / 4, 1 / 2)  # decades: the next rates reach at least and at most so far to either side of the bottom
SPENT = 2  # trials that the parabola uses up, two of its three coefficients; found in drawn studies
EDGE = 0.1  # decades: a bottom that is nearer than this to an end of the space is said to lie at it


class Response(NamedTuple):
    """The bottom of the valley at one batch size, the curve that was fitted, and the bottoms of resampled trials.

    `steps` is inf and `rate` NaN if no trial met the target. `window` holds the least and the largest rate that the
    curve was fitted to. `at_end` is "low" or "high" if the bottom lies at that end of the space: the valley may go on
    beyond it. `turn` is the coordinate around which to search next: the curve's own bottom, even if it lies past the
    last trial that the curve was fitted to. A resample in which no trial met the target has steps inf and rate NaN.
    """

    steps: float
    rate: float
    curve: Parabola
    window: tuple[float, float]
    samples_steps: Float[np.ndarray, " resamples"]
    samples_rate: Float[np.ndarray, " resamples"]
    at_end: str
    turn: float
    scale: Scale


def fit(
    rate: Real[np.ndarray, " trials"],
    steps: Real[np.ndarray, " trials"],
    ends: tuple[float, float],
    *,
    scale: str = "log",
    resamples: int = 1000,
    seed: int = 0,
) -> Response:
    """Find the rate that needs the fewest steps, and how many those are, from trials spread over rates.

    The bottom is that of a robust parabola of log steps over log rate (`valley.fit`). Each resample draws trials with
    replacement and fits everything again, so the spread includes the luck of the seeds and of the rates tried.

    Args:
        rate: the hyper-parameter of each trial; each trial has a seed of its own.
        steps: steps to target of each trial, inf for one that missed, failed or was stopped.
        ends: the least and the largest value of the space that was searched.
        scale: how the space is spread, as in `spaces.Space`: log, linear or log_complement.
        resamples: the number of resamples; 0 to compute the bottom alone.

    Raises:
        ValueError: there is no trial, a rate is outside the scale, or a number of steps is not positive.
    """
    measure = Scale(scale, *map(float, ends))
    if not rate.size or rate.shape != steps.shape:
        raise ValueError(f"{rate.size} rates and {steps.size} numbers of steps do not pair; give one of both per trial")
    if not np.all(steps > 0):
        raise ValueError("a number of steps is not positive; give positive numbers, and inf for a trial that missed")
    place, height = measure.coordinate(rate), np.log(steps.astype(float))
    order = np.lexsort((height, place))  # the resamples must not depend on the order of the trials
    place, height = place[order], height[order]
    found = valley.fit(place[None], height[None])
    if np.isnan(found.height[0]):
        nothing = np.full(resamples, np.inf)
        window = Parabola(*[np.nan] * 3), (np.nan, np.nan), nothing, nothing * np.nan
        return Response(np.inf, np.nan, *window, "", np.nan, measure)
    heights = places = np.zeros(0)
    if resamples:
        drawn = bootstrap.draws(rate.size, resamples, seed)[:, : _size(rate.size, found.trials[0])]
        heights, places = valley.fit(place[drawn], height[drawn])[:2]
    window = measure.value(np.array([found.low[0], found.high[0]]))
    return Response(
        float(np.exp(found.height[0])),
        float(measure.value(found.place)[0]),
        found.curve(0),
        (float(window.min()), float(window.max())),
        np.where(np.isnan(heights), np.inf, np.exp(heights)),
        measure.value(places),
        _end(measure, float(found.turn[0])),
        float(found.turn[0]),
        measure,
    )


def _size(trials: int, kept: float) -> int:
    """Return how many trials a resample draws: fewer than there are, so that resamples spread as much as new trials.

    A fit is nearer to its own trials than the truth is, so resamples of k trials would spread too little; k − 2 of the
    trials spread about as much as k new ones.
    """
    return max(round(trials * (1 - SPENT / kept)), -(-trials // 2))


def interval(value: float, samples: Float[np.ndarray, " resamples"], level: float = 0.95) -> Estimate:
    """Return the value with the percentile interval of its samples; unknown samples widen it at both ends."""
    low, high = bootstrap.percentiles(samples, level, (0.0, np.inf))
    return Estimate(value, float(low), float(high))


def coarse(low: float, high: float, count: int, offset: float, *, scale: str = "log") -> Float[np.ndarray, " count"]:
    """Return `count` equally spaced rates over the space; `offset`, from 0 to 1, shifts all by that share of a spacing.

    >>> coarse(1e-3, 1e1, 4, 0.5).round(5).tolist()
    [0.00316, 0.03162, 0.31623, 3.16228]

    Raises:
        ValueError: there is no rate, or the scale can't hold the space.
    """
    if count < 1:
        raise ValueError(f"{count!r} rates are not allowed; give at least 1")
    measure = Scale(scale, low, high)
    return np.sort(measure.at((np.arange(count) + offset % 1) / count))


def next_rates(response: Response, count: int) -> Float[np.ndarray, " count"]:
    """Return `count` rates, evenly spaced where the curve is at most 1.5 times its bottom: trials there tell most.

    They reach ¼ to ½ decade to either side of it, and rates that would lie outside the space are moved inside.

    Raises:
        ValueError: no trial met the target, so that there is no bottom, or `count` is below 1.
    """
    if count < 1 or not np.isfinite(response.steps):
        raise ValueError(f"{count!r} next rates are not possible; give at least 1, after a trial has met the target")
    measure, bend = response.scale, response.curve.c
    low, high = measure.bounds
    half = np.clip(np.sqrt(np.log(NEAR) / bend) if bend > 0 else np.inf, *HALF_WIDTHS)
    half = min(half, (high - low) / 2)
    middle = np.clip(response.turn, low + half, high - half)
    return np.sort(measure.value(middle + half * (2 * (np.arange(count) + 0.5) / count - 1)))


def _end(measure: Scale, place: float) -> str:
    """Return the end of the space ("low" or "high" by value) at which the place lies, or "" if at none."""
    low, high = measure.bounds
    near_low, near_high = place <= low + EDGE, place >= high - EDGE
    if measure.falls:
        near_low, near_high = near_high, near_low
    return "low" if near_low else "high" if near_high else ""
