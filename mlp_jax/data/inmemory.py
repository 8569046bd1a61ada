"""Arrays and data frames from memory as a Dataset, whose name is a hash of its content.

Invariant: equal names mean equal content.
"""

import hashlib
import weakref
from typing import Any

import numpy as np

from mlp_jax.data.dataset import Dataset
from mlp_jax.data.errors import DataError
from mlp_jax.data.npz import assemble
from mlp_jax.data.options import Options
from mlp_jax.data.splits import divide

PREFIX = "memory:"
THERE: "weakref.WeakValueDictionary[str, Dataset]" = weakref.WeakValueDictionary()


def make(
    x: Any,
    y: Any,
    weight: Any,
    parts: dict[str, tuple[Any, Any] | None],
    how: dict[str, Any],
    options: Options,
) -> Dataset:
    """Make a Dataset, as `Dataset.of` explains; `parts` are the separate parts that were given, `how` is for `divide`.

    Raises:
        DataError: the arrays do not fit each other, or hold values that are not numbers.
    """
    given = {"": (x, y)} | {f"_{part}": pair for part, pair in parts.items() if pair is not None}
    arrays = {}
    for part, (inputs, targets) in given.items():
        arrays[f"x{part}"], arrays[f"y{part}"] = _array("X", inputs), _array("y", targets)
    source = assemble("the data in memory", arrays, options)
    if weight is not None:
        source = source._replace(weight=_weights(weight, len(source.y)))
    dataset = divide(source, name="", missing=options.missing, **how)
    words = repr((dataset.classes, dataset.target_center, dataset.target_scale, dataset.shape))
    name = PREFIX + hashlib.sha256((dataset.fingerprint + words).encode()).hexdigest()[:16]
    object.__setattr__(dataset, "name", name)
    return THERE.setdefault(name, dataset)


def find(name: str) -> Dataset | None:
    """Return the Dataset with a name that `make` gave; None for any other kind of name.

    Raises:
        DataError: the Dataset is no longer in this process, or never was.
    """
    if not name.startswith(PREFIX):
        return None
    if name not in THERE:
        raise DataError(f"the data set {name} is not in this process; make it again with Dataset.of and keep it")
    return THERE[name]


def _weights(given: Any, n: int) -> np.ndarray:
    """Return the weights of `n` examples, checked."""
    weight = _array("weight", given)
    if weight.shape != (n,) or weight.dtype.kind not in "biuf" or not np.isfinite(weight).all():
        raise DataError(f"weight has shape {weight.shape} of {weight.dtype}; give a finite number for each of {n} rows")
    if (weight < 0).any() or not (weight > 0).any():
        raise DataError(f"weight goes from {weight.min():g} to {weight.max():g}; give numbers of at least 0, not all 0")
    return weight.astype(np.float64)


def _array(what: str, given: Any) -> np.ndarray:
    """Return an array, a data frame or a sparse matrix as a NumPy array."""
    if hasattr(given, "toarray"):
        given = given.toarray()
    array = np.asarray(given)
    if array.dtype == object:
        try:
            array = array.astype(np.float64 if what == "X" else str)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what} holds values that are no numbers ({error}); encode categories first") from error
    return array
