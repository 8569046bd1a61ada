"""A study as the text of a study.toml, written by hand or by `--save-config`."""

import json
import tomllib
from pathlib import Path
from typing import Any

from mlp_jax.study.plan import Study, from_dict, to_dict


def to_toml(study: Study) -> str:
    """Return `study` as the text of a study.toml."""
    plain = to_dict(study)
    top = {k: v for k, v in plain.items() if k not in ("workload", "spaces") and v is not None}
    lines = [f"{key} = {_toml(value)}" for key, value in top.items()]
    lines += ["", "[workload]", *(f"{k} = {_toml(v)}" for k, v in plain["workload"].items() if v is not None)]
    for optimizer, of_optimizer in plain["spaces"].items():
        lines += ["", f"[spaces.{optimizer}]"]
        for name, space in of_optimizer.items():
            lines.append(f"{name} = {_toml(space)}")
    return "\n".join(lines) + "\n"


def from_toml(text: str) -> Study:
    """Undo `to_toml`.

    Raises:
        ValueError: it is not TOML, a key is unknown, or a value is not allowed.
    """
    try:
        return from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the study is not TOML ({error})") from error


def from_file(path: Path) -> Study:
    """Read a study.toml.

    Raises:
        ValueError: as `from_toml`.
        OSError: it can't be read.
    """
    try:
        return from_toml(path.read_text(encoding="utf-8-sig"))  # Windows' editors begin a file with a mark
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise OSError(f"can't read {path}: {error.strerror}; name a study.toml") from error


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML has no surrogates and no bare DEL
