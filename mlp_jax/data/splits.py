"""Make a Dataset of what a reader found: divide rows, fill gaps, compute constants from the training part.

Invariant: the parts depend on the rows, the seed and the sizes alone.
"""

import warnings

import numpy as np

from mlp_jax.checks import choose
from mlp_jax.data.dataset import Dataset, Source, Split
from mlp_jax.data.errors import DataError
from mlp_jax.data.scaling import SCALINGS, constants, normalized, rounded, target_constants, warn_of_merged

CLASS_WEIGHTS = ("none", "balanced")


def divide(
    source: Source,
    *,
    name: str,
    validation: float | int,
    test: float | int,
    split_seed: int,
    scaling: str,
    target_scaling: str,
    stratify: bool = False,
    class_weight: str = "none",
    missing: str = "refuse",
) -> Dataset:
    """Split and normalise what a reader found.

    The rows are permuted by `split_seed`; the first rows are the test part, the next ones the validation part, and the
    rest is the training part. Parts that the source already has are kept. With `stratify`, or if a class would
    otherwise have no training example, each part has its share of every class. `unit` scales to 0…1, `standard` to mean
    0 and standard deviation 1, with one pair of constants for all pixels of images and otherwise a pair for each
    feature; a constant feature is only centred. A missing value becomes the `mean` or the `most_frequent` value of the
    training part. With `class_weight` balanced, all classes count the same in training, however many examples they
    have.

    Raises:
        DataError: a split size or a scaling is not allowed, or nothing is left to train on.
    """
    if scaling not in SCALINGS:
        raise DataError(f"unknown scaling {scaling!r}; choose one of {', '.join(SCALINGS)}")
    rows = _rows(source, validation, test, split_seed, stratify)
    tested, validated, trained = (Split(source.x[np.sort(part)], source.y[np.sort(part)]) for part in rows)
    parts = {"train": trained, "validation": source.validation or validated, "test": source.test or tested}
    fill = None
    if missing != "refuse" and source.x.dtype.kind == "f":
        fill = _fill(source, trained.x, missing)
        parts = {part: of._replace(x=np.where(np.isnan(of.x), fill, of.x)) for part, of in parts.items()}
    parts = _of_one_type(parts)
    given = None if source.weight is None else source.weight[np.sort(rows[-1])]
    parts["train"] = parts["train"]._replace(weight=_weights(source, trained.y, given, class_weight))
    center, scale = constants(parts["train"].x, source.levels, scaling)
    if parts["train"].x.dtype == np.float64:
        seen = normalized(parts["train"].x, center, scale)
        warn_of_merged(name, parts["train"].x, seen, feature_names(source))
    shift, spread = target_constants(trained.y, target_scaling) if not source.classes else (0.0, 1.0)
    if not source.classes:
        unit = lambda y: ((y - shift) / spread).astype(np.float32)
        parts = {part: of._replace(y=unit(of.y)) for part, of in parts.items()}
        warn_of_merged(name, trained.y[:, None], parts["train"].y[:, None], [source.column or "y"])
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
        columns=source.columns,
        column=source.column,
        fill=fill,
        why=source.why,
        **parts,
    )


def feature_names(source: Source | Dataset) -> list[str]:
    """Return the name of each feature: its column, a category with its value, or a number."""
    if not source.columns:
        width = source.inputs if isinstance(source, Dataset) else source.x.shape[1]
        return [f"feature {number}" for number in range(width)]
    named = lambda c: [c.name] if c.kind == "number" else [f"{c.name}={value}" for value in c.categories]
    return [name for column in source.columns for name in named(column)]


def _rows(
    source: Source, validation: float | int, test: float | int, split_seed: int, stratify: bool
) -> list[np.ndarray]:
    """Return the rows for testing, for validation and for training."""
    order = np.random.default_rng(split_seed).permutation(len(source.y))
    held_out = 0 if source.test is not None else _size("test", test, len(order))
    validating = 0 if source.validation is not None else _size("validation", validation, len(order) - held_out)
    if held_out + validating >= len(order):
        raise DataError(
            f"{len(order)} examples leave none to train on after {held_out} for test and {validating} for validation; "
            "give smaller parts"
        )
    trained = lambda order: np.unique(source.y[order[held_out + validating :]])
    if source.classes and (stratify or len(trained(order)) < len(np.unique(source.y))):
        even = _evenly(order, source.y)
        order = even if stratify or len(trained(even)) > len(trained(order)) else order
    if source.classes:
        asked = np.unique(np.concatenate([source.y, *(part.y for part in (source.test, source.validation) if part)]))
        if lost := [source.classes[number] for number in np.setdiff1d(asked, trained(order))]:
            warnings.warn(f"no example to train on is of class {', '.join(lost)}", stacklevel=4)
    return np.split(order, [held_out, held_out + validating])


def _evenly(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return `order` rearranged so that every stretch of it has its share of each class."""
    place = np.empty(len(order))
    for label in np.unique(y):
        (of_label,) = np.nonzero(y[order] == label)
        place[of_label] = (np.arange(len(of_label)) + 0.5) / len(of_label)
    return order[np.argsort(place, kind="stable")]


def _weights(source: Source, y: np.ndarray, given: np.ndarray | None, class_weight: str) -> np.ndarray | None:
    """Return how much each example counts in training, 1 on average; None if all count the same."""
    choose("class weight", class_weight, CLASS_WEIGHTS)
    if class_weight == "balanced" and not source.classes:
        raise DataError("class_weight balanced is for classes, and these targets are real numbers; leave it out")
    if given is None and class_weight == "none":
        return None
    weight = np.ones(len(y)) if given is None else given
    if class_weight == "balanced":
        weight = weight / np.maximum(np.bincount(y, weight), np.finfo(float).tiny)[y]
    if not weight.any():
        raise DataError("no example to train on has a weight above 0; give more of them, or smaller parts")
    return (weight / weight.mean()).astype(np.float32)


def _fill(source: Source, x: np.ndarray, missing: str) -> np.ndarray:
    """Return the value that replaces a missing one, for each feature: the mean or most frequent in the training part.

    A category has no mean, so its most frequent value is always used.
    """
    names, there = feature_names(source), ~np.isnan(x)
    if not (known := there.any(axis=0)).all():
        raise DataError(f"{names[int(np.argmin(known))]!r} has no value in the training part; drop that column")
    sums = np.where(there, x, 0).astype(np.float64).sum(axis=0)
    fill, begin = sums / there.sum(axis=0), 0
    for column in source.columns or [None] * x.shape[1]:
        width = column.width if column else 1
        part = slice(begin, begin + width)
        if column and column.kind == "category":
            fill[part] = np.arange(width) == np.argmax(fill[part])
        elif width and missing == "most_frequent":
            values, counts = np.unique(x[there[:, begin], begin], return_counts=True)
            fill[part] = values[np.argmax(counts)]
        begin += width
    return fill.astype(x.dtype)


def _of_one_type(parts: dict[str, Split]) -> dict[str, Split]:
    """Give the examples of all parts the same type, with 32 bits if they are enough for the training part."""
    kind = np.result_type(*(split.x.dtype for split in parts.values()))
    if kind == np.float64:
        kind = rounded(parts["train"].x.astype(kind)).dtype
    return {part: of._replace(x=of.x.astype(kind, copy=False)) for part, of in parts.items()}


def _size(what: str, given: float | int, n: int) -> int:
    """Return the size of a part as a number of examples; a fraction is taken of `n`."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if isinstance(given, float) and 0 <= given < 1:
        return round(given * n)
    if isinstance(given, float) and given >= 1 and given == int(given):
        return int(given)
    raise DataError(f"{what} {given!r} is not allowed; give a fraction from 0 to below 1, or a count of examples")
