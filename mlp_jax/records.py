"""What a run leaves on disk: config.json, environment.json, model.json, metrics.parquet, checkpoints in one directory.

Invariant: every file is written under a temporary name and renamed, so a reader never meets half of one; a directory
that holds another run is never touched.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlp_jax import config as configs
from mlp_jax.config import Config


class Records:
    """The directory of one run.

    Raises:
        ValueError: the path is a file, holds something else, or holds a run that must not go on: another
            configuration, or the same without `resume`.
        OSError: it can't be written.
    """

    def __init__(self, directory: Path, config: Config, resume: bool) -> None:
        self.directory = directory
        if directory.exists():
            self._check(config, resume)
        make_folder(directory)
        self.write_json("config.json", configs.to_dict(config))

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.directory / "checkpoints"

    def write_json(self, name: str, value: dict) -> None:
        """Write `value`, with null for every number that is not finite."""
        text = json.dumps(finite(value), indent=2, allow_nan=False) + "\n"
        replace(self.directory / name, lambda path: path.write_text(text))

    def write_metrics(self, rows: list[dict]) -> None:
        """Write metrics.parquet, a row per evaluation."""
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist(rows)
        replace(self.directory / "metrics.parquet", lambda path: pyarrow.parquet.write_table(table, path))

    def _check(self, config: Config, resume: bool) -> None:
        if not self.directory.is_dir():
            raise ValueError(f"--out {self.directory} is a file; name a new directory")
        if not any(entry for entry in self.directory.iterdir() if not entry.name.endswith(".partial")):
            return
        before = read_json(self.directory, "config.json")
        after = json.loads(json.dumps(configs.to_dict(config)))
        if before != after:
            names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
            name = names[0]
            raise ValueError(
                f"--out {self.directory} holds a run of another configuration ({name} {before.get(name)!r} there, "
                f"{after.get(name)!r} here); name another directory"
            )
        if not resume:
            raise ValueError(f"--out {self.directory} holds this run already; add --resume to go on with it")


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
