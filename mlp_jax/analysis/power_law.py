"""Straight lines on log-log paper: exponents, and guides such as the linear and the square-root rule.

Invariant: only pairs of finite positive numbers have a place there; the others are left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real


class PowerLaw(NamedTuple):
    """y = factor · x^exponent; NaN where fewer than two different x are left."""

    exponent: float
    factor: float


def fit(x: Real[np.ndarray, " n"], y: Real[np.ndarray, " n"]) -> PowerLaw:
    """Fit log y = log factor + exponent · log x by least squares.

    Of steps to target over batch size the exponent is −1 where scaling is perfect and 0 on the plateau; of the best
    learning rate it is 1 by the linear rule and ½ by the square-root rule.
    """
    log_x, log_y = _logarithms(x, y)
    if np.unique(log_x).size < 2:
        return PowerLaw(np.nan, np.nan)
    away = log_x - log_x.mean()
    exponent = (away @ log_y) / (away @ away)
    return PowerLaw(float(exponent), float(np.exp(log_y.mean() - exponent * log_x.mean())))


def guide(x: Real[np.ndarray, " n"], y: Real[np.ndarray, " n"], exponent: float) -> Float[np.ndarray, " n"]:
    """Return factor · x^exponent with the factor that fits the pairs best: 1 for the linear rule, ½ for the root."""
    log_x, log_y = _logarithms(x, y)
    if log_x.size == 0:
        return np.full(x.size, np.nan)
    return np.exp(np.mean(log_y - exponent * log_x)) * x.astype(float) ** exponent


def _logarithms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    usable = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    return np.log(x[usable]), np.log(y[usable])
