"""Columns of numbers and words in a Parquet file, with a checksum that shows whether they have changed.

Invariant: the columns that are read are those that were written, bit for bit; otherwise there is a ValueError.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_jax.machine import files

if TYPE_CHECKING:
    import pyarrow

CHECKSUM = b"mlp_jax checksum"


def write(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns to a file, completely or not at all.

    Raises:
        OSError: the file can't be written.
    """
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(dict(columns))
    table = table.replace_schema_metadata({CHECKSUM: _checksum(table).encode()})

    def fill(partial: Path) -> None:
        with partial.open("wb") as file:  # a path may hold bytes that are not text
            pyarrow.parquet.write_table(table, file, write_page_checksum=True)

    files.replace(path, fill, False)


def read(path: Path) -> "pyarrow.Table":
    """Read a file that `write` wrote.

    Raises:
        ValueError: the file is damaged.
        OSError: the file can't be read.
    """
    import pyarrow.parquet

    if not path.is_file():
        raise ValueError("it is no regular file")
    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file, page_checksum_verification=True)
        said = (table.schema.metadata or {}).get(CHECKSUM, b"").decode()
        changed = said != _checksum(table)
    except Exception as error:  # pyarrow raises many kinds of errors for damage
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise  # that says nothing about the file
        raise ValueError(next(iter(str(error).splitlines()), type(error).__name__)) from error
    if changed:
        raise ValueError("its rows are not those that were written" if said else "it has no checksum")
    return table


def _checksum(table: "pyarrow.Table") -> str:
    """Return a checksum of the rows, their order and the columns' names."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns):
        digest.update(f"{name} {column.type}".encode())
        values = column.to_numpy()
        digest.update(str(column.to_pylist()).encode() if values.dtype.kind == "O" else values.tobytes())
    return digest.hexdigest()[:32]
