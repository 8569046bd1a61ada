"""The gradient noise scale of a whole run, from what was measured at some of its steps.

Invariant: trΣ and |G|² are averaged over the steps each on its own, and divided only then.
"""

import numpy as np
from jaxtyping import Float, Real


def run_average(
    step: Real[np.ndarray, " n"], trace: Float[np.ndarray, " n"], squared_norm: Float[np.ndarray, " n"]
) -> float:
    """Return the mean of trΣ over the steps of a run, over that of |G|² (McCandlish et al. 2018); NaN for no row.

    Between two evaluations both go along a straight line, however far apart they are, so that log-spaced evaluations
    do not count the beginning twice. The rows may come in any order; one where either is not finite is left out.

    Raises:
        ValueError: two rows are of one step.
    """
    used = np.isfinite(trace) & np.isfinite(squared_norm)
    order = np.argsort(step[used], kind="stable")
    step, trace, squared_norm = (values[used][order].astype(float) for values in (step, trace, squared_norm))
    if np.any(np.diff(step) == 0):
        raise ValueError("two rows are of one step; give the rows of one run, each step once")
    if step.size < 2:
        return _ratio(float(trace.sum()), float(squared_norm.sum()))
    return _ratio(float(np.trapezoid(trace, step)), float(np.trapezoid(squared_norm, step)))


def _ratio(trace: float, squared_norm: float) -> float:
    """Where there is no gradient there is nothing but noise, or nothing at all."""
    if squared_norm > 0:
        return trace / squared_norm
    return np.inf if trace > 0 else np.nan
