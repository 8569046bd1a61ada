"""The best tuning of each optimizer at each batch size, and the steps to target there.

Invariant: if one hyper-parameter is searched, or a learning rate and a momentum with enough trials, the best is the
bottom of a curve through all trials, and its samples hold the luck of tuning and of seeds. Otherwise it is the best
point that was found, and its samples hold only the luck of its seeds.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.analysis import bootstrap
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.study import bottoms
from mlp_jax.study.bottoms import RATE, Valley
from mlp_jax.study.histories import where
from mlp_jax.study.plan import Study

if TYPE_CHECKING:
    import pandas

FITTED = "tuning and seeds"
FOUND = "the seeds alone: the point is the best found, not the best there is"


class Best(NamedTuple):
    """Steps to target of one optimizer at one batch size, with its best tuning, and their samples; inf for a miss.

    `rate` is the best learning rate; its samples are NaN if it was not fitted. `valley` is the fit over one
    hyper-parameter from which the steps come, or None; `holds` says what luck the samples hold.
    """

    steps: float
    samples: np.ndarray
    rate: float
    rate_samples: np.ndarray
    valley: Valley | None
    holds: str


def of(trials: "pandas.DataFrame", study: Study, resamples: int) -> dict[tuple[str, int], Best]:
    """Return the best of each cell that has a winner, by optimizer and batch size, in the order of their tables.

    Args:
        trials: a row for each trial, as in `Histories`.
        resamples: the number of samples; 0 for the steps alone.
    """
    names = dict.fromkeys(name for space in study.spaces.values() for name in space)
    columns = ["phase", "optimizer", "batch_size", "steps_to_target", *names | {"learning_rate": None}]
    trials = trials.loc[:, columns]  # choosing rows is faster with fewer columns
    tuned, winners = (where(trials, phase=phase) for phase in ("tuning", "winners"))
    there, best = set(zip(winners["optimizer"], winners["batch_size"].tolist())), {}
    for name, size in sorted(there, key=lambda cell: (list(OPTIMIZERS).index(cell[0]), cell[1])):
        tried, won = (where(some, optimizer=name, batch_size=size) for some in (tuned, winners))
        best[name, size] = _of_cell(tried, won, study, name, resamples)
    return best


def _of_cell(
    tuned: "pandas.DataFrame", winners: "pandas.DataFrame", study: Study, optimizer: str, resamples: int
) -> Best:
    bottom = bottoms.of(study, study.spaces[optimizer], tuned, resamples)
    rate, rates = float(winners[RATE].iloc[0]), np.full(resamples, np.nan)
    if bottom is not None and bottom.settled:
        drawn = bottom.samples_of(RATE)
        rate, rates = (rate, rates) if drawn is None else (bottom.point[RATE], drawn)
        valley = bottom if isinstance(bottom, Valley) else None
        return Best(bottom.fit.steps, bottom.fit.samples_steps, rate, rates, valley, FITTED)
    steps = np.maximum(winners["steps_to_target"].to_numpy(float), 1)
    drawn = bootstrap.draws(steps.size, resamples, study.seed) if resamples else np.zeros((0, steps.size), int)
    samples = bootstrap.median(steps[drawn])
    return Best(float(bootstrap.median(steps)), samples, rate, rates, None, FOUND)
