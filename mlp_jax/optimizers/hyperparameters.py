"""A hyper-parameter: its default, its domain, where to search, its unit, and where the default comes from.

Invariant: an optimizer's hyper-parameters are named only in its table; the search spaces of a study, the checks and the
help are made from it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from mlp_jax import checks
from mlp_jax.checks import FRACTION, NON_NEGATIVE, POSITIVE, Domain

Hyper = Mapping[str, Float[Array, ""] | float]


class Range(NamedTuple):
    """The range of a search: from `low` to `high`, evenly on `scale`, one of those of `study.spaces.Space`."""

    low: float
    high: float
    scale: str = "log"


class Hyperparameter(NamedTuple):
    """One constant: its default, its domain, where to search, its unit, and where the default comes from."""

    default: float | None  # None: by default its link is left out
    domain: Domain
    search: Range | None  # None: no range is known to suit most workloads
    unit: str
    source: str


def check_value(name: str, value: Any, row: Hyperparameter) -> float:
    """Return `value` as a plain number; raise a ValueError unless it is a number in the domain of `row`.

    The number must be in the domain even after it is rounded to the type that programs compute in, where all numbers
    below the least normal one become 0.

    >>> momentum = Hyperparameter(0.9, FRACTION, None, "share kept per step", "Polyak 1964")
    >>> check_value("momentum", 1.5, momentum)
    Traceback (most recent call last):
        ...
    ValueError: momentum 1.5 is not allowed; give a number from 0 up to but not including 1
    """
    plain = checks.value(name, value, Annotated[float, row.domain])
    kind = np.finfo(jax.dtypes.canonicalize_dtype(np.float64))
    with np.errstate(over="ignore", under="ignore"):
        there = float(kind.dtype.type(plain))
    if not row.domain.allows(there) or 0 < abs(plain) < kind.smallest_normal:
        raise ValueError(
            f"{name} {plain!r} is not allowed: in the {kind.bits} bits that training computes with it is "
            f"{there if abs(there) >= kind.smallest_normal else 0.0!r}; give {row.domain.words} that they hold"
        )
    return plain


def rate(default: float, low: float, high: float, source: str) -> dict[str, Hyperparameter]:
    """Return the learning rate, with a search range that holds the best rates from B = 1 to the full gradient.

    >>> rate(0.1, 1e-3, 10.0, "as sgd's")["learning_rate"].search
    Range(low=0.001, high=10.0, scale='log')
    """
    row = Hyperparameter(default, POSITIVE, Range(low, high), "parameter per unit of direction", source)
    return {"learning_rate": row}


def fraction(name: str, default: float, source: str, domain: Domain = FRACTION) -> dict[str, Hyperparameter]:
    """Return the share of a running mean that is kept per step."""
    return {name: Hyperparameter(default, domain, None, "share kept per step", source)}


def epsilon(default: float, unit: str, source: str, name: str = "epsilon") -> dict[str, Hyperparameter]:
    """Return the constant that keeps a divisor from 0; `unit` says what it is added to, and where."""
    return {name: Hyperparameter(default, NON_NEGATIVE, None, unit, source)}


def decay(default: float, source: str, search: Range | None = None) -> dict[str, Hyperparameter]:
    """Return the decoupled weight decay of an optimizer that has one by default."""
    return {"weight_decay": Hyperparameter(default, NON_NEGATIVE, search, "share of W lost per learning rate", source)}
