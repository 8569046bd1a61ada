"""Describe a data set in words and plain values: what its columns are taken for, its task and why, what is left out."""

import numpy as np

from mlp_jax.data.dataset import Column, Dataset

SHOWN = 12  # names of columns in a sentence


def describe(dataset: Dataset) -> dict:
    """Describe a data set in plain values: task, shapes, classes, and the number of examples of each class by part.

    >>> from mlp_jax.data import load
    >>> describe(load("iris"))["class_counts"]["test"]
    [5, 13, 12]
    """
    splits = {part: getattr(dataset, part) for part in ("train", "validation", "test")}
    described = {
        "name": dataset.name,
        "task": dataset.task,
        "shape": list(dataset.shape),
        "inputs": dataset.inputs,
        "dtype": str(dataset.train.x.dtype),
        **{part: len(split.y) for part, split in splits.items()},
    }
    if dataset.why:
        described |= {"why": dataset.why}
    if dataset.columns:
        described |= {"column": dataset.column, "columns": [_plain(column) for column in dataset.columns]}
    if dataset.classes:
        k = len(dataset.classes)
        counts = {part: np.bincount(split.y, minlength=k).tolist() for part, split in splits.items()}
        return described | {"classes": list(dataset.classes), "class_counts": counts}
    unit = dataset.train.y * dataset.target_scale + dataset.target_center
    return described | {
        "target_min": float(unit.min()),
        "target_mean": float(unit.mean()),
        "target_max": float(unit.max()),
    }


def sentence(dataset: Dataset) -> str:
    """Say in one line how a data set was read: its features, its task and why, what was left out.

    >>> from mlp_jax.data import load
    >>> sentence(load("digits"))
    'digits: 1,797 examples; 8 × 8 pixels from 0 to 16; target 10 classes'
    """
    n = sum(len(split.y) for split in (dataset.train, dataset.validation, dataset.test))
    told = [_features(dataset)] if not dataset.columns else _columns(dataset)
    what = f"{len(dataset.classes)} classes" if dataset.classes else "real numbers"
    target = f"{dataset.column!r}: " if dataset.column is not None else ""
    told.append(f"target {target}{what}{f' ({dataset.why})' if dataset.why else ''}")
    left = [f"{column.name or 'the column without a name'} ({column.why})" for column in _of(dataset, "left out")]
    told += [f"left out: {_listed(left)}"] if left else []
    return f"{dataset.name}: {n:,} examples; {'; '.join(told)}"


def _features(dataset: Dataset) -> str:
    size = " × ".join(map(str, dataset.shape))
    if dataset.levels:
        return f"{size} pixels from 0 to {dataset.levels}"
    return f"{size} {'feature' if dataset.inputs == 1 else 'features'}"


def _columns(dataset: Dataset) -> list[str]:
    """Say which columns are numbers, and how many values each category has."""
    if dataset.levels:
        return [f"{_features(dataset)} in {dataset.inputs:,} columns"]
    numbers = [column.name + " (decimal comma)" * (column.decimal == ",") for column in _of(dataset, "number")]
    categories = [f"{column.name} ({len(column.categories)} values)" for column in _of(dataset, "category")]
    told = [("numbers", numbers), ("categories", categories)]
    return [f"{what} {_listed(names)}" for what, names in told if names]


def _of(dataset: Dataset, kind: str) -> list[Column]:
    return [column for column in dataset.columns if column.kind == kind]


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:SHOWN])} and {more:,} more"


def _plain(column: Column) -> dict:
    """Return a column as plain values, with only the fields that its kind has."""
    categories = {"categories": list(column.categories)} if column.kind == "category" else {}
    return {"name": column.name, "kind": column.kind, **categories, **({"why": column.why} if column.why else {})}
