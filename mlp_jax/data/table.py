"""The rows of a text file (CSV, tab-separated, compressed or not), before it is decided what the columns are.

Invariant: a column holds numbers if pandas read every cell of it as a number; otherwise its cells are the file's own
text, so that no text is changed by a conversion to a number.
"""

import csv
import gzip
import io
import itertools
import warnings
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.data import unpacking
from mlp_jax.data.errors import DataError
from mlp_jax.data.options import SEPARATORS, Options
from mlp_jax.data.scaling import compact

if TYPE_CHECKING:
    import pandas

SUFFIXES = (".csv", ".tsv", ".txt", ".data")
HEAD_ROWS, HEAD_BYTES = 20, 2**24  # the part of a file from which its style is found
CHUNK_CELLS = 3_000_000  # cells that are parsed at once, so that memory stays bounded


class Style(NamedTuple):
    """How a text is written: encoding, separator, decimal sign, column names, number of lines before the rows."""

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    skip: int
    header: bool


class Table(NamedTuple):
    """Columns by name: numbers in one array (NaN where a cell is empty), and texts, without spaces at their ends.

    `path` and `style` are needed for messages that name a row.
    """

    path: Path
    style: Style
    numeric: tuple[str, ...]
    numbers: np.ndarray
    texts: dict[str, np.ndarray]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in the file's order."""
        return self.style.names

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.numbers)

    def place(self, row: int, name: str) -> str:
        """Return file, line and column of a cell, for messages."""
        with _opened(self.path, self.style.encoding) as file:
            lines = _rows(itertools.islice(file, self.style.skip, None), self.style.separator)
            number = next((line for at, (line, _) in enumerate(lines) if at == row), row)
        return f"{self.path} row {self.style.skip + number}, column {name!r}"


def is_table(path: Path) -> bool:
    """Tell whether a file's name is that of a table, compressed or not."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES)


def read_table(path: Path, options: Options, as_text: Collection[str] = ()) -> Table:
    """Read a text file; the column to predict stays text, since a class is named by its text, as do those in `as_text`.

    Raises:
        DataError: the file is not text in a known encoding, has no rows, names a column twice, or a row has more or
            fewer cells than the first.
    """
    style = _style(path, options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas only warns of a row that is longer than the first
            asked = {str(options.column), *as_text} & set(style.names)
            numeric, numbers, texts = _read(path, style, sorted(asked))
            if names := [name for name in style.names if name not in numeric and name not in texts]:
                texts |= _texts(path, style, names)
    except (UnicodeError, ValueError, Warning, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    if not len(numbers):
        raise DataError(f"{path} has no rows under a header; give a header line and a row per example")
    table = Table(path, style, numeric, numbers, texts)
    _check_lengths(table)
    return table


def _read(path: Path, style: Style, as_text: list[str]) -> tuple[tuple[str, ...], np.ndarray, dict[str, np.ndarray]]:
    """Return the columns of numbers and empty cells (names and values, in the smallest type), and those `as_text`."""
    import pandas

    how: Any = _how(style) | {
        "chunksize": max(100, CHUNK_CELLS // len(style.names)),
        "dtype": dict.fromkeys(as_text, str),
    }
    numeric, blocks = [name for name in style.names if name not in as_text], []
    cells: dict[str, list[np.ndarray]] = {name: [] for name in as_text}
    with pandas.read_csv(path, **how) as reader:
        for chunk in reader:
            kinds = {name: dtype.kind for name, dtype in zip(chunk.columns, chunk.dtypes)}
            numeric = [name for name in numeric if kinds[name] in "iuf"]
            block = compact(chunk[numeric].to_numpy()) if numeric else np.zeros((len(chunk), 0))
            blocks.append((numeric, block))
            for name in as_text:
                cells[name].append(_stripped(chunk[name]))
    parts = [block[:, np.isin(kept, numeric)] if len(kept) > len(numeric) else block for kept, block in blocks]
    texts = {name: np.concatenate(found) for name, found in cells.items() if found}
    return tuple(numeric), np.concatenate(parts) if parts else np.zeros((0, 0)), texts


def _texts(path: Path, style: Style, names: list[str]) -> dict[str, np.ndarray]:
    import pandas

    how: Any = _how(style) | {"na_filter": False, "dtype": str, "usecols": names}
    frame = pandas.read_csv(path, **how)
    return {name: _stripped(frame[name]) for name in names}


def _stripped(cells: "pandas.Series") -> np.ndarray:
    return cells.fillna("").str.strip().to_numpy(object)


def _how(style: Style) -> dict[str, Any]:
    how: dict[str, Any] = {"sep": r"\s+" if style.separator == " " else style.separator, "names": style.names}
    how |= {"header": None, "skiprows": style.skip, "index_col": False, "encoding": style.encoding}
    how |= {"keep_default_na": False, "na_values": [""], "skipinitialspace": True, "low_memory": False}
    return how | {"decimal": style.decimal}


def _style(path: Path, options: Options) -> Style:
    """Find out how the text is written, as far as the options do not say it."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if packed:
            unpacking.check_gzip(path)
        opened = gzip.open if packed else open
        with opened(path, "rb") as file:
            encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with _opened(path, encoding) as file:
            head = _head(path, file)
    except (UnicodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    if not any(line.strip() for line in head):
        raise DataError(f"{path} has no rows under a header; give a header line and a row per example")
    separator = SEPARATORS.get(options.separator, options.separator)
    separator = _separator(head) if separator == "auto" else separator
    rows = list(_rows(head, separator))
    header = _has_header([cells for _, cells in rows]) if options.header == "auto" else options.header == "yes"
    first = [cell.strip() for cell in rows[0][1]]
    names = tuple(first) if header else tuple(str(number) for number in range(1, len(first) + 1))
    if len(set(names)) < len(names):
        raise DataError(f"{path} names a column twice in its header; give each column its own name")
    decimal = "." if options.decimal == "auto" else options.decimal
    return Style(encoding, separator, decimal, names, rows[0][0] if header else 0, header)


def _head(path: Path, file: io.TextIOWrapper) -> list[str]:
    head, left = [], HEAD_BYTES
    while len([line for line in head if line.strip()]) < HEAD_ROWS and (line := file.readline(left)):
        left -= len(line)
        if left <= 0:
            raise DataError(f"{path} has a line of {HEAD_BYTES:,} characters; give a row per line")
        head.append(line)
    return head


def _separator(head: list[str]) -> str:
    """Return the mark that divides all first lines into equally many cells, or else the first line into the most."""
    widths = {mark: [len(cells) for _, cells in _rows(head, mark)] for mark in "\t;|, "}
    even = [mark for mark, found in widths.items() if found[0] > 1 and len(set(found)) == 1]
    return even[0] if even else max("\t;|,", key=lambda mark: (widths[mark][0], mark == ","))


def _has_header(rows: list[list[str]]) -> bool:
    """Tell whether the first row names the columns: it is no row of numbers, or it numbers the columns as pandas does.

    A number among names, such as a year, is a name too if the cells below another name are numbers.
    """
    first, rest = rows[0], rows[1:]
    named = [not is_number(cell) for cell in first]
    counted = [cell.strip() for cell in first if cell.strip()] == [str(n) for n in range(sum(map(bool, first)))]
    below = [[row[at] for row in rest if len(row) > at] for at, name in enumerate(named) if name]
    numbers = any(cells and all(map(is_number, cells)) for cells in below)
    return all(named) or (counted and len(first) > 1 and bool(rest)) or numbers


def is_number(cell: str) -> bool:
    """Tell whether pandas would read a cell as a number."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return "_" not in cell and cell.strip().lower() != "nan"


def _rows(lines: Any, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that is not blank, with the number of the line in which the row ends."""
    if separator == " ":
        yield from ((number, line.split()) for number, line in enumerate(lines, 1) if line.strip())
        return
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    yield from ((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells) or len(cells) > 1)


def _check_lengths(table: Table) -> None:
    """Raise a DataError if a row has fewer cells than the first, which pandas would fill up."""
    last, width = table.names[-1], len(table.names)
    if last in table.texts:
        empty = table.texts[last] == ""
    else:
        empty = np.isnan(table.numbers[:, table.numeric.index(last)].astype(float))
    if width < 2 or not empty.any():
        return
    with _opened(table.path, table.style.encoding) as file:
        for line, cells in _rows(itertools.islice(file, table.style.skip, None), table.style.separator):
            if len(cells) < width:
                number = table.style.skip + line
                raise DataError(f"{table.path} row {number} has {len(cells)} cells, the header {width}; give as many")


def _opened(path: Path, encoding: str) -> io.TextIOWrapper:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return io.TextIOWrapper(gzip.open(path) if packed else path.open("rb"), encoding=encoding, newline="")


def _unreadable(path: Path, error: Exception) -> DataError:
    why = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
    if "Length of header or names" in why:
        why = "rows have more cells than the first one"
    return DataError(f"{path} can't be read as CSV ({why}); save UTF-8 text, all rows as long")
