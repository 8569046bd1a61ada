"""The result of checking a file: whether it is as it was written, and what that means."""

from pathlib import Path
from typing import NamedTuple

from mlp_jax.machine import files


class Looked(NamedTuple):
    """A file or folder that was checked; `wrong` if it is not as it should be."""

    path: Path
    said: str
    wrong: bool = False


def of_json(directory: Path, name: str, what: str) -> Looked:
    """Check a JSON file."""
    try:
        files.read_json(directory, name, what)
    except (ValueError, OSError) as error:
        return Looked(directory / name, str(error), wrong=True)
    return Looked(directory / name, "sound")
