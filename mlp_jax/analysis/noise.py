"""The gradient noise scale of a whole run, from what was measured at some of its steps.

Invariant: between two measured steps trΣ and |G|² are interpolated linearly, however far apart the steps are.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis.bootstrap import Estimate

PIECES = 64  # of each interval between two measured steps


def progress_average(
    step: Real[np.ndarray, " n"],
    trace: Float[np.ndarray, " n"],
    squared_norm: Float[np.ndarray, " n"],
    batch_size: float,
) -> float:
    """Return the noise scale of a run at batch size B, each part of the run weighed by the progress made in it.

    By the trade-off S = S_min(1 + B_simple/B) of McCandlish et al. (2018), a step at batch size B makes the progress
    of ds = 1/(1 + B_simple/B) steps without noise. If the noise scale changes along the run, E_min/S_min of the whole
    is ∫ B_simple ds / ∫ ds, which can be compared with a critical batch size. The rows may come in any order; a row in
    which a number is not finite is left out. Without rows the result is NaN.

    Raises:
        ValueError: two rows have the same step, or the batch size is not positive.
    """
    if not 0 < batch_size < np.inf:
        raise ValueError(f"batch size {batch_size!r} is not allowed; give a positive number")
    step, trace, squared_norm = _in_order(step, trace, squared_norm)
    if step.size > 1:
        fine = np.unique(np.concatenate([np.linspace(a, b, PIECES + 1) for a, b in pairwise(step)]))
        step, trace, squared_norm = fine, np.interp(fine, step, trace), np.interp(fine, step, squared_norm)
    power = batch_size * squared_norm + trace
    with np.errstate(invalid="ignore", divide="ignore"):
        progress = np.where(power > 0, batch_size * squared_norm / power, 0.0)  # ds/dS
        noise = np.where(power > 0, batch_size * trace / power, 0.0)  # B_simple · ds/dS, finite without a gradient too
    total = (
        (lambda values: float(np.trapezoid(values, step))) if step.size > 1 else (lambda values: float(values.sum()))
    )
    return _ratio(total(noise), total(progress))


def over_seeds(averages: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Return the geometric mean of several runs' averages, one for each seed, with its interval over the seeds.

    It is Student's interval of the logarithms: a percentile interval of 3 to 5 values would be too narrow. For a single
    run it goes from 0 to inf.
    """
    from scipy import stats

    logs = np.log(np.array([value for value in averages if 0 < value < np.inf], float))
    if logs.size < 2:
        return Estimate(float(np.exp(logs[0])) if logs.size else np.nan, 0.0, np.inf)
    half = stats.t.ppf((1 + level) / 2, logs.size - 1) * logs.std(ddof=1) / np.sqrt(logs.size)
    return Estimate(*np.exp(logs.mean() + half * np.array([0, -1, 1])).tolist())


def _in_order(step: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the rows in the order of their steps, without those in which a column is not finite."""
    used = np.all(np.isfinite(columns), axis=0)
    order = np.argsort(step[used], kind="stable")
    ordered = tuple(values[used][order].astype(float) for values in (step, *columns))
    if np.any(np.diff(ordered[0]) == 0):
        raise ValueError("two rows have the same step; give the rows of one run, each step once")
    return ordered


def _ratio(trace: float, squared_norm: float) -> float:
    """Return trace/squared_norm; without a gradient inf if there is noise, otherwise NaN."""
    if squared_norm > 0:
        return trace / squared_norm
    return np.inf if trace > 0 else np.nan
