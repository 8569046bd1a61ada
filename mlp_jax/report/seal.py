"""The last line of a page: a hash of what it was made from, and a checksum of all lines above.

Invariant: the hash is used only if the page is undamaged.
"""

import hashlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from mlp_jax.machine.soundness import Looked
from mlp_jax.study import contents
from mlp_jax.study.plan import digest
from mlp_jax.training import prediction

_LINE = re.compile(r"<!-- made from ([0-9a-f]*); sha256 ([0-9a-f]{64}) -->\n")


def sealed(text: str, state: str) -> str:
    """Return the text of a page with a last line that says it was made from `state`, a hash."""
    text = text.rstrip("\n") + "\n"
    return f"{text}<!-- made from {state}; sha256 {_checksum(text)} -->\n"


def made_from(page: Path | str) -> str | None:
    """Return the hash of what a page (or its text) was made from; None if it is missing, unsealed or damaged."""
    try:
        text = page if isinstance(page, str) else page.read_bytes().decode() if page.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return None
    end = text.rfind("<!--")
    found = _LINE.fullmatch(text[end:]) if end >= 0 else None
    return found[1] if found and found[2] == _checksum(text[:end]) else None


def state(read: Sequence[str], options: Sequence[str] = ()) -> str:
    """Return the hash of what a page is made from: the states of its studies, and the options of its command."""
    return digest([*read, *options])


def run_state(directory: Path) -> str:
    """Return the hash of what the page of a run is made from: its configuration, model and history.

    Raises:
        ValueError, OSError: one of the files is missing or damaged.
    """
    history = directory / "metrics.parquet"
    if not history.is_file():  # a pipe has no end that can be waited for, and a link to /dev/zero none at all
        raise ValueError(f"{history} is no regular file")
    return state([prediction.identity(directory), hashlib.sha256(history.read_bytes()).hexdigest()])


def check_run(directory: Path) -> list[Looked]:
    """Check whether the page of a run is undamaged, and made from the history that exists now."""
    path = directory / prediction.PAGE
    if not path.exists():
        return []
    if (made := made_from(path)) is None:
        return [Looked(path, "is damaged; train --resume writes it again", wrong=True)]
    try:
        new = made == run_state(directory)
    except (ValueError, OSError):
        return [Looked(path, "sound; what it was made from can't be read now")]
    return [
        Looked(path, "sound" if new else "sound, but not made from what is there now; train --resume writes it again")
    ]


def check(directory: Path) -> list[Looked]:
    """Check whether the page of a study is undamaged, and made from the parts that exist now."""
    path = directory / "report.html"
    if not path.exists():
        return []
    if (made := made_from(path)) is None:
        return [Looked(path, "is damaged, or of an older version; mlp-jax report writes it again", wrong=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            new = made == state([contents.read_all(directory, lambda *_: None).state])
        except ValueError:
            return [Looked(path, "sound; what it was made from can't be read now")]
    return [Looked(path, "sound" if new else "sound, but not made from what is there now as the study asks it")]


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
