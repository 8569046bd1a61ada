"""What is said of a file that was looked at: whether it is what was written, and what that means."""

from pathlib import Path
from typing import NamedTuple

from mlp_jax.machine import files


class Looked(NamedTuple):
    """A file or folder that was looked at; `wrong` where it is not what it should be."""

    path: Path
    said: str
    wrong: bool = False


def of_json(directory: Path, name: str, what: str) -> Looked:
    """Look at a JSON file."""
    try:
        files.read_json(directory, name, what)
    except (ValueError, OSError) as error:
        return Looked(directory / name, str(error), wrong=True)
    return Looked(directory / name, "sound")
