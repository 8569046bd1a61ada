"""A budget in steps, epochs or seconds: how many steps it has, and where in it to evaluate.

Invariant: both depend only on the Config and the number of examples.
"""

import math

import numpy as np

from mlp_jax.training.config import Config

ENDS = ("epochs", "steps", "seconds")
FIELDS = (*ENDS, "evaluations", "spacing")  # fields of a Config that say when training ends and where it is evaluated
DEFAULT = {  # epochs, and the least steps, where no budget is given: more steps fit the noise of few real targets
    "classes": (20.0, 2000),
    "regression": (30.0, 200),
}


def total_steps(config: Config, n: int, batch_size: int, task: str = "multiclass") -> int | None:
    """Return the number of steps in the budget of steps or epochs; None if only seconds limit the training.

    Raises:
        ValueError: there are more steps than a program can count.
    """
    limits = [config.steps] if config.steps is not None else []
    if config.epochs is not None:
        limits.append(max(1, math.ceil(min(config.epochs * n / batch_size, 2.0**31))))
    if (config.steps, config.epochs, config.seconds) == (None, None, None):
        limits.append(default_steps(n, batch_size, task))
    if limits and min(limits) >= 2**31:
        epochs = DEFAULT[_kind(task)][0] if config.epochs is None else config.epochs
        raise ValueError(
            f"epochs {epochs!r} take more than 2**31 - 1 steps of {batch_size} examples; give fewer epochs, or steps"
        )
    return min(limits) if limits else None


def default_steps(n: int, batch_size: int, task: str) -> int:
    """Return the number of steps where no budget is given.

    As many make the defaults as good as scikit-learn's on 20 data sets, by benchmarks/defaults.py.
    """
    epochs, least = DEFAULT[_kind(task)]
    return max(least, math.ceil(epochs * n / batch_size))


def _kind(task: str) -> str:
    return task if task in DEFAULT else "classes"


def check_growth(where: str, before: Config, after: Config, schedule: str, n: int, batch_size: int, task: str) -> None:
    """Raise a ValueError if a run can't go on with the budget of `after`: it is smaller, or the schedule depends on it.

    Args:
        where: the name of the run in messages.
    """
    if schedule != "constant":
        raise ValueError(
            f"{where} holds a run whose schedule {schedule!r} ends with its budget, so it can't go on with another; "
            "give the same budget, or train another run with --schedule constant"
        )
    had, has = (total_steps(config, n, batch_size, task) for config in (before, after))
    if any((b or math.inf) < (a or math.inf) for a, b in ((had, has), (before.seconds, after.seconds))):
        limits = (f"{had:,} steps" if had else "", f"{before.seconds:g} seconds" if before.seconds else "")
        there = " and ".join(filter(None, limits))
        raise ValueError(f"{where} holds a run with a budget of {there}, which can only grow; give at least as much")


def evaluation_points(config: Config, total: int | None) -> np.ndarray:
    """Return the points at which to evaluate, ascending from 0 to the end: in steps, or in seconds if `total` is None.

    `log` spacing covers three decades, or starts at step 1 if the budget has fewer.
    """
    if config.spacing == "linear":
        fractions = np.linspace(0, 1, config.evaluations + 1)
    else:
        smallest = 1e-3 if total is None else max(1e-3, 1 / total)
        fractions = np.append(0.0, np.geomspace(smallest, 1, config.evaluations))
    fractions[-1] = 1.0  # a single point must be the last one
    return np.unique(np.rint(fractions * total)) if total is not None else fractions * (config.seconds or 0.0)
