"""A part of a study on disk: the rows that one job made, as Parquet, with the name of the part and what made it.

Invariant: a file counts as the part of its name only if it says so itself and its rows are unchanged since they were
written; anything else in its place is damage, and is reported.
"""

import hashlib
import os
import stat
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from mlp_jax.machine import files

if TYPE_CHECKING:
    import pandas

PART, ROWS, MADE_BY = "part", "rows", "made_by"  # attributes beside the rows
_sound: dict[Path, tuple[int, int, int]] = {}  # files whose rows were compared with their checksum, as they were then


class Damage(UserWarning):
    """A file in a study's directory is damaged, and is left out."""


def made_here() -> dict[str, Any]:
    """Return everything about this process that decides the numbers of a part, including their rounding."""
    return {
        "mlp_jax": metadata.version("mlp_jax"),
        "jax": jax.__version__,
        "platform": jax.default_backend(),
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
        "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),  # pyright: ignore[reportAttributeAccessIssue]
    }


def write(path: Path, rows: "pandas.DataFrame") -> None:
    """Write a part, completely or not at all, with the attribute `made_by` of `rows`.

    Raises:
        OSError: the part can't be written.
    """
    rows = rows.copy(deep=False)
    rows.attrs = {PART: _name(path), ROWS: _checksum(rows), MADE_BY: rows.attrs.get(MADE_BY, {})}

    def fill(partial: Path) -> None:
        with partial.open("wb") as file:
            rows.to_parquet(file, index=False, write_page_checksum=True)

    files.replace(path, fill, follow=False)


def read(path: Path) -> "pandas.DataFrame | None":
    """Read a part; return None if it is missing, or damaged, which gives a warning."""
    rows, damage = load(path)
    if damage:
        warnings.warn(f"{path} {damage}: it is left out", Damage, stacklevel=2)
    return rows


def load(path: Path) -> "tuple[pandas.DataFrame | None, str]":
    """Return the rows of a part, or None if it is missing or damaged, and a description of the damage."""
    import pandas

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None, "is damaged (no regular file)"
        with path.open("rb") as file:  # a path may hold bytes that are not text
            state = os.fstat(file.fileno())
            rows = pandas.read_parquet(file, page_checksum_verification=True, use_threads=False)
    except FileNotFoundError:
        return None, ""
    except Exception as error:  # pyarrow raises many kinds of errors for damage
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise  # that says nothing about the part
        return None, f"is damaged ({next(iter(str(error).splitlines()), type(error).__name__)})"
    if rows.attrs.get(PART) != _name(path):
        return None, f"is damaged (it says that it is {str(rows.attrs.get(PART, 'no part of a study'))[:80]})"
    as_it_is = state.st_ino, state.st_ctime_ns, state.st_size
    if _sound.get(path) != as_it_is:
        if rows.attrs.get(ROWS) != _checksum(rows):
            return None, "is damaged (its rows are not those that were written)"
        _sound[path] = as_it_is  # its pages are checked whenever it is read
    return rows, ""


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _checksum(rows: "pandas.DataFrame") -> str:
    """Return a checksum of the rows, their order and the columns' names."""
    from pandas.util import hash_pandas_object

    digest = hashlib.sha256(",".join(map(str, rows.columns)).encode())
    hashes = hash_pandas_object(rows, index=False)  # pyright: ignore[reportCallIssue] (its stub is a module)
    digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()[:32]
