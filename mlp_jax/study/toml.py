"""A study as the text of a study.toml, written by hand or by `--save-config`."""

import tomllib
from pathlib import Path

from mlp_jax.study.plan import Study, from_dict, to_dict


def to_toml(study: Study) -> str:
    """Return `study` as the text of a study.toml.

    >>> print(to_toml(Study(optimizers=("sgd",), batch_sizes=(8, "full"))).splitlines()[0])
    optimizers = ["sgd"]
    """
    import tomli_w

    plain = {name: value for name, value in to_dict(study).items() if value is not None and name != "versions"}
    plain["workload"] = {name: value for name, value in plain["workload"].items() if value is not None}
    text = tomli_w.dumps(plain)
    # put each list on one line, as people write it; texts contain no line breaks
    return text.replace("[\n    ", "[").replace(",\n    ", ", ").replace(",\n]", "]")


def from_toml(text: str) -> Study:
    """Return the Study that the text of a study.toml describes.

    >>> from_toml('optimizers = ["sgd"]').optimizers
    ('sgd',)

    Raises:
        ValueError: it is not TOML, a key is unknown, or a value is not allowed.
    """
    try:
        return from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the study is not TOML ({error})") from error


def from_file(path: Path) -> Study:
    """Read a study.toml.

    >>> study = from_file(Path("study.toml"))
    >>> study.optimizers, study.batch_sizes
    (('sgd', 'momentum'), (8, 32, 'full'))

    Raises:
        ValueError: as `from_toml`.
        OSError: it can't be read.
    """
    try:
        return from_toml(path.read_text(encoding="utf-8-sig"))  # editors on Windows may begin a file with a mark
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise OSError(f"can't read {path}: {error.strerror}; name a study.toml") from error
