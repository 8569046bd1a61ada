"""Files written whole or not at all, folders, and JSON read back with its faults said in one line."""

import contextlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: it can't be made; the message says what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"can't make {path}: {error.strerror}; name another place") from error


def read_json(directory: Path, name: str, what: str = "run") -> dict:
    """Read one JSON file of the run, or whatever `what` says, in `directory`.

    Raises:
        ValueError: there is no run, or the file is damaged.
    """
    path = directory / name
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ValueError(
            f"{directory} holds no {what} ({name} is missing); name a directory that --out made"
        ) from error
    except NotADirectoryError as error:
        raise ValueError(f"{directory} is not a directory; name one that --out made") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); name another {what}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged (it holds no object); name another {what}")
    return value


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under a temporary name, then rename it to `path`; leave nothing when it fails.

    A link is followed, and what is no plain file (a pipe, a device) is written to as it is, never replaced.
    """
    if path.is_dir():
        raise OSError(f"can't write {path}: it is a directory; name a file")
    if path.exists() and not path.is_file():
        write(path)
        return
    path = path.resolve() if path.is_symlink() else path
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"can't write {path}: {error.strerror or error}; name another place") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Return `value` with None for every number in it that JSON can't hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
