"""New examples from a file, in the form of the examples that a network was trained on.

Invariant: what is stored of the data set beside the network is enough; the data set itself is not needed again.
"""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.data import columns as kinds
from mlp_jax.data.dataset import Column, Dataset
from mlp_jax.data.errors import DataError
from mlp_jax.data.images import read_image
from mlp_jax.data.options import Options
from mlp_jax.data.table import Table, is_table, read_table

IMAGES = (".png", ".jpg", ".jpeg")


class Examples(NamedTuple):
    """Rows in the data set's own units, the name of each, and their targets as text if the file has them."""

    x: np.ndarray
    names: list[str]
    truth: list[str] | None = None


def memory(dataset: Dataset) -> dict[str, Any]:
    """Return the facts about a data set with which new examples are read, as plain values."""
    plain = lambda array: None if array is None else np.asarray(array).tolist()
    return {
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "levels": dataset.levels,
        "range": _range(dataset),
        "center": plain(dataset.center),
        "scale": plain(dataset.scale),
        "target_center": float(dataset.target_center),
        "target_scale": float(dataset.target_scale),
        "columns": [column._asdict() for column in dataset.columns],
        "column": dataset.column,
        "fill": plain(dataset.fill),
    }


def read_examples(path: Path, memory: dict[str, Any], options: Options, invert: bool = False) -> Examples:
    """Read the examples in a file.

    Args:
        path: a table with the named columns of the training data, in any order (further columns are ignored); an image;
            or .npy with one example, or one per row.
        memory: what the function `memory` returned.
        options: the options with which tables were read.
        invert: invert an image with dark strokes on a light ground, for a data set with light strokes.

    Raises:
        DataError: the file has another format, or does not fit the network.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the path of a file")
    if not path.exists():
        raise DataError(f"{path} is not a file; give the path of one")
    if path.suffix.lower() in IMAGES:
        return Examples(_image(path, memory, invert)[None], [str(path)])
    if is_table(path):
        return _table(path, memory, options)
    if path.suffix.lower() != ".npy":
        raise DataError(f"{path} is not a file to predict from; give .csv, .npy, .png, .jpg or .jpeg")
    x = _array(path, int(np.prod(memory["shape"])))
    return Examples(x, [str(path)] if len(x) == 1 else [f"{path}[{row}]" for row in range(len(x))])


def _table(path: Path, memory: dict[str, Any], options: Options) -> Examples:
    columns = [Column(**column | {"categories": tuple(column["categories"])}) for column in memory.get("columns", ())]
    if not columns:
        raise DataError(f"{path} is a table, but this run was not trained on one; give a .npy file")
    table = read_table(path, options, [column.name for column in columns if column.kind == "category"])
    if not table.style.header and len(table.names) == len(columns):  # the target's number is missing
        table = _renamed(table, dict(zip(table.names, [column.name for column in columns])))
    unseen: list[str] = []
    x = kinds.encode(table, columns, missing=memory["fill"] is not None, unseen=unseen)
    if memory["fill"] is not None and x.dtype.kind == "f":
        x = np.where(np.isnan(x), np.asarray(memory["fill"], x.dtype), x)
    if unseen:
        warnings.warn(
            f"{path}: not seen in training, and taken for none of the categories: {'; '.join(unseen)}", stacklevel=3
        )
    truth = table.texts.get(str(memory["column"]))
    truth = None if truth is None or (truth == "").any() else truth.tolist()
    return Examples(x, [f"{path}[{row}]" for row in range(len(x))], truth)


def _renamed(table: Table, names: dict[str, str]) -> Table:
    style = table.style._replace(names=tuple(names.values()))
    texts = {names[name]: cells for name, cells in table.texts.items()}
    return table._replace(style=style, numeric=tuple(names[name] for name in table.numeric), texts=texts)


def _array(path: Path, inputs: int) -> np.ndarray:
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} can't be read as .npy ({error}); save it with numpy.save") from error
    if x.size == 0 or x.size % inputs or (x.ndim > 1 and x.size != inputs and x[0].size != inputs):
        raise DataError(f"{path} has shape {x.shape}; give {inputs} numbers for each example")
    if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
        raise DataError(f"{path} holds {x.dtype} values that are not all finite numbers; give finite numbers")
    return x.reshape(-1, inputs)


def _image(path: Path, memory: dict[str, Any], invert: bool) -> np.ndarray:
    shape = tuple(memory["shape"])
    size = _picture(shape)
    columns = memory.get("columns", ())
    if size is None or any(column["kind"] == "category" for column in columns):
        what, features = "a table or a .npy file" if columns else "a .npy file", int(np.prod(shape))
        raise DataError(f"{path} is an image, but this run's examples have {features} features; give {what}")
    black, white = memory.get("range") or (0, memory["levels"])
    pixels = read_image(path, size, levels=white, black=black, invert=invert)
    colours_first = len(shape) == 3 and shape[0] == 3
    return pixels.reshape(size).transpose(2, 0, 1).reshape(-1) if colours_first else pixels


def _picture(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return (height, width) or (height, width, 3) of examples that are pictures or flat square pictures; else None."""
    if len(shape) == 3:
        channels, size = (shape[0], shape[1:]) if shape[0] in (1, 3) else (shape[2], shape[:2])
        return size if channels == 1 else (*size, 3) if channels == 3 else None
    if len(shape) == 2:
        return shape
    inputs = int(np.prod(shape))
    grey, colour = round(inputs**0.5), round((inputs / 3) ** 0.5)
    if len(shape) > 3 or inputs < kinds.PIXELS:
        return None
    return (grey, grey) if grey**2 == inputs else (colour, colour, 3) if 3 * colour**2 == inputs else None


def _range(dataset: Dataset) -> list[float]:
    """Return the values of black and white; for pixels that are not bytes, the usual ones that enclose all values."""
    if dataset.levels:
        return [0, dataset.levels]
    low, high = float(dataset.train.x.min()), float(dataset.train.x.max())
    black = 0.0 if low >= 0 else -1.0 if low >= -1 else low
    return [black, 1.0 if high <= 1 else 255.0 if 127 < high <= 255 else high]
