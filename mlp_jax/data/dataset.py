"""What a data set is once it is in memory: three splits of vectorised examples and how to normalise them.

Invariant: `train`, `validation` and `test` are disjoint, and every statistic was computed from `train` alone.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Num, UInt8

Task = Literal["multiclass", "binary", "regression"]


class Split(NamedTuple):
    """Examples, one a row.

    `x` is uint8 for pixels and other small whole numbers (normalised inside the training step), float64 if different
    values would become equal in float32 (normalised before they are placed on a device), and float32 otherwise. `y`
    holds class ids 0…k−1 (int32) for classification and targets (float32) for regression. `weight` says how much the
    loss of each example counts in training, 1 on average; None stands for 1. Metrics count every example once.

    >>> from mlp_jax.data import load
    >>> test = load("digits").test
    >>> test.x.shape, test.x.dtype.name, test.y[:3].tolist()
    ((359, 64), 'uint8', [2, 2, 3])
    """

    x: UInt8[np.ndarray, "n inputs"] | Float[np.ndarray, "n inputs"]
    y: Num[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"] | None = None


class Column(NamedTuple):
    """What a column of a table is taken for: number, category (a feature of 0 or 1 for each value), or left out.

    >>> Column("colour", "category", ("blue", "red")).width
    2
    """

    name: str
    kind: Literal["number", "category", "left out"]
    categories: tuple[str, ...] = ()
    why: str = ""  # the reason for leaving it out
    decimal: str = "."

    @property
    def width(self) -> int:
        """The number of features that the column becomes."""
        return {"number": 1, "category": len(self.categories), "left out": 0}[self.kind]


class Source(NamedTuple):
    """What a reader found: examples as they are on disk, and a validation and a test part, each None if there is none.

    `levels` is the value of white in an image, 0 if features are not pixels. NaN in `x` is a missing value; a missing
    category is NaN in all of its features. `why` says why `y` is taken for classes or numbers, `columns` what the
    features are. `weight` says how much each example counts in training, for those outside the two parts.
    """

    x: np.ndarray
    y: np.ndarray
    test: Split | None
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    levels: int
    validation: Split | None = None
    columns: tuple[Column, ...] = ()
    column: str | None = None
    why: str = ""
    weight: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Three splits and the constants that normalise them.

    A network sees `(x − center) · scale`, element by element, in float32; `center` and `scale` have shape
    `()` or `(inputs,)`. A regression target in its own unit is `y · target_scale + target_center`.
    """

    name: str
    task: Task
    shape: tuple[int, ...]  # the shape of one example before it was vectorised, e.g. (28, 28)
    classes: tuple[str, ...]  # the name of class id i; () for regression
    levels: int  # the value of white in an image; 0 for other features
    train: Split
    validation: Split
    test: Split
    center: np.ndarray
    scale: np.ndarray
    target_center: float = 0.0
    target_scale: float = 1.0
    columns: tuple[Column, ...] = ()  # for a table: what each column is taken for
    column: str | None = None  # the column to predict
    fill: np.ndarray | None = None  # the value that replaces a missing one, by feature; None: no value may be missing
    why: str = ""  # why the target is taken for classes, or for numbers

    @property
    def inputs(self) -> int:
        """Number of features of one example."""
        return self.train.x.shape[1]

    @property
    def fingerprint(self) -> str:
        """A hash of everything that training reads: examples, labels, order, normalisation."""
        digest = hashlib.sha256()
        arrays = (*self.train, *self.validation, *self.test, self.center, self.scale)
        for array in (array for array in arrays if array is not None):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    @classmethod
    def of(
        cls,
        x: Any,
        y: Any,
        *,
        validation: tuple[Any, Any] | float | int = 0.1,
        test: tuple[Any, Any] | float | int = 0.2,
        split_seed: int = 0,
        stratify: bool = False,
        weight: Any = None,
        class_weight: str = "none",
        task: str = "auto",
        missing: str = "refuse",
        scaling: str = "auto",
        target_scaling: str = "standard",
    ) -> "Dataset":
        """Make a data set of arrays, data frames of numbers, or sparse matrices in memory.

        Its name is a hash of its content; `Config(dataset=data.name)`, and so `train`, `train_many` and `Study`, find
        it as long as this process keeps the object.

        >>> data = Dataset.of([[0.0], [1.0], [2.0], [3.0]] * 5, ["low", "low", "high", "high"] * 5)
        >>> data.classes, len(data.train.y)
        (('high', 'low'), 14)

        Args:
            x: one row for each example, of any shape; uint8 with two or more dimensions per example is an image.
            y: a number or a text for each example.
            validation: how many of the examples to hold out, as a fraction or a count, or a separate pair (x, y).
            test: the same for the test part.
            split_seed: the splits depend on this seed and the data alone.
            stratify: give each part its share of every class.
            weight: how much each example counts in training, in any unit; metrics count every example once.
            class_weight: none, or balanced: all classes count the same in training.
            task: classification | regression, or auto: decided by the values.
            missing: refuse | mean | most_frequent, for NaN in x.
            scaling: as in `load`.
            target_scaling: standard, or scale for an output of relu, or none.

        Raises:
            DataError: the arrays do not fit each other, or hold values that are not numbers.
            ValueError: an option is not allowed.
        """
        from mlp_jax.data import inmemory
        from mlp_jax.data.options import Options

        given = {"validation": validation, "test": test}
        parts = {name: part if isinstance(part, tuple) else None for name, part in given.items()}
        how = {name: 0 if isinstance(part, tuple) else part for name, part in given.items()}
        how |= {"split_seed": split_seed, "stratify": stratify, "scaling": scaling, "target_scaling": target_scaling}
        how |= {"class_weight": class_weight}
        return inmemory.make(x, y, weight, parts, how, Options(task=task, missing=missing))  # pyright: ignore[reportArgumentType]
