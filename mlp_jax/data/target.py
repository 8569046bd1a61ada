"""Decide whether the values of a target are classes or real numbers.

Invariant: this is decided here alone, from all values, and explained in words; the name of a class is its text.
"""

from typing import NamedTuple

import numpy as np

from mlp_jax.data import numerals
from mlp_jax.data.errors import DataError

MOST_CLASSES = 50  # whole numbers with more different values are numbers
FEW = 10  # up to so many different texts are classes, or categories, however few rows there are


class Target(NamedTuple):
    """What a target is taken for: class ids and the names of classes, or numbers (`classes` is empty); and why."""

    y: np.ndarray
    classes: tuple[str, ...]
    why: str


def taken(what: str, y: np.ndarray, task: str) -> Target:
    """Decide whether the values of a target are classes or numbers, if `task` does not say so.

    Text is taken for classes. Whole numbers are classes if they have few different values, most of which occur more
    than once; an array of integers also if its values are 0…k−1 or 1…k.

    Raises:
        DataError: there is only one value, or `task` needs numbers and the values are text, or there are nearly as many
            different texts as rows.
    """
    y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
    text = y.dtype.kind in "OUST"
    numbers = numerals.as_numbers(y) if text else y.astype(np.float64)
    values = np.unique(y.astype(str) if text else y)
    if len(values) < 2:
        raise DataError(f"{what} has one value only ({values[0]}); give a target with at least two")
    is_whole = numbers is not None and bool((numbers == np.rint(numbers)).all())
    if numbers is None and task == "regression":
        raise DataError(
            f"{what} holds text ({str(values[0])!r}), and task regression needs numbers; give another column"
        )
    why = _classes_because(y, numbers, values, is_whole) if task == "auto" else f"task {task} was asked for"
    if task == "regression" or (task == "auto" and why.startswith("number")):
        assert numbers is not None
        return Target(numbers, (), why)
    if task == "auto" and numbers is None and len(values) > FEW and 2 * len(values) > len(y):
        raise DataError(
            f"{what} has {len(values):,} different texts in {len(y):,} rows ({str(values[0])!r}, …), which are hardly "
            "classes; name another column, or give --task classification"
        )
    return _classes(y, numbers, is_whole, why)


def _classes_because(y: np.ndarray, numbers: np.ndarray | None, values: np.ndarray, is_whole: bool) -> str:
    """Return why values are classes, or, in a text that begins with "numbers", why they are numbers."""
    k, n = len(values), len(y)
    if numbers is None or y.dtype == bool:
        return f"{k} different texts" if numbers is None else "true and false"
    if not is_whole:
        return "numbers that are not whole"
    repeated = 2 * k <= n + 1
    if k <= MOST_CLASSES and repeated:
        return f"{k} different whole numbers; --task regression takes them as numbers"
    dense = y.dtype.kind in "iu" and values[0] in (0, 1) and values[-1] - values[0] == k - 1
    if dense and repeated:
        return f"integers from {values[0]} to {values[-1]}; --task regression takes them as numbers"
    return f"numbers: {k:,} different values in {n:,} rows; --task classification takes each as a class"


def _classes(y: np.ndarray, numbers: np.ndarray | None, is_whole: bool, why: str) -> Target:
    """Return class ids, numbered in the order of the classes' numbers or in alphabetical order."""
    if y.dtype.kind == "f" and is_whole:
        y = y.astype(np.int64)
    texts, first, ids = np.unique(y.astype(str), return_index=True, return_inverse=True)
    order = np.lexsort((texts, numbers[first])) if numbers is not None else np.arange(len(texts))
    rank = np.argsort(order)
    return Target(rank[ids.reshape(-1)].astype(np.int32), tuple(texts[order].tolist()), why)
