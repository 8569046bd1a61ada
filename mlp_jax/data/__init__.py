"""Data sets by name: embedded, local or downloaded, split, and ready to be normalised.

Invariant: readers do not split or scale, and code above this room does not need to know where data came from.
"""

import difflib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mlp_jax.checks import build
from mlp_jax.data import downloads, embedded, idx, inmemory, kept
from mlp_jax.data.cache import cached
from mlp_jax.data.dataset import Column, Dataset, Source, Split
from mlp_jax.data.description import describe, sentence
from mlp_jax.data.errors import DataError
from mlp_jax.data.options import Options
from mlp_jax.data.splits import divide
from mlp_jax.data.table import is_table

__all__ = ["Column", "DataError", "Dataset", "Options", "Split", "catalogue", "describe", "load", "prepare", "sentence"]

VARIABLE = "MLP_JAX_DATA_DIR"
CACHED_BYTES = 4_000_000  # reading a smaller table takes no longer than finding it in the cache
FILES_MISSING = "put train-images-idx3-ubyte and the other three there"


class _Place(NamedTuple):
    """Where a data set is: the function that reads it, and the file or folder that holds it after that."""

    read: Callable[[], Source]
    path: Callable[[], Path]


def load(
    name: str,
    *,
    data_dir: Path | str | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    split_seed: int = 0,
    stratify: bool = False,
    class_weight: str = "none",
    scaling: str = "auto",
    target_scaling: str = "none",
    **options: Any,
) -> Dataset:
    """Load a data set: its three splits, and the constants that normalise them.

    >>> dataset = load("iris")
    >>> dataset.classes, dataset.train.x.shape
    (('setosa', 'versicolor', 'virginica'), (108, 4))

    Args:
        name: a name from `catalogue()`, any name of the tensorflow-datasets catalogue, or the path of file.npz, of
            file.csv (.tsv, .txt, compressed or not) or of a folder with the four IDX files.
        data_dir: folder with the IDX files of `name`, or the folder above it; $MLP_JAX_DATA_DIR when it is None.
        validation: how many training examples to hold out, as a fraction below 1 or a count, if the data set has no
            validation part of its own.
        test: the same for the test part.
        split_seed: the splits depend on this seed and the data alone.
        stratify: give each part its share of every class.
        class_weight: none, or balanced: all classes count the same in training.
        scaling: unit | standard | none, or auto: unit for images, standard for other features.
        target_scaling: for real targets: none | standard (mean 0, standard deviation 1) | scale (divided by it).
        options: fields of `Options`, for tables and archives: column, task, drop, separator, decimal, header, missing.

    Raises:
        DataError: the data can't be found, downloaded or used.
        ValueError: an option is unknown or its value is not allowed.
    """
    asked = build(Options, "the options of a data set", options, key="option")
    if (made := inmemory.find(str(name))) is not None:
        return made
    source = _find(str(name), data_dir, asked).read()
    how: dict[str, Any] = {"validation": validation, "test": test, "split_seed": split_seed, "stratify": stratify}
    how |= {"class_weight": class_weight}
    how |= {"scaling": scaling, "target_scaling": target_scaling, "missing": asked.missing}
    return divide(source, name=str(name), **how)


def catalogue() -> list[dict[str, str]]:
    """List the data sets that can be loaded by name, with task and source; needs no network.

    >>> [entry["name"] for entry in catalogue() if entry["source"] == "embedded"]
    ['digits', 'breast_cancer', 'diabetes', 'iris', 'wine']
    """
    listed = [{"name": name, "task": known.task, "source": "embedded"} for name, known in embedded.SETS.items()]
    missing = f"not in ${VARIABLE}" if os.environ.get(VARIABLE) else "tensorflow-datasets"
    for name in downloads.FAMILY:
        where = "local folder" if _local(name, None) else missing
        listed.append({"name": name, "task": "multiclass", "source": where})
    return listed


def prepare(name: str, *, data_dir: Path | str | None = None, **options: Any) -> Path:
    """Read a data set once, after downloading it if necessary, and return the file or folder that holds it.

    For an embedded data set that is a file inside scikit-learn, for a local one the file or folder itself, and for a
    downloaded one a folder in the user's cache.

    >>> prepare("wine").name
    'wine_data.csv'

    Raises:
        DataError: as `load`, or the downloaded data can't be stored.
    """
    place = _find(str(name), data_dir, build(Options, "the options of a data set", options, key="option"))
    place.read()
    return place.path()


def _find(name: str, data_dir: Path | str | None, options: Options) -> _Place:
    path = Path(name)
    if not name:
        raise DataError("the data set has no name; see mlp-jax data list, or give a path")
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"data_dir {str(data_dir)!r} is not a folder; name one that exists")
    if name in embedded.SETS:
        return _Place(partial(embedded.read, name), partial(embedded.path, name))
    if (archive := path.suffix.lower() == ".npz") or (is_table(path) and not path.is_dir()):
        if not path.is_file():
            what = "a folder, not a file" if path.is_dir() else "not a file"
            raise DataError(f"{name} is {what}; give the path of one")
        return _Place(partial(_read_archive if archive else _read_table, path, options), lambda: path)
    if local := _local(name, data_dir):
        return _Place(partial(idx.read_folder, local, name), lambda: local["x"].parent)
    if data_dir is not None:
        raise DataError(f"{data_dir} holds no IDX files of {name!r}; {FILES_MISSING}")
    if path.is_dir():
        raise DataError(f"{name} holds no IDX files; {FILES_MISSING}")
    if path.suffix or (os.sep in name and not name.split(os.sep)[0].isidentifier()):
        raise DataError(
            f"{name} can't be read; give a name from mlp-jax data list, file.npz, file.csv or a folder with IDX files"
        )
    _check_variable(name)
    if name in downloads.FAMILY:
        return _Place(partial(downloads.read_family, name), partial(downloads.path, name))
    if name.split("/")[0].split(":")[0] not in (known := downloads.names()):
        near = difflib.get_close_matches(name, dict.fromkeys([*embedded.SETS, *downloads.FAMILY, *known]), 3)
        mean = f"did you mean {' or '.join(near)}?" if near else f"{', '.join(embedded.SETS)} need no download;"
        raise DataError(f"unknown data set {name!r}; {mean} see mlp-jax data list, or give a path")
    return _Place(partial(downloads.read_any, name), partial(downloads.path, name))


def _read_archive(path: Path, options: Options) -> Source:
    from mlp_jax.data.npz import read_npz

    return read_npz(path, options)


def _read_table(path: Path, options: Options) -> Source:
    """Read a table; the result of a large one is cached until the file changes."""
    from mlp_jax.data import columns, table

    read = lambda: columns.read(table.read_table(path, options), options)
    stat = path.stat()
    if stat.st_size < CACHED_BYTES:
        return read()
    key = f"table {path.resolve()} {stat.st_size} {stat.st_mtime_ns} {options}"
    return kept.restored(cached(key, lambda: kept.arrays(read())))


def _check_variable(name: str) -> None:
    """Refuse to download a data set if $MLP_JAX_DATA_DIR is set but does not hold it."""
    given = os.environ.get(VARIABLE)
    if given and not Path(given).is_dir():
        raise DataError(f"${VARIABLE} holds {given!r}, which is not a folder; name one that exists, or unset it")
    if given and name in downloads.FAMILY:
        raise DataError(
            f"${VARIABLE} holds {given!r}, a folder without {name}'s IDX files; put train-images-idx3-ubyte and the "
            f"other three into {Path(given) / name}, or unset it to download them"
        )


def _local(name: str, data_dir: Path | str | None) -> dict[str, Path] | None:
    """Return the IDX files of `name` from data_dir, from the folder `name` in it, or from the folder `name` itself."""
    given = data_dir or os.environ.get(VARIABLE)
    candidates = [Path(name)] if Path(name).is_dir() else []
    if given and Path(given).is_dir():
        explicit = [Path(given)] if data_dir is not None or Path(given).name == name else []
        above = (
            [Path(given).joinpath(*name.split("/")[:-1])] if "/" in name else []
        )  # all parts of EMNIST in one folder
        candidates = [Path(given) / name, *explicit, *above, *candidates]
    return next((found for folder in candidates if folder.is_dir() and (found := idx.find(folder, name))), None)
