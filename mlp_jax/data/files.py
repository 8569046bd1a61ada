"""Data sets in one file of the user's: NumPy archives and CSV tables.

Classification or regression? Text and whole numbers with at most MOST_CLASSES different values are classes, as are
integer arrays in an archive; all other targets are real.
"""

import zipfile
from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import DataError, Source, Split

MOST_CLASSES = 50


def read_npz(path: Path) -> Source:
    """Read the arrays x and y, and x_test and y_test where they are there.

    Integer labels must be 0…k−1, each with an example; uint8 x of two or more dimensions an example is an image.

    Raises:
        DataError: an array is missing, has another length, is not numeric or not finite, or a label is out of range.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x", "y", "x_test", "y_test") if name in archive.files}
            names = archive.files
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read as .npz ({error}); save numbers with numpy.savez") from error
    for part in ("x", "y"):
        if part not in arrays or (f"{part}_test" in arrays) != ("x_test" in arrays):
            raise DataError(f"{path} has arrays {', '.join(names) or 'none'}; give x and y (and x_test with y_test)")
    for x, y in (("x", "y"), ("x_test", "y_test")):
        if x in arrays:
            _check_pair(path, x, arrays[x], y, arrays[y])
    x, y = arrays["x"], arrays["y"]
    tested = arrays.get("y_test", y[:0])
    integer = np.issubdtype(y.dtype, np.integer) or y.dtype == bool
    k = _count_classes(path, np.concatenate([y, tested])) if integer else 0
    test = Split(_rows(arrays["x_test"]), _targets(tested, k)) if "x_test" in arrays else None
    if test is not None and test.x.shape[1] != _rows(x).shape[1]:
        raise DataError(f"{path}: x has {_rows(x).shape[1]} features and x_test {test.x.shape[1]}; give as many")
    levels = 255 if x.dtype == np.uint8 else 0
    return Source(_rows(x), _targets(y, k), test, x.shape[1:], tuple(map(str, range(k))), levels)


def read_csv(path: Path, target: str | None) -> Source:
    """Read a table with a header; `target` names the column to predict.

    A column is numeric when most of its cells are numbers; else its values are categories, which become one feature
    each, in sorted order.

    Raises:
        DataError: the table is empty or ragged, a value is missing, a number column holds text, or there is no target
            column; row numbers count the header as row 1.
    """
    columns = _columns(path)
    if target is None:
        raise DataError(f"{path} needs --target with the column to predict; it has {', '.join(columns)}")
    if target not in columns:
        raise DataError(f"{path} has no column {target!r}; it has {', '.join(columns)}")
    y, classes = _csv_target(path, target, columns.pop(target))
    features = [_feature(path, name, cells) for name, cells in columns.items()]
    if not features:
        raise DataError(f"{path} has no column beside {target!r}; give at least one feature")
    x = np.ascontiguousarray(np.concatenate(features, axis=1), np.float32)
    return Source(x, y, None, x.shape[1:], classes, 0)


def _columns(path: Path) -> dict[str, list[str]]:
    """The cells below each name of the header, as text without the spaces around it."""
    import pandas

    try:
        table = pandas.read_csv(path, header=None, dtype=str, na_filter=False, encoding="utf-8-sig", engine="python")
    except pandas.errors.EmptyDataError:
        table = pandas.DataFrame([""])
    except (UnicodeDecodeError, pandas.errors.ParserError) as error:
        raise DataError(f"{path} can't be read as CSV ({error}); save UTF-8 text, all rows as long") from error
    header, *rows = table.apply(lambda column: column.str.strip()).to_numpy()
    if not rows:
        raise DataError(f"{path} has no rows under a header; give a header line and a row per example")
    if len(set(header)) < len(header):
        raise DataError(f"{path} names a column twice in its header; give each column its own name")
    for number, row in enumerate(rows, 2):
        if (given := sum(isinstance(cell, str) for cell in row)) < len(header):
            raise DataError(f"{path} row {number} has {given} cells, the header {len(header)}; give as many")
        for name, cell in zip(header, row, strict=True):
            if cell.lower() in ("", "na", "nan", "null", "none", "?"):
                place = f"{path} row {number}, column {name!r}"
                raise DataError(f"{place}: value is missing ({cell!r}); fill it in or drop the row")
    return {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}


def _numbers(path: Path, name: str, cells: list[str]) -> np.ndarray | None:
    """Return the column as numbers, or None when most of its cells are text."""
    parsed = [_number(cell) for cell in cells]
    if sum(value is not None for value in parsed) * 2 <= len(cells):
        return None
    for row, (cell, value) in enumerate(zip(cells, parsed), 2):
        if value is None or not np.isfinite(value):
            place = f"{path} row {row}, column {name!r}"
            raise DataError(f"{place}: {cell!r} is not a finite number, unlike most of that column")
    return np.array(parsed, np.float64)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _feature(path: Path, name: str, cells: list[str]) -> np.ndarray:
    numbers = _numbers(path, name, cells)
    if numbers is not None:
        return numbers[:, None]
    return (np.array(cells)[:, None] == np.unique(cells)).astype(np.float64)


def _csv_target(path: Path, name: str, cells: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    numbers = _numbers(path, name, cells)
    whole = numbers is not None and bool((numbers == np.rint(numbers)).all())
    if numbers is not None and not (whole and len(np.unique(numbers)) <= MOST_CLASSES):
        return numbers.astype(np.float32), ()
    values, y = np.unique(cells if numbers is None else numbers.astype(np.int64), return_inverse=True)
    if len(values) < 2:
        raise DataError(f"{path} column {name!r} has one value only ({values[0]}); give at least two classes")
    return y.astype(np.int32), tuple(map(str, values))


def _check_pair(path: Path, x_name: str, x: np.ndarray, y_name: str, y: np.ndarray) -> None:
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise DataError(
            f"{path}: {x_name} has shape {x.shape} and {y_name} {y.shape}; give a row of {x_name} for each {y_name}"
        )
    for name, array in ((x_name, x), (y_name, y)):
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
            raise DataError(f"{path}: {name} holds {array.dtype}; give real numbers")
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds values that are not finite; give finite numbers")


def _count_classes(path: Path, y: np.ndarray) -> int:
    values = np.unique(y).astype(np.int64)
    k = len(values)
    if k < 2 or values[0] != 0 or values[-1] != k - 1:
        raise DataError(
            f"{path}: {k} different labels from {values[0]} to {values[-1]}; give labels 0…k−1 with an example of each"
        )
    return k


def _rows(x: np.ndarray) -> np.ndarray:
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    return np.ascontiguousarray(x.reshape(len(x), -1))


def _targets(y: np.ndarray, k: int) -> np.ndarray:
    return y.astype(np.int32 if k else np.float32)
