"""Decide what each column of a table is: numbers, a category, or left out; and encode the columns as features.

Invariant: this is decided here alone, from all values, and with a reason in words; the name of a category is its text
in the file.
"""

from typing import Any

import numpy as np

from mlp_jax.data import numerals
from mlp_jax.data.dataset import Column, Source
from mlp_jax.data.errors import DataError
from mlp_jax.data.options import Options
from mlp_jax.data.scaling import LARGEST, compact, white
from mlp_jax.data.table import Table
from mlp_jax.data.target import FEW, Target, taken

MOST_CATEGORIES = 1000
PIXELS = 64  # a table with fewer columns is not taken for pictures


def read(table: Table, options: Options) -> Source:
    """Return the examples of a table, and what each of its columns was taken for.

    Raises:
        DataError: there is no target column, no feature is left, a value is missing, or a column holds numbers that
            can't be read as they are written.
    """
    path, has = table.path, f"it has {_listed(table.names)}"
    if options.column is None:
        raise DataError(f"{path} needs --column with the column to predict; {has}")
    for name in (options.column, *options.drop):
        if name not in table.names:
            raise DataError(f"{path} has no column {name!r}; {has}")
    target = _target(table, options)
    columns = [_column(table, name, options) for name in table.names if name != options.column]
    if not any(column.width for column in columns):
        left = "; ".join(f"{column.name} is left out: {column.why}" for column in columns)
        raise DataError(f"{path} has no column beside {options.column!r}{left and f' ({left})'}; give a feature")
    x = encode(table, columns, missing=options.missing != "refuse")
    levels, shape = _pixels(x, columns)
    return Source(x, target.y, None, shape, target.classes, levels, None, tuple(columns), options.column, target.why)


def encode(table: Table, columns: list[Column], *, missing: bool, unseen: list[str] | None = None) -> np.ndarray:
    """Return the features that `columns` describe, in their order, whatever the order of the table's columns is.

    Args:
        missing: allow missing values, which become NaN.
        unseen: a list for the names of unknown categories, whose features are all 0; None refuses them.

    Raises:
        DataError: a column or a value is missing, or a value is not finite or an unknown category.
    """
    used = [column for column in columns if column.width]
    if absent := [column.name for column in used if column.name not in table.names]:
        raise DataError(f"{table.path} has no column {absent[0]!r}, which the run needs; it has {_listed(table.names)}")
    if tuple(column.name for column in used) == table.numeric:
        x = table.numbers
    else:
        parts = [_feature(table, column, unseen) for column in used]
        x = compact(np.concatenate(parts, axis=1))
    _check(table, used, x, missing)
    return x


def _target(table: Table, options: Options) -> Target:
    name = str(options.column)
    cells = table.texts[name]
    lacks = numerals.missing(cells) if options.task == "regression" or numerals.mostly_numbers(cells) else cells == ""
    if lacks.any():
        row = int(np.argmax(lacks))
        raise DataError(
            f"{table.place(row, name)}: value is missing ({cells[row]!r}); drop rows without one from the target"
        )
    what = f"{table.path} column {name!r}"
    if options.task == "classification":
        return taken(what, cells, options.task)
    if numerals.decimal_sign(what, cells, options.decimal) == ",":
        found = taken(what, numerals.coerced(cells, ","), options.task)
        return taken(what, cells, "classification") if found.classes else found
    if numerals.mostly_numbers(cells):
        _check_numbers(table, name, cells, numerals.coerced(cells), "; or give --task classification")
    return taken(what, cells, options.task)


def _column(table: Table, name: str, options: Options) -> Column:
    """Decide what a column other than the target is taken for."""
    leave = lambda why: Column(name, "left out", why=why)
    if name in options.drop:
        return leave("dropped")
    if name in table.numeric:
        values = table.numbers[:, table.numeric.index(name)]
        if name.lower() in ("", "unnamed: 0", "index", "id") and _counts_rows(values):
            return leave("it numbers the rows")
        return leave("it is empty") if values.dtype.kind == "f" and np.isnan(values).all() else Column(name, "number")
    cells = table.texts[name]
    if numerals.mostly_numbers(cells):
        _check_numbers(table, name, cells, numerals.coerced(cells))
        return Column(name, "number")
    if numerals.decimal_sign(f"{table.path} column {name!r}", cells, options.decimal) == ",":
        return Column(name, "number", decimal=",")
    categories = tuple(np.unique(cells[cells != ""].astype(str)).tolist())
    k, n = len(categories), table.rows
    if not k or numerals.missing(cells).all():
        return leave("it is empty")
    if (k > FEW and 2 * k > n) or k > MOST_CATEGORIES:
        return leave(f"{k:,} different texts in {n:,} rows")
    return Column(name, "category", categories)


def _feature(table: Table, column: Column, unseen: list[str] | None) -> np.ndarray:
    """Return the features of one column in 64 bits; NaN stands for a missing value."""
    name = column.name
    if name in table.numeric and column.kind == "number":
        return table.numbers[:, [table.numeric.index(name)]].astype(np.float64)
    cells = table.texts[name]
    if column.kind == "number":
        return _check_numbers(table, name, cells, numerals.coerced(cells, column.decimal))[:, None]
    known = cells[:, None] == np.array(column.categories, object)
    x = known.astype(np.float64)
    x[cells == ""] = np.nan
    strange = ~known.any(axis=1) & (cells != "")
    if strange.any() and unseen is None:
        row = int(np.argmax(strange))
        raise DataError(f"{table.place(row, name)}: {cells[row]!r} is no category of that column")
    if strange.any() and unseen is not None:
        unseen.append(f"{name} {', '.join(sorted(set(cells[strange].tolist())))[:80]}")
    return x


def _check(table: Table, columns: list[Column], x: np.ndarray, missing: bool) -> None:
    """Raise a DataError about the first value that is not finite, too large, or missing where that is not allowed."""
    if x.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        bad = ~(abs(x) <= LARGEST)
    if missing:
        bad &= ~np.isnan(x)
    if not bad.any():
        return
    row, feature = (int(found[0]) for found in np.nonzero(bad))
    begins = np.cumsum([0, *(column.width for column in columns)])
    name, value = columns[int(np.searchsorted(begins, feature, "right")) - 1].name, x[row, feature]
    place = table.place(row, name)
    if np.isnan(value):
        cell = table.texts[name][row] if name in table.texts else ""
        raise DataError(f"{place}: value is missing ({cell!r}); fill it in, drop the row, or give --missing mean")
    why = "is not a finite number" if np.isinf(value) else "is too large for 32 bits; give another unit"
    raise DataError(f"{place}: '{value:g}' {why}")


def _check_numbers(table: Table, name: str, cells: np.ndarray, numbers: np.ndarray, advice: str = "") -> np.ndarray:
    """Return `numbers` of a column of numbers; raise a DataError if a cell is neither a number nor empty."""
    bad = ~(abs(np.nan_to_num(numbers, nan=np.inf, posinf=np.inf)) <= LARGEST) & ~numerals.missing(cells)
    if bad.any():
        row = int(np.argmax(bad))
        finite = np.isfinite(numbers[row])
        why = (
            "is too large for 32 bits; give another unit"
            if finite
            else "is not a finite number, unlike most of that column"
        )
        raise DataError(f"{table.place(row, name)}: {cells[row]!r} {why}{advice}")
    return numbers


def _counts_rows(values: np.ndarray) -> bool:
    return len(values) > 1 and values[0] in (0, 1) and bool((np.diff(values.astype(np.float64)) == 1).all())


def _pixels(x: np.ndarray, columns: list[Column]) -> tuple[int, tuple[int, ...]]:
    """Return the value of white and the shape, if a table holds square pictures of bytes."""
    side = round(x.shape[1] ** 0.5)
    numbers = all(column.kind != "category" for column in columns)
    if numbers and x.dtype == np.uint8 and x.shape[1] >= PIXELS and side**2 == x.shape[1] and x.max() > 127:
        return white(x), (side, side)
    return 0, x.shape[1:]


def _listed(names: Any) -> str:
    names = [str(name) or "(without a name)" for name in names]
    return ", ".join(names) if len(names) <= 40 else f"{', '.join(names[:20])}, … ({len(names):,} columns)"
