"""The data sets that scikit-learn ships inside its package, read from its files: no download, and no import of it.

Importing scikit-learn takes longer than reading any of them.
"""

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import DataError, Source


def read(name: str) -> Source:
    """Read one of NAMES.

    Raises:
        DataError: scikit-learn is not installed.
    """
    return READERS[name]()


def _table(name: str, skip: int = 0, delimiter: str | None = ",") -> np.ndarray:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the embedded data sets are scikit-learn's, which is not installed; run pip install scikit-learn"
        )
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    return np.loadtxt(content.decode().splitlines(), delimiter=delimiter, skiprows=skip)


def _digits() -> Source:
    table = _table("digits.csv.gz")
    x, y = table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int32)
    return Source(x, y, None, (8, 8), tuple("0123456789"), 16)


def _classes(name: str, classes: str) -> Callable[[], Source]:
    def read_table() -> Source:
        table = _table(name, skip=1)
        x, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int32)
        return Source(x, y, None, x.shape[1:], tuple(classes.split()), 0)

    return read_table


def _diabetes() -> Source:
    x = _table("diabetes_data_raw.csv.gz", delimiter=None).astype(np.float32)
    y = _table("diabetes_target.csv.gz", delimiter=None).astype(np.float32)
    return Source(x, y, None, x.shape[1:], (), 0)


READERS: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "breast_cancer": _classes("breast_cancer.csv", "malignant benign"),
    "diabetes": _diabetes,
    "iris": _classes("iris.csv", "setosa versicolor virginica"),
    "wine": _classes("wine_data.csv", "class_0 class_1 class_2"),
}
TASKS = {
    "digits": "multiclass",
    "breast_cancer": "binary",
    "diabetes": "regression",
    "iris": "multiclass",
    "wine": "multiclass",
}
