"""npz archives: arrays of examples and their targets, under any of the names that people give them."""

import zipfile
from pathlib import Path

import numpy as np

from mlp_jax.data import unpacking
from mlp_jax.data.dataset import Source, Split
from mlp_jax.data.errors import DataError
from mlp_jax.data.options import Options
from mlp_jax.data.scaling import LARGEST, compact, white
from mlp_jax.data.target import taken

X_NAMES = ("x", "images", "imgs", "image", "data", "features", "inputs", "arr_0")
Y_NAMES = ("y", "labels", "label", "targets", "target", "classes", "outputs", "arr_1")
PARTS = {"": ("", "train"), "_validation": ("val", "valid", "validation"), "_test": ("test",)}


def read_npz(path: Path, options: Options) -> Source:
    """Read the arrays x and y, and those of a validation and a test part if the archive has them.

    x is taken for images if it is uint8 with two or more dimensions per example, or flat uint8 with values above 127. y
    may be a column, one-hot rows, text, or any numbers.

    Raises:
        DataError: an array is missing, has another length, is not numeric or not finite, or the arrays do not fit into
            memory.
    """
    arrays = _arrays(path)
    if unpaired := [f"x{part}" for part in ("", *PARTS) if (f"x{part}" in arrays) != (f"y{part}" in arrays)]:
        raise DataError(f"{path} lacks an array; give y with each x ({unpaired[0].replace('x', 'y')} is missing)")
    return assemble(str(path), arrays, options)


def assemble(what: str, arrays: dict[str, np.ndarray], options: Options) -> Source:
    """Make a Source of arrays named x, y and, if there are any, x_validation, y_validation, x_test, y_test.

    `what` names their origin in messages.

    Raises:
        DataError: the arrays have different lengths or shapes, or values that are not finite.
    """
    arrays = {name: _plain(array) if name.startswith("y") else array for name, array in arrays.items()}
    parts = [part for part in PARTS if f"x{part}" in arrays]
    for part in parts:
        _check_pair(what, f"x{part}", arrays[f"x{part}"], f"y{part}", arrays[f"y{part}"], options.missing != "refuse")
    shape = arrays["x"].shape[1:]
    for part in parts:
        if arrays[f"x{part}"].shape[1:] != shape:
            raise DataError(
                f"{what}: x has {_features(arrays['x'])} features and x{part} {_features(arrays[f'x{part}'])}; "
                "give as many"
            )
    lengths = [len(arrays[f"y{part}"]) for part in parts]
    found = taken(f"{what}: y", np.concatenate([arrays[f"y{part}"] for part in parts]), options.task)
    ids = dict(zip(parts, np.split(found.y, np.cumsum(lengths)[:-1])))
    splits = {part: Split(_rows(arrays[f"x{part}"]), ids[part]) for part in parts}
    bytes_ = all(arrays[f"x{part}"].dtype == np.uint8 for part in parts)
    levels = max(white(arrays[f"x{part}"]) for part in parts) if bytes_ else 0
    levels = levels if len(shape) > 1 or levels == 255 else 0
    own = (splits.get("_test"), shape, found.classes, levels, splits.get("_validation"))
    return Source(splits[""].x, splits[""].y, *own, why=found.why)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive under the names that `assemble` takes."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacking.check(path, path.stat().st_size, sum(member.file_size for member in archive.infolist()))
        with np.load(path, allow_pickle=False) as archive:
            ours = {ours: name for name in archive.files if (ours := _our_name(name))}
            if "x" not in ours or "y" not in ours:
                names = ", ".join(archive.files) or "none"
                raise DataError(f"{path} has arrays {names}; give x and y (and x_test with y_test)")
            return {ours: archive[name] for ours, name in ours.items()}
    except DataError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read as .npz ({error}); save numbers with numpy.savez") from error


def _our_name(name: str) -> str | None:
    """Return x or y, perhaps with _validation or _test, for a name in an archive such as x_train, train_images or X."""
    words = name.lower().replace("-", "_").split("_") if name not in ("arr_0", "arr_1") else [name]
    for end, called in PARTS.items():
        rest = [word for word in words if word not in called]
        if len(words) - len(rest) == bool(called[0]) or (end == "" and len(words) - len(rest) < 2):
            what = "x" if rest in [[x] for x in X_NAMES] else "y" if rest in [[y] for y in Y_NAMES] else None
            if what:
                return what + end
    return None


def _plain(y: np.ndarray) -> np.ndarray:
    """Return a target with one number or text for each example, even if it is a column or one-hot rows."""
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "biuf" and len(y) and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        return np.argmax(y, axis=1)
    return y.astype(str) if y.dtype.kind == "S" else y


def _check_pair(what: str, x_name: str, x: np.ndarray, y_name: str, y: np.ndarray, missing: bool) -> None:
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not x.size:
        raise DataError(
            f"{what}: {x_name} has shape {x.shape} and {y_name} {y.shape}; give a row of {x_name} for each {y_name}"
        )
    for name, array in ((x_name, x), (y_name, y)):
        if name == y_name and array.dtype.kind in "OUT":
            continue
        if array.dtype.kind not in "biuf":
            raise DataError(f"{what}: {name} holds {array.dtype}; give real numbers")
        gaps = np.isnan(array) if missing and name == x_name and array.dtype.kind == "f" else False
        if not (np.isfinite(array) | gaps).all():
            more = ", or missing=mean" if name == x_name and np.isnan(array).any() else ""
            raise DataError(f"{what}: {name} holds values that are not finite; give finite numbers{more}")
        if (np.abs(array.astype(np.float64) if array.dtype.itemsize > 4 else array) > LARGEST).any():
            raise DataError(f"{what}: {name} holds values above {LARGEST:g}; give another unit")


def _features(x: np.ndarray) -> int:
    return int(np.prod(x.shape[1:]))


def _rows(x: np.ndarray) -> np.ndarray:
    x = x if x.dtype == np.uint8 else compact(x)
    return np.ascontiguousarray(x.reshape(len(x), -1))
