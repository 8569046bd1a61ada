"""JAX's cache of compiled programs, with entries that say which program they hold and whether they are complete.

Invariant: a program is read only from an undamaged entry that was written for it; a damaged one is removed, with one
warning, and made anew. An entry gets its name only when it is completely on disk.
"""

import contextlib
import hashlib
import warnings
from pathlib import Path

from mlp_jax.machine import files

SUFFIX = ".program"
SEAL_BYTES = 32
_sealed: set[Path] = set()


class SealedCache:
    """The methods that JAX needs of a cache (`get`, `put`, `clear`), for a directory that processes may share."""

    def __init__(self, directory: Path) -> None:
        self._path = directory
        self._said = False

    def get(self, key: str) -> bytes | None:
        """Return the program stored under `key`; None if there is none, or it is damaged."""
        path = self._path / (key + SUFFIX)
        content = None
        with contextlib.suppress(FileNotFoundError):
            content = files.read_plain(path)
            if content is not None and content[:SEAL_BYTES] == _seal(key, content[SEAL_BYTES:]):
                return content[SEAL_BYTES:]
            self._remove(path)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Store a program under `key`."""
        files.replace(self._path / (key + SUFFIX), lambda partial: partial.write_bytes(_seal(key, value) + value))

    def clear(self) -> None:
        """Do nothing: entries are checked whenever they are read."""

    def _remove(self, path: Path) -> None:
        files.remove(path)
        if not self._said:
            warnings.warn(f"a compiled program in {path.parent} was damaged: it is made anew", stacklevel=2)
        self._said = True


def install(directory: Path) -> None:
    """Let JAX keep its programs in `directory` as a SealedCache, or in its own way if this JAX can't be told to."""
    from jax._src import compilation_cache

    plain = getattr(compilation_cache, "get_file_cache", None)
    if plain is None or directory in _sealed:
        return
    if not _sealed:
        choose = lambda path: (SealedCache(Path(path)), path) if Path(path) in _sealed else plain(path)
        compilation_cache.get_file_cache = choose  # pyright: ignore[reportAttributeAccessIssue]
    _sealed.add(directory)


def _seal(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + value).digest()
