"""Files written whole or not at all, folders, and JSON read back with its faults said in one line.

Invariant: JSON that was written here is read only as it was written: a checksum beside its values tells what changed.
"""

import contextlib
import glob
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LEFTOVER_SECONDS = 86400.0
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # nor wait for a pipe
LARGEST, DEEPEST = 2**24, 50  # bytes of a JSON file of ours, and levels in it: more than any has
TOO_DEEP = "it is nested too deeply"
CHECKSUM = "checksum"  # the entry of a JSON object that tells its other entries from any others


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: it can't be made; the message says what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"can't make {path}: {error.strerror}; name another place") from error


def write_json(path: Path, value: Mapping[str, Any], ascii: bool = True) -> None:
    """Write `value` as a JSON object, with null for every number that is not finite, and its checksum as last entry.

    Raises:
        OSError: it can't be written.
    """
    plain = finite(value)
    sealed = plain | {CHECKSUM: _checksum(json.loads(json.dumps(plain)))}
    text = json.dumps(sealed, indent=2, ensure_ascii=ascii, allow_nan=False) + "\n"
    replace(path, lambda partial: partial.write_text(text, encoding="utf-8"), follow=False)


def read_json(directory: Path, name: str, what: str = "run") -> dict:
    """Read one JSON file of the run, or whatever `what` says, in `directory`.

    Raises:
        ValueError: there is no run, or the file is damaged, or another than was written.
    """
    path = directory / name
    try:
        return parsed_json(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"{directory} holds no {what} ({name} is missing); name a directory that --out made"
        ) from error
    except NotADirectoryError as error:
        raise ValueError(f"{directory} is not a directory; name one that --out made") from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); bring it back as it was, or name another {what}") from error


def parsed_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, without its checksum, which must be right where there is one.

    Raises:
        ValueError: it is no regular file, no JSON, no object, or has changed since it was written; without its name.
        OSError: it can't be read.
    """
    there = path.stat()
    if not stat.S_ISREG(there.st_mode):
        raise ValueError("it is a directory" if path.is_dir() else "it is no regular file")
    if there.st_size > LARGEST:
        raise ValueError(f"it has {there.st_size:,} bytes, and {LARGEST:,} are allowed")
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole, parse_float=_real, parse_constant=_real)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    if _deeper(value, DEEPEST):
        raise ValueError(TOO_DEEP)
    if value.pop(CHECKSUM, None) not in (None, _checksum(value)):
        raise ValueError("it has changed since it was written")
    return value


def _whole(digits: str) -> int:
    """Read a whole number that a float can hold too."""
    _real(digits)
    return int(digits)


def _real(digits: str) -> float:
    """Read a number that is finite, as all are that are written here."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it holds a number that is too large, of {len(digits)} characters")
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Tell whether lists and objects lie within each other on more than so many levels."""
    here = [value]
    for _ in range(levels):
        lists = [each.values() if isinstance(each, dict) else each for each in here if isinstance(each, dict | list)]
        here = [inner for each in lists for inner in each]
        if not here:
            return False
    return any(isinstance(each, dict | list) for each in here)


def _checksum(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def read_plain(path: Path) -> bytes | None:
    """Return what a regular file holds; None where its name is that of a link or of anything else.

    Raises:
        OSError: it is not there, or can't be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    return path.read_bytes()


def remove(path: Path) -> None:
    """Remove whatever has this name: a file, a link (not what it points to), a folder; nothing where that fails."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def replace(path: Path, write: Callable[[Path], object], follow: bool = True) -> None:
    """Let `write` make the file under a temporary name, then rename it to `path`; leave nothing when it fails.

    The file is on the disk before it has its name, so a power failure leaves the old file or the new one. What a killed
    writer of this path has left is removed. A link is followed, and what is no plain file (a pipe, a device) is written
    to as it is, never replaced; unless `follow` is False: then whatever is there but a folder is replaced.
    """
    if path.is_symlink() and not follow:
        remove(path)
    if path.is_dir():
        raise OSError(f"can't write {path}: it is a directory; name a file")
    if follow and path.exists() and not path.is_file():
        write(path)
        return
    path = path.resolve() if path.is_symlink() else path
    try:
        remove_leftovers(path.parent, path.name)
        with _partial(path) as (partial, file):
            write(partial)
            os.fsync(file)
            os.replace(partial, path)
        _sync(path.parent)
    except OSError as error:
        raise OSError(f"can't write {path}: {error.strerror or error}; name another place") from error


def check_place(path: Path) -> None:
    """Make the folder of `path`, and see that a file can be written there, before anything is computed for it.

    Raises:
        OSError: it can't; the message says what to do.
    """
    make_folder(path.parent)
    if path.is_dir():
        raise OSError(f"can't write {path}: it is a directory; name a file")
    if path.exists() and not path.is_file():
        return
    try:
        with _partial(path.resolve() if path.is_symlink() else path):
            pass
    except OSError as error:
        raise OSError(f"can't write {path}: {error.strerror or error}; name another place") from error


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[tuple[Path, int]]:
    """Make a temporary file beside `path`, and hold its lock, which says that its writer lives."""
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
        file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # the bits that any new file gets
        if _locked(file) is False or os.fstat(file).st_nlink:
            break
        os.close(file)  # removed as a leftover before it was locked
    try:
        yield partial, file
    finally:
        os.close(file)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers of the file `name`, or of any, left in a folder, and nothing of those that live.

    Where the system has no locks, who lives is not known: what is a day old goes.
    """
    for leftover in folder.glob(f"{'*' if name is None else glob.escape(name)}.*.partial"):
        with contextlib.suppress(OSError):
            file = os.open(leftover, os.O_RDWR | NOFOLLOW)
            try:
                held = _locked(file)
                if held or (held is None and time.time() - os.fstat(file).st_mtime > LEFTOVER_SECONDS):
                    leftover.unlink(missing_ok=True)
            finally:
                os.close(file)


def _locked(file: int) -> bool | None:
    """Take the lock of an open file, which the system gives back at its end: False if another has it, None if none."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def finite(value: Any) -> Any:
    """Return `value` with None for every number in it that JSON can't hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
