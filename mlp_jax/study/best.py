"""Where each optimizer is tuned best at each batch size, and how many steps it takes to the target there.

Invariant: where one hyper-parameter is searched, that is the bottom of a valley through all trials, and its samples
hold the luck of tuning and seeds; else it is the best point that was found, and they hold that of its seeds.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.analysis import bootstrap
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.study import protocol
from mlp_jax.study.histories import where
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Valley

if TYPE_CHECKING:
    import pandas

FITTED = "tuning and seeds"
FOUND = "the seeds alone: the point is the best found, not the best there is"


class Best(NamedTuple):
    """Steps to target of one optimizer at one batch size where it is tuned best, and their samples; inf for a miss.

    `rate` is the learning rate there; its samples are NaN where it was not fitted. `valley` is the fit that the steps
    come from, None where they are those of the best point that was found; `holds` says what luck the samples hold.
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
        trials: a row per trial, as `Histories` has them.
        resamples: 0 for the steps alone, without samples.
    """
    names = dict.fromkeys(name for space in study.spaces.values() for name in space)
    columns = ["phase", "optimizer", "batch_size", "steps_to_target", *names | {"learning_rate": None}]
    trials = trials.loc[:, columns]  # fewer of them are quicker to choose from
    tuned, winners = (where(trials, phase=phase) for phase in ("tuning", "winners"))
    there, best = set(zip(winners["optimizer"], winners["batch_size"].tolist())), {}
    for name, size in sorted(there, key=lambda cell: (list(OPTIMIZERS).index(cell[0]), cell[1])):
        tried, won = (where(some, optimizer=name, batch_size=size) for some in (tuned, winners))
        best[name, size] = _of_cell(tried, won, study, name, resamples)
    return best


def _of_cell(
    tuned: "pandas.DataFrame", winners: "pandas.DataFrame", study: Study, optimizer: str, resamples: int
) -> Best:
    valley = protocol.fitted(study, study.spaces[optimizer], tuned, resamples)
    rate = float(winners["learning_rate"].iloc[0])
    if valley is not None and valley.name == "learning_rate":
        fit = valley.fit
        return Best(fit.steps, fit.samples_steps, fit.rate, fit.samples_rate, valley, FITTED)
    rates = np.full(resamples, np.nan)
    if valley is not None:
        return Best(valley.fit.steps, valley.fit.samples_steps, rate, rates, valley, FITTED)
    steps = np.maximum(winners["steps_to_target"].to_numpy(float), 1)
    drawn = bootstrap.draws(steps.size, resamples, study.seed) if resamples else np.zeros((0, steps.size), int)
    samples = bootstrap.median(steps[drawn])
    return Best(float(bootstrap.median(steps)), samples, rate, rates, None, FOUND)
