"""Steps to target of one trial, read from its history by a definition that can be chosen.

Invariant: with the definition that a trial was stopped by, this is the number that stopped it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

LEAST_LOOKS = 5


class Definition(NamedTuple):
    """When a trial has met its target: at its first look k whose window meets it.

    The window of the look at step k holds all looks after step k/smoothing, up to k, and at least the last five; with a
    smoothing of 1 it holds look k alone (first crossing). `every` takes every so-manieth look only, counted from the
    first.
    """

    target: float
    less_is_better: bool
    smoothing: float = 1.25
    every: int = 1


def steps_to_target(
    step: Real[np.ndarray, " looks"], score: Float[np.ndarray, " looks"], definition: Definition
) -> float:
    """Return the step at which a trial met its target; inf for a miss.

    A first crossing falls with every look more at a noisy score; the mean over a window does not (within 6 % from 240
    looks on, as measured on digits). NaN in `score` is a look that found nothing finite, and ends the trial.

    Args:
        step: where the trial was looked at, ascending.
        score: what was found there, such as the accuracy; of a root mean square give the mean square.
    """
    step, score = step[:: definition.every].astype(float), score[:: definition.every]
    bad = np.flatnonzero(~np.isfinite(score))
    if bad.size:
        step, score = step[: bad[0]], score[: bad[0]]
    first, last = windows(step, definition.smoothing), np.arange(len(step))
    total = np.concatenate([[0.0], np.cumsum(score)])
    mean = (total[last + 1] - total[first]) / (last + 1 - first)
    slack = 1e-12 * max(1.0, float(np.max(np.abs(score), initial=0.0)))
    met = mean <= definition.target + slack if definition.less_is_better else mean >= definition.target - slack
    return float(step[np.argmax(met)]) if met.any() else np.inf


def windows(step: Float[np.ndarray, " looks"], smoothing: float) -> np.ndarray:
    """Return for each look the number of the first one in its window.

    Raises:
        ValueError: `smoothing` is below 1.
    """
    if not smoothing >= 1:
        raise ValueError(f"smoothing {smoothing!r} is not allowed; give a number of at least 1, such as 1.25")
    number = np.arange(len(step))
    if smoothing == 1:
        return number
    return np.maximum(0, np.minimum(np.searchsorted(step, step / smoothing, side="right"), number - (LEAST_LOOKS - 1)))
