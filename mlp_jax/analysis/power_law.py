"""Straight lines on log-log paper: exponents, and guides such as the linear and the square-root rule.

Invariant: only pairs of finite positive numbers are used; the others are left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.analysis import bootstrap
from mlp_jax.analysis.bootstrap import Estimate

RULES = {"linear": 1.0, "square-root": 0.5}  # how the best learning rate grows with the batch size
LEAST = 3  # batch sizes for an exponent


class PowerLaw(NamedTuple):
    """y = factor · x^exponent; NaN where fewer than two different x are left."""

    exponent: float
    factor: float


class Exponent(NamedTuple):
    """The exponent with which the best rate grows with batch size, the sizes used, and the rules it agrees with.

    `rules` names the rules whose exponents lie in the interval. With fewer than 3 sizes up to B_crit there is no
    exponent (NaN, from −inf to inf), and `missing` says how many more sizes are needed.
    """

    estimate: Estimate
    sizes: tuple[float, ...]
    missing: int
    rules: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Return in words whether the exponent agrees with the two rules."""
        if self.missing:
            tried = f"{len(self.sizes)}: {', '.join(f'{size:g}' for size in self.sizes)}" if self.sizes else "none"
            return f"no exponent: it needs {LEAST} batch sizes up to the critical one and has {tried}"
        held = [name for name in RULES if name in self.rules]
        return f"agrees with the {' and the '.join(held)} rule" if held else "agrees with neither rule"


def fit_samples(
    sizes: Real[np.ndarray, " sizes"],
    rates: Float[np.ndarray, " sizes"],
    samples: Float[np.ndarray, "resamples sizes"],
    b_crit: float,
    *,
    level: float = 0.95,
) -> Exponent:
    """Fit log η* = a + b·log B to the best rates up to the critical batch size, and to each sample of them.

    Beyond the critical batch size a larger batch brings little, and the best rate follows another law.

    Args:
        rates: the best rate at each batch size, NaN where the target was not reached.
        samples: one row for each resample and one column for each batch size (`bootstrap.joined`).
        b_crit: the critical batch size; NaN if there is none, and then there is no exponent.
    """
    used = np.isfinite(rates) & (sizes <= b_crit)
    kept = tuple(sizes[used].astype(float).tolist())
    if len(kept) < LEAST:
        return Exponent(Estimate(np.nan, -np.inf, np.inf), kept, LEAST - len(kept), ())
    away = np.log(sizes[used]) - np.log(sizes[used]).mean()
    slope = lambda values: np.log(values) @ away / (away @ away)
    low, high = map(float, bootstrap.percentiles(slope(samples[:, used]), level))
    return Exponent(
        Estimate(float(slope(rates[used])), low, high),
        kept,
        0,
        tuple(name for name, exponent in RULES.items() if low <= exponent <= high),
    )


def fit(x: Real[np.ndarray, " n"], y: Real[np.ndarray, " n"]) -> PowerLaw:
    """Fit log y = log factor + exponent · log x by least squares.

    For steps to target over batch size the exponent is −1 where scaling is perfect and 0 on the plateau; for the best
    learning rate it is 1 by the linear rule and ½ by the square-root rule.
    """
    log_x, log_y = _logarithms(x, y)
    if np.unique(log_x).size < 2:
        return PowerLaw(np.nan, np.nan)
    away = log_x - log_x.mean()
    exponent = (away @ log_y) / (away @ away)
    return PowerLaw(float(exponent), float(np.exp(log_y.mean() - exponent * log_x.mean())))


def guide(x: Real[np.ndarray, " n"], y: Real[np.ndarray, " n"], exponent: float) -> Float[np.ndarray, " n"]:
    """Return factor · x^exponent, with the factor that fits the pairs best. RULES has the usual exponents."""
    log_x, log_y = _logarithms(x, y)
    if log_x.size == 0:
        return np.full(x.size, np.nan)
    return np.exp(np.mean(log_y - exponent * log_x)) * x.astype(float) ** exponent


def _logarithms(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    usable = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    return np.log(x[usable]), np.log(y[usable])
