"""The data sets that scikit-learn ships in its package, read from its files without download or import.

Importing scikit-learn takes longer than reading any of them.
"""

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlp_jax.data.dataset import Source
from mlp_jax.data.errors import DataError


class Embedded(NamedTuple):
    """A data set of scikit-learn: its file (the inputs', if there are two), its task, and a function that reads it."""

    file: str
    task: str
    read: Callable[[str], Source]


def read(name: str) -> Source:
    """Read one of SETS.

    Raises:
        DataError: scikit-learn is not installed.
    """
    return SETS[name].read(SETS[name].file)


def path(name: str) -> Path:
    """Return the file inside scikit-learn that holds one of SETS.

    Raises:
        DataError: scikit-learn is not installed.
    """
    return _file(SETS[name].file)


def _file(name: str) -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the embedded data sets are scikit-learn's, which is not installed; run pip install scikit-learn"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name


def _table(name: str, skip: int = 0, delimiter: str | None = ",") -> np.ndarray:
    content = _file(name).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    return np.loadtxt(content.decode().splitlines(), delimiter=delimiter, skiprows=skip)


def _digits(file: str) -> Source:
    table = _table(file)
    x, y = table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int32)
    return Source(x, y, None, (8, 8), tuple("0123456789"), 16)


def _classes(classes: str) -> Callable[[str], Source]:
    def read_table(file: str) -> Source:
        table = _table(file, skip=1)
        x, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int32)
        return Source(x, y, None, x.shape[1:], tuple(classes.split()), 0)

    return read_table


def _diabetes(file: str) -> Source:
    x = _table(file, delimiter=None).astype(np.float32)
    y = _table("diabetes_target.csv.gz", delimiter=None).astype(np.float32)
    return Source(x, y, None, x.shape[1:], (), 0)


SETS = {
    "digits": Embedded("digits.csv.gz", "multiclass", _digits),
    "breast_cancer": Embedded("breast_cancer.csv", "binary", _classes("malignant benign")),
    "diabetes": Embedded("diabetes_data_raw.csv.gz", "regression", _diabetes),
    "iris": Embedded("iris.csv", "multiclass", _classes("setosa versicolor virginica")),
    "wine": Embedded("wine_data.csv", "multiclass", _classes("class_0 class_1 class_2")),
}
