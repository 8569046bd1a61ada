"""What a data set is once it is in memory: three splits of vectorised examples and how to normalise them.

Invariant: `train`, `validation` and `test` are disjoint, and every statistic was computed from `train` alone.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Num, UInt8

Task = Literal["multiclass", "binary", "regression"]
SCALINGS = ("auto", "unit", "standard", "none")
TARGET_SCALINGS = ("none", "standard", "scale")


class DataError(ValueError):
    """Data that can't be had or can't be used; the message says what was given, what is allowed, what to do."""


class Split(NamedTuple):
    """Examples, one a row.

    `x` is uint8 for images (normalised inside the training step) and float32 otherwise; `y` holds class
    ids 0…k−1 (int32) for classification and targets (float32) for regression.
    """

    x: UInt8[np.ndarray, "n inputs"] | Float[np.ndarray, "n inputs"]
    y: Num[np.ndarray, " n"]


class Source(NamedTuple):
    """What a reader found: examples as they are on disk, with a test part or (None) without one.

    `levels` is the value of white in an image, 0 where features are no pixels.
    """

    x: np.ndarray
    y: np.ndarray
    test: Split | None
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    levels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Three splits and the constants that normalise them.

    A network sees `(x − center) · scale`, element by element, in float32; `center` and `scale` have shape
    `()` or `(inputs,)`. A regression target in its own unit is `y · target_scale + target_center`.
    """

    name: str
    task: Task
    shape: tuple[int, ...]  # of one example before it was vectorised, e.g. (28, 28)
    classes: tuple[str, ...]  # what class id i is called; () for regression
    levels: int  # the value of white in an image; 0 for other features
    train: Split
    validation: Split
    test: Split
    center: np.ndarray
    scale: np.ndarray
    target_center: float = 0.0
    target_scale: float = 1.0

    @property
    def inputs(self) -> int:
        """Number of features of one example."""
        return self.train.x.shape[1]

    @property
    def fingerprint(self) -> str:
        """A hash of all that training can see: examples, labels, order, normalisation."""
        digest = hashlib.sha256()
        for array in (*self.train, *self.validation, *self.test, self.center, self.scale):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def divide(
    source: Source,
    *,
    name: str,
    validation: float | int,
    test: float | int,
    split_seed: int,
    scaling: str,
    target_scaling: str,
) -> Dataset:
    """Split and normalise what a reader found.

    The rows are permuted by `split_seed`; the first ones are the test part, unless the source has its own, then come
    the validation part and the rest, which trains. `unit` scales to 0…1, `standard` to mean 0 and standard deviation
    1: one pair of constants for all pixels of images, a pair per feature otherwise, a constant feature only centred.

    Raises:
        DataError: a split size or a scaling is not allowed, or nothing is left to train on.
    """
    if scaling not in SCALINGS:
        raise DataError(f"unknown scaling {scaling!r}; choose one of {', '.join(SCALINGS)}")
    order = np.random.default_rng(split_seed).permutation(len(source.y))
    held_out = 0 if source.test is not None else _size("test", test, len(order))
    validating = _size("validation", validation, len(order) - held_out)
    if held_out + validating >= len(order):
        raise DataError(
            f"{len(order)} examples leave none to train on after {held_out} for test and {validating} for validation; "
            "give smaller parts"
        )
    rows = np.split(order, [held_out, held_out + validating])
    tested, validated, trained = (Split(source.x[np.sort(part)], source.y[np.sort(part)]) for part in rows)
    center, scale = _constants(trained.x, source.levels, scaling)
    parts = {"train": trained, "validation": validated, "test": source.test or tested}
    shift, spread = _target_constants(trained.y, target_scaling) if not source.classes else (0.0, 1.0)
    if not source.classes:
        parts = {part: Split(x, ((y - shift) / spread).astype(np.float32)) for part, (x, y) in parts.items()}
    return Dataset(
        name=name,
        task="regression" if not source.classes else "binary" if len(source.classes) == 2 else "multiclass",
        shape=source.shape,
        classes=source.classes,
        levels=source.levels,
        center=center,
        scale=scale,
        target_center=shift,
        target_scale=spread,
        **parts,
    )


def _size(what: str, given: float | int, n: int) -> int:
    """Return a split size in examples; a fraction is of `n`."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if isinstance(given, float) and 0 <= given < 1:
        return round(given * n)
    if isinstance(given, float) and given >= 1 and given == int(given):
        return int(given)
    raise DataError(f"{what} {given!r} is not allowed; give a fraction from 0 to below 1, or a count of examples")


def _constants(x: np.ndarray, levels: int, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    if scaling == "auto":
        scaling = "unit" if levels else "standard"
    if scaling == "none":
        center, spread = 0.0, 1.0
    elif levels and scaling == "unit":
        center, spread = 0.0, float(levels)
    elif levels:
        counts = np.bincount(x.ravel(), minlength=levels + 1) / x.size
        values = np.arange(len(counts))
        center = counts @ values
        spread = np.sqrt(counts @ (values - center) ** 2)
    elif scaling == "unit":
        center, spread = x.min(axis=0), np.ptp(x, axis=0)
    else:
        center, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    spread = np.where(np.asarray(spread) > 0, spread, 1.0)
    return np.asarray(center, np.float32), np.asarray(1 / spread, np.float32)


def _target_constants(y: np.ndarray, target_scaling: str) -> tuple[float, float]:
    if target_scaling not in TARGET_SCALINGS:
        raise DataError(f"unknown target scaling {target_scaling!r}; choose one of {', '.join(TARGET_SCALINGS)}")
    spread = float(y.std(dtype=np.float64)) or 1.0
    shift = float(y.mean(dtype=np.float64))
    return {"none": (0.0, 1.0), "standard": (shift, spread), "scale": (0.0, spread)}[target_scaling]
