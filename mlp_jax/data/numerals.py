"""Texts that are numbers, or nearly: decimal signs, thousands marks, currencies, and words for a missing value.

Invariant: what pandas does not read as a number is none, but for a decimal comma.
"""

import re

import numpy as np

from mlp_jax.data.errors import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # in a column of numbers; a category may be called so
CURRENCY = "$€£¥%"
DECIMAL_COMMA = re.compile(r"[-+]?\d*(,\d+)?([eE][-+]?\d+)?")
SURELY_DECIMAL = re.compile(r"[-+]?(0?|\d{4,}),\d+|.*,(\d{1,2}|\d{4,})|.*,.*[eE].*")
NUMBER_LIKE = re.compile(rf"[-+(]?[{CURRENCY}]?\s?[-+]?\d[\d.,' \u00a0]*\s?[{CURRENCY}]?\)?")


def coerced(cells: np.ndarray, decimal: str = ".") -> np.ndarray:
    """Return texts as numbers, NaN where one is none."""
    import pandas

    cells = np.array([cell.replace(decimal, ".") for cell in cells], object) if decimal != "." else cells
    return np.asarray(pandas.to_numeric(pandas.Series(cells, dtype=object), errors="coerce"), np.float64)


def parsed(cells: np.ndarray, decimal: str = ".") -> np.ndarray | None:
    """Return texts as numbers, or None when one is none."""
    numbers = coerced(cells, decimal)
    return None if np.isnan(numbers).any() else numbers


def as_numbers(y: np.ndarray) -> np.ndarray | None:
    """Return an array of texts as numbers, or None when one is none."""
    return parsed(y.astype(object) if y.dtype.kind == "O" else y.astype(str).astype(object))


def mostly_numbers(cells: np.ndarray) -> bool:
    """Tell whether more than half of the texts that are there are numbers."""
    there = ~missing(cells)
    return bool((~np.isnan(coerced(cells[there]))).sum() * 2 > there.sum())


def missing(cells: np.ndarray) -> np.ndarray:
    """Tell which texts stand for a missing number."""
    return np.array([cell.lower() in MISSING for cell in cells], bool)


def decimal_sign(what: str, cells: np.ndarray, asked: str) -> str:
    """Return the decimal sign of a text column, "," when its cells are numbers with one, or refuse what looks like it.

    Raises:
        DataError: most cells are numbers with thousands marks, currencies or per cent, or may be.
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
