"""Data sets by name: embedded, local or downloaded, split, and ready to be normalised.

Invariant: no reader knows of splits or scaling, and no one above this room knows where data came from.
"""

import difflib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlp_jax.data import downloads, embedded, files, idx
from mlp_jax.data.dataset import DataError, Dataset, Source, Split, divide

__all__ = ["DataError", "Dataset", "Split", "catalogue", "describe", "load", "prepare"]

VARIABLE = "MLP_JAX_DATA_DIR"
FILES_MISSING = "put train-images-idx3-ubyte and the other three there"


class _Place(NamedTuple):
    """Where a data set is: how it is read, and the file or folder that holds it once it has been read."""

    read: Callable[[], Source]
    path: Callable[[], Path]


def load(
    name: str,
    *,
    data_dir: Path | str | None = None,
    target: str | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    split_seed: int = 0,
    scaling: str = "auto",
    target_scaling: str = "none",
) -> Dataset:
    """Load a data set.

    Args:
        name: a name from `catalogue()`, any name of the tensorflow-datasets catalogue, or the path of file.npz (arrays
            x and y), file.csv (with a header) or a folder with the four IDX files.
        data_dir: folder with the IDX files of `name`, or the folder above it; $MLP_JAX_DATA_DIR when it is None.
        target: the CSV column to predict.
        validation: part of the training examples held out, a fraction below 1 or a count.
        test: the same for a test part, where the data set has none of its own.
        split_seed: the splits are a function of this and the data alone.
        scaling: unit | standard | none, or auto: unit for images, standard for other features.
        target_scaling: for real targets: none | standard (mean 0, standard deviation 1) | scale (divided by it).

    Raises:
        DataError: the data can't be had or can't be used.
    """
    source = _find(str(name), data_dir, target).read()
    parts = {"validation": validation, "test": test, "split_seed": split_seed}
    return divide(source, name=str(name), **parts, scaling=scaling, target_scaling=target_scaling)


def catalogue() -> list[dict[str, str]]:
    """List what can be loaded by name: its task and where it comes from; needs no network."""
    listed = [{"name": name, "task": known.task, "source": "embedded"} for name, known in embedded.SETS.items()]
    missing = f"not in ${VARIABLE}" if os.environ.get(VARIABLE) else "tensorflow-datasets"
    for name in downloads.FAMILY:
        where = "local folder" if _local(name, None) else missing
        listed.append({"name": name, "task": "multiclass", "source": where})
    return listed


def prepare(name: str, *, data_dir: Path | str | None = None, target: str | None = None) -> Path:
    """Read a data set once, downloading it if it must be, and return the file or folder that holds it.

    That is a file inside scikit-learn for an embedded data set, the file or folder itself for a local one, and a folder
    in the user's cache for one that is downloaded.

    Raises:
        DataError: as `load`, or what was downloaded can't be kept.
    """
    place = _find(str(name), data_dir, target)
    place.read()
    return place.path()


def describe(dataset: Dataset) -> dict:
    """Describe a data set in plain values: task, shapes, classes, and how many examples of each class are where."""
    splits = {part: getattr(dataset, part) for part in ("train", "validation", "test")}
    described = {
        "name": dataset.name,
        "task": dataset.task,
        "shape": list(dataset.shape),
        "inputs": dataset.inputs,
        "dtype": str(dataset.train.x.dtype),
        **{part: len(split.y) for part, split in splits.items()},
    }
    if dataset.classes:
        k = len(dataset.classes)
        counts = {part: np.bincount(split.y, minlength=k).tolist() for part, split in splits.items()}
        return described | {"classes": list(dataset.classes), "class_counts": counts}
    unit = dataset.train.y * dataset.target_scale + dataset.target_center
    return described | {
        "target_min": float(unit.min()),
        "target_mean": float(unit.mean()),
        "target_max": float(unit.max()),
    }


def _find(name: str, data_dir: Path | str | None, target: str | None) -> _Place:
    path = Path(name)
    if not name:
        raise DataError("the data set has no name; see mlp-jax data list, or give a path")
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"data_dir {str(data_dir)!r} is not a folder; name one that exists")
    if name in embedded.SETS:
        return _Place(partial(embedded.read, name), partial(embedded.path, name))
    if path.suffix in (".npz", ".csv"):
        if not path.is_file():
            raise DataError(f"{name} is not a file; give the path of one")
        read = partial(files.read_npz, path) if path.suffix == ".npz" else partial(files.read_csv, path, target)
        return _Place(read, lambda: path)
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
        near = difflib.get_close_matches(name, [*embedded.SETS, *downloads.FAMILY, *known], 3)
        mean = f"did you mean {' or '.join(near)}?" if near else f"{', '.join(embedded.SETS)} need no download;"
        raise DataError(f"unknown data set {name!r}; {mean} see mlp-jax data list, or give a path")
    return _Place(partial(downloads.read_any, name), partial(downloads.path, name))


def _check_variable(name: str) -> None:
    """Refuse to download what $MLP_JAX_DATA_DIR should hold and does not."""
    given = os.environ.get(VARIABLE)
    if given and not Path(given).is_dir():
        raise DataError(f"${VARIABLE} holds {given!r}, which is not a folder; name one that exists, or unset it")
    if given and name in downloads.FAMILY:
        raise DataError(
            f"${VARIABLE} holds {given!r}, a folder without {name}'s IDX files; put train-images-idx3-ubyte and the "
            f"other three into {Path(given) / name}, or unset it to download them"
        )


def _local(name: str, data_dir: Path | str | None) -> dict[str, Path] | None:
    """Return the IDX files of `name` in data_dir, in the folder below it that has its name, or in `name` itself."""
    given = data_dir or os.environ.get(VARIABLE)
    candidates = [Path(name)] if Path(name).is_dir() else []
    if given and Path(given).is_dir():
        explicit = [Path(given)] if data_dir is not None or Path(given).name == name else []
        candidates = [Path(given) / name, *explicit, *candidates]
    return next((found for folder in candidates if folder.is_dir() and (found := idx.find(folder))), None)
