"""Types that hold the values of a data set, and the constants that normalise them.

Invariant: values that rounding to 32 bits would make equal stay in 64 bits until they have been centred.
"""

import warnings

import numpy as np
from jaxtyping import Num, Shaped

from mlp_jax.data.errors import DataError

SCALINGS = ("auto", "unit", "standard", "none")
TARGET_SCALINGS = ("none", "standard", "scale")
HARMLESS = 1e-6  # rounding errors below this share of a column's spread do not matter
LARGEST = 1e38  # for numbers of 32 bits


def compact(x: Shaped[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """Return `x` in the smallest of uint8, float32 and float64 that holds every value exactly."""
    if x.dtype == bool or (x.dtype.kind in "iu" and (not x.size or (x.min() >= 0 and x.max() <= 255))):
        return x.astype(np.uint8)
    with np.errstate(over="ignore"):
        small = x.astype(np.float32)
    exact = x.dtype.itemsize <= 4 and x.dtype.kind == "f"
    return small if exact or np.array_equal(small, x, equal_nan=x.dtype.kind == "f") else x.astype(np.float64)


def rounded(x: Num[np.ndarray, "n inputs"]) -> Num[np.ndarray, "n inputs"]:
    """Return float64 `x` as float32, unless float32 can't tell the values of a column apart."""
    if x.dtype != np.float64 or not x.size:
        return x
    with np.errstate(over="ignore"):
        small = x.astype(np.float32)
    error, spread = abs(small - x).max(axis=0), np.ptp(x, axis=0)
    return small if (error <= HARMLESS * spread).all() and np.isfinite(small).all() else x


def white(x: Num[np.ndarray, "..."]) -> int:
    """Return the value of white in pixels: 255, or the largest value if none is above half of 255."""
    largest = int(x.max(initial=0))
    return 255 if largest > 127 else max(largest, 1)


def constants(x: Num[np.ndarray, "n inputs"], levels: int, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Return center and scale: one pair for all pixels of images, otherwise a pair for each feature.

    They have 64 bits if `x` has.
    """
    scaling = ("unit" if levels else "standard") if scaling == "auto" else scaling
    if scaling == "none":
        center, spread = 0.0, 1.0
    elif levels and scaling == "unit":
        center, spread = 0.0, float(levels)
    elif levels and x.dtype == np.uint8:
        counts = np.bincount(x.ravel(), minlength=levels + 1) / x.size
        values = np.arange(len(counts))
        center = counts @ values
        spread = np.sqrt(counts @ (values - center) ** 2)
    elif scaling == "unit":
        center, spread = x.min(axis=0), np.ptp(x, axis=0)
    else:
        center, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    spread = np.where(np.asarray(spread) > 0, spread, 1.0)
    real = np.float64 if x.dtype == np.float64 else np.float32
    return np.asarray(center, real), np.asarray(1 / spread, real)


def target_constants(y: Num[np.ndarray, " n"], target_scaling: str) -> tuple[float, float]:
    """Return center and scale of real targets."""
    if target_scaling not in TARGET_SCALINGS:
        raise DataError(f"unknown target scaling {target_scaling!r}; choose one of {', '.join(TARGET_SCALINGS)}")
    spread = float(y.std(dtype=np.float64)) or 1.0
    shift = float(y.mean(dtype=np.float64))
    return {"none": (0.0, 1.0), "standard": (shift, spread), "scale": (0.0, spread)}[target_scaling]


def normalized(x: Num[np.ndarray, "n *inputs"], center: np.ndarray, scale: np.ndarray) -> Num[np.ndarray, "n *inputs"]:
    """Return (x − center) · scale, computed in 64 bits and then rounded to 32."""
    return ((x.astype(np.float64) - center) * scale).astype(np.float32)


def warn_of_merged(
    name: str, x: Num[np.ndarray, "n inputs"], seen: Num[np.ndarray, "n inputs"], what: list[str]
) -> None:
    """Warn if different values of a column of `x` are equal in `seen`, the values that a network gets."""
    count = lambda column: len(np.unique(column))
    lost = [label for label, a, b in zip(what, x.T, seen.T) if count(a) > count(b)]
    if lost:
        warnings.warn(
            f"{name}: different values of {', '.join(lost)} are the same in 32 bits; give another unit, or a scaling "
            "that centres them",
            stacklevel=3,
        )
