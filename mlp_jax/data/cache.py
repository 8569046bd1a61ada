"""Arrays stored as .npy in the user's cache directory, and memory-mapped when they are needed again.

Invariant: the arrays that are read are those that were stored, bit for bit. A damaged entry is made anew, and a cache
that can't be written costs time but stops no run.
"""

import contextlib
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.machine import cache, files

NAMES = "arrays.json"  # type, shape and checksum of each array; written last, it makes the entry valid


def cached(key: str, read: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays stored under `key`, memory-mapped; the first time, `read` makes them.

    `key` must name everything on which the arrays depend. If they can't be stored, warn and return what `read` made.
    """
    try:
        directory = _directory(key)
        try:
            return _load(directory)
        except FileNotFoundError:
            damage = ""
        except (ValueError, EOFError, IsADirectoryError) as error:
            damage = f"the data in {directory} are damaged ({error}): they are made again"
    except OSError as error:
        warnings.warn(f"data is not cached: {error}", stacklevel=2)
        return read()
    if damage:
        warnings.warn(damage, stacklevel=2)
    arrays = read()
    try:
        _save(directory, arrays)
        return _load(directory)
    except OSError as error:
        warnings.warn(f"data is not cached: {error}", stacklevel=2)
        return arrays


def held(key: str) -> Path | None:
    """Return the folder of the arrays stored under `key`, or None if they are not all stored."""
    directory = _directory(key)
    return directory if (directory / NAMES).is_file() else None


def _directory(key: str) -> Path:
    return cache.cache_directory("data") / sha256(key.encode()).hexdigest()[:24]


def _load(directory: Path) -> dict[str, np.ndarray]:
    said = files.parsed_json(directory / NAMES)
    arrays = {name: _mapped(directory / f"{name}.npy") for name in said}
    for name, array in arrays.items():
        if _description(array) != said[name]:
            raise ValueError(f"{name}.npy is not as it was written")
    return arrays


def _mapped(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path.name} is {'no file' if path.exists() else 'missing'}")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _description(array: np.ndarray) -> dict[str, Any]:
    """Return the type, shape and checksum of an array, from which damage can be told."""
    content = sha256(np.ascontiguousarray(array).data).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": content}


def _save(directory: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write every array, then their descriptions, which make the entry valid; remove what else has these names."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (directory / "names").unlink()  # left by an older version, without checksums
    for name in (NAMES, *(f"{name}.npy" for name in arrays)):
        if not (directory / name).is_file():
            files.remove(directory / name)
    for name, array in arrays.items():
        files.replace(directory / f"{name}.npy", lambda path, array=array: _write(path, array), follow=False)
    files.write_json(directory / NAMES, {name: _description(array) for name, array in arrays.items()})


def _write(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # given a path, NumPy would add .npy
        np.save(file, array, allow_pickle=False)
