"""Texts that are numbers, or look like numbers: decimal signs, thousands marks, currencies, words for a missing value.

Invariant: a text is a number if pandas reads it as one, or would with a point for its decimal comma.
"""

import re

import numpy as np

from mlp_jax.data.errors import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # in a column of numbers; a category may have such a name
CURRENCY = "$€£¥%"
DECIMAL_COMMA = re.compile(r"[-+]?\d*(,\d+)?([eE][-+]?\d+)?")
SURELY_DECIMAL = re.compile(r"[-+]?(0?|\d{4,}),\d+|.*,(\d{1,2}|\d{4,})|.*,.*[eE].*")
NUMBER_LIKE = re.compile(rf"[-+(]?[{CURRENCY}]?\s?[-+]?\d[\d.,' \u00a0]*\s?[{CURRENCY}]?\)?")


def coerced(cells: np.ndarray, decimal: str = ".") -> np.ndarray:
    """Return texts as numbers, with NaN for each text that is not a number."""
    import pandas

    cells = np.array([cell.replace(decimal, ".") for cell in cells], object) if decimal != "." else cells
    return np.asarray(pandas.to_numeric(pandas.Series(cells, dtype=object), errors="coerce"), np.float64)


def parsed(cells: np.ndarray, decimal: str = ".") -> np.ndarray | None:
    """Return texts as numbers, or None if any of them is not a number."""
    numbers = coerced(cells, decimal)
    return None if np.isnan(numbers).any() else numbers


def as_numbers(y: np.ndarray) -> np.ndarray | None:
    """Return an array of any type as numbers, or None if any value is not a number."""
    return parsed(y.astype(object) if y.dtype.kind == "O" else y.astype(str).astype(object))


def mostly_numbers(cells: np.ndarray) -> bool:
    """Tell whether more than half of the texts that are not missing are numbers."""
    there = ~missing(cells)
    return bool((~np.isnan(coerced(cells[there]))).sum() * 2 > there.sum())


def missing(cells: np.ndarray) -> np.ndarray:
    """Tell which texts stand for a missing number."""
    return np.array([cell.lower() in MISSING for cell in cells], bool)


def decimal_sign(what: str, cells: np.ndarray, asked: str) -> str:
    """Return the decimal sign of a text column: "," if its cells are numbers with a decimal comma, otherwise ".".

    Raises:
        DataError: most cells look like numbers, but with thousands marks, currencies, per cent or an unclear comma.
    """
    there = cells[~missing(cells)]
    strange = np.isnan(coerced(there))
    alike = [cell for cell, text in zip(there, strange) if text and NUMBER_LIKE.fullmatch(cell)]
    if 2 * len(alike) <= len(there):
        return "."
    commas = all(DECIMAL_COMMA.fullmatch(cell) for cell in there)
    if commas and (asked == "," or any(SURELY_DECIMAL.fullmatch(cell) for cell in there)):
        return ","
    what = f"{what} holds numbers written as {alike[0]!r}"
    if commas:
        raise DataError(f"{what}; give --decimal , or take the thousands marks out")
    raise DataError(f"{what}; take out all but digits, sign and decimal point, or --drop the column")
