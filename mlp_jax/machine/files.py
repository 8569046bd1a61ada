"""Write files completely or not at all, make folders, and read JSON back, with its faults told in one line.

Invariant: JSON that was written here is read only if it has not changed since: a checksum beside its values tells.
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
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # follow no link, wait for no pipe
LARGEST, DEEPEST = 2**24, 50  # limits of a JSON file: bytes, and levels of nesting; none comes near
TOO_DEEP = "it is nested too deeply"
CHECKSUM = "checksum"  # the entry of a JSON object with the checksum of its other entries


def make_folder(path: Path) -> None:
    """Make a folder and the folders above it, if they are missing.

    Raises:
        OSError: the folder can't be made; the message says what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"can't make {path}: {error.strerror}; name another place") from error


def write_json(path: Path, value: Mapping[str, Any], ascii: bool = True) -> None:
    """Write `value` as a JSON object, with null for every number that is not finite, and a checksum as last entry.

    Raises:
        OSError: it can't be written.
    """
    plain = finite(value)
    sealed = plain | {CHECKSUM: _checksum(json.loads(json.dumps(plain)))}
    text = json.dumps(sealed, indent=2, ensure_ascii=ascii, allow_nan=False) + "\n"
    replace(path, lambda partial: partial.write_text(text, encoding="utf-8"), follow=False)


def read_json(directory: Path, name: str, what: str = "run") -> dict:
    """Read one JSON file in the directory of a run, or of something else that `what` names in messages.

    Raises:
        ValueError: the directory holds no run, or the file is damaged or has changed since it was written.
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
    """Return the object in a JSON file, without its checksum, which must be right if there is one.

    Raises:
        ValueError: it is no regular file, no JSON, no object, or has changed since it was written; the message does not
            name the file.
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
    """Read a whole number, which must be small enough for a float."""
    _real(digits)
    return int(digits)


def _real(digits: str) -> float:
    """Read a number, which must be finite, like all numbers that are written here."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it holds a number that is too large, of {len(digits)} characters")
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Tell whether lists and objects are nested more than so many levels deep."""
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
    """Return the content of a regular file; None if the path is a link or anything else.

    Raises:
        OSError: nothing is there, or it can't be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    return path.read_bytes()


def remove(path: Path) -> None:
    """Remove whatever has this path: a file, a link (not its target) or a folder; ignore a failure."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def replace(path: Path, write: Callable[[Path], object], follow: bool = True) -> None:
    """Let `write` make the file under a temporary name, then rename it to `path`; if that fails, nothing is left.

    The file is on disk before it is renamed, so a power failure leaves the old file or the new one. Files that a killed
    writer of this path has left are removed. A link is followed, and something that is no regular file (a pipe, a
    device) is written to but never replaced: that is for paths which a person names. With `follow` False, anything at
    `path` but a folder is replaced.
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
    """Make the folder of `path`, and check that a file can be written there, before anything is computed for it.

    Raises:
        OSError: no file can be written there; the message says what to do.
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
    """Make a temporary file beside `path`, and hold its lock, which shows that its writer is alive."""
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
        file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # the permissions of any new file
        if _locked(file) is False or os.fstat(file).st_nlink:
            break
        os.close(file)  # another process removed it as a leftover before it was locked
    try:
        yield partial, file
    finally:
        os.close(file)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove temporary files that killed writers of `name` (None: of any file) left in a folder.

    Files of writers that are alive stay. On a system without locks, files that are a day old are removed.
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
    """Try to lock an open file until it is closed: False if another process holds the lock, None without locks."""
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
    """Write the names in a folder to the disk, if the system can do that."""
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def finite(value: Any) -> Any:
    """Return `value` with None in place of every number that JSON can't hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
