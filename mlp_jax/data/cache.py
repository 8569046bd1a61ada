"""Arrays kept as .npy in the user's cache directory and memory-mapped when they are wanted again.

Invariant: a cached file is whole, since it is renamed into place; a cache that can't be written costs time, not a run.
"""

import contextlib
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlp_jax.machine import cache, files


def cached(key: str, read: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays filed under `key`, memory-mapped; the first time `read` makes them.

    `key` says all that decides the arrays. When they can't be filed, warn and return what `read` made.
    """
    try:
        directory = _directory(key)
        with contextlib.suppress(FileNotFoundError, ValueError, EOFError):
            return _load(directory)
    except OSError as error:
        warnings.warn(f"data is not cached: {error}", stacklevel=2)
        return read()
    arrays = read()
    try:
        _save(directory, arrays)
        return _load(directory)
    except OSError as error:
        warnings.warn(f"data is not cached: {error}", stacklevel=2)
        return arrays


def held(key: str) -> Path | None:
    """Return the folder of the arrays that are filed under `key`, or None when they are not, or not all of them."""
    directory = _directory(key)
    return directory if (directory / "names").exists() else None


def _directory(key: str) -> Path:
    return cache.cache_directory("data") / hashlib.sha256(key.encode()).hexdigest()[:24]


def _load(directory: Path) -> dict[str, np.ndarray]:
    names = (directory / "names").read_text().split()
    return {name: np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}


def _save(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write every array, then the list of their names, which makes them count."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, array in arrays.items():
        files.replace(directory / f"{name}.npy", lambda path, array=array: _write(path, array))
    files.replace(directory / "names", lambda path: path.write_text(" ".join(arrays)))


def _write(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # given a path, NumPy would add .npy
        np.save(file, array, allow_pickle=False)
