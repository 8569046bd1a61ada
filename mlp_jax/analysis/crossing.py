"""Steps to target of trials, read from their histories by a definition that can be chosen.

Invariant: with the definition by which a trial was stopped, the result is the step that stopped it; trials do not
affect each other.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

LEAST_LOOKS = 5


class Definition(NamedTuple):
    """When a trial has met its target: at its first look k whose window meets it.

    The window of the look at step k holds all looks after step k/smoothing, up to k, and at least the last five; with a
    smoothing of 1 it holds look k alone (first crossing). With `every` = m only every m-th look is read, from the first
    on.
    """

    target: float
    less_is_better: bool
    smoothing: float = 1.25
    every: int = 1


def steps_to_target(
    step: Real[np.ndarray, " looks"], score: Float[np.ndarray, " looks"], definition: Definition
) -> float:
    """Return the step at which a trial met its target; inf for a miss.

    The more often a noisy score is looked at, the earlier is its first crossing; with a window it hardly changes
    (within 6 % from 240 looks on, as measured on digits). NaN in `score` means that nothing finite was found; it ends
    the trial.

    Args:
        step: the steps at which the trial was evaluated, ascending.
        score: what was found there, such as the accuracy; for a root mean square give the mean square.
    """
    return float(steps_to_targets(step, score[None], definition)[0])


def steps_to_targets(
    step: Real[np.ndarray, " looks"], scores: Float[np.ndarray, "trials looks"], definition: Definition
) -> Float[np.ndarray, " trials"]:
    """Return the steps to target of trials that were evaluated at the same steps; see `steps_to_target`.

    NaN fills the row of a trial that ended before the others.
    """
    step, scores = step[:: definition.every].astype(float), scores[:, :: definition.every]
    if not step.size:
        return np.full(len(scores), np.inf)
    ended = np.logical_or.accumulate(~np.isfinite(scores), axis=1)
    scores = np.where(ended, 0.0, scores)
    first, last = windows(step, definition.smoothing), np.arange(len(step))
    total = np.pad(np.cumsum(scores, axis=1), ((0, 0), (1, 0)))
    mean = (total[:, last + 1] - total[:, first]) / (last + 1 - first)
    slack = 1e-12 * np.maximum(1.0, np.abs(scores).max(axis=1, keepdims=True))
    met = mean <= definition.target + slack if definition.less_is_better else mean >= definition.target - slack
    met &= ~ended
    return np.where(met.any(axis=1), step[met.argmax(axis=1)], np.inf)


def windows(step: Float[np.ndarray, " looks"], smoothing: float) -> np.ndarray:
    """Return for each look the index of the first look in its window.

    Raises:
        ValueError: `smoothing` is below 1.
    """
    if not smoothing >= 1:
        raise ValueError(f"smoothing {smoothing!r} is not allowed; give a number of at least 1, such as 1.25")
    number = np.arange(len(step))
    if smoothing == 1:
        return number
    return np.maximum(0, np.minimum(np.searchsorted(step, step / smoothing, side="right"), number - (LEAST_LOOKS - 1)))
