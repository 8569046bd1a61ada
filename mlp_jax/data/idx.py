"""IDX files, the format of the MNIST family: four files in a folder, compressed or not.

Format: two zero bytes, 0x08 for unsigned bytes, the number of dimensions, each dimension as a big-endian uint32, then
the bytes (LeCun, "The MNIST database of handwritten digits").
"""

import hashlib
import math
import re
from pathlib import Path

import numpy as np

from mlp_jax.data import unpacking
from mlp_jax.data.cache import cached
from mlp_jax.data.dataset import Source, Split
from mlp_jax.data.errors import DataError

FILES = {
    "x": "train-images-idx3-ubyte",
    "y": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
NAMED = re.compile(r"(?:emnist-(\w+)-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
SHA256 = {  # of the uncompressed files, as far as they are published
    "mnist": {
        "x": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "y": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
}
FASHION = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": tuple(FASHION.split(", ")),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def find(folder: Path, name: str = "") -> dict[str, Path] | None:
    """Return the paths of the four files in `folder`, or None if it has none of them.

    Names of other mirrors are found too (train-images.idx3-ubyte, emnist-letters-test-labels-idx1-ubyte.gz), and each
    file may be in a folder of its own. If a folder has several parts of EMNIST, `name` says which one to take.

    Raises:
        DataError: only some of the files are there, or they belong to several data sets.
    """
    sets: dict[str, dict[str, Path]] = {}
    for path in sorted([*folder.glob("*ubyte*"), *folder.glob("*ubyte*/*ubyte*"), *folder.glob("*/emnist-*ubyte*")]):
        if path.is_file() and (match := NAMED.fullmatch(path.name)):
            of, split, kind = match.groups()
            part = ("x" if kind == "images" else "y") + ("" if split == "train" else "_test")
            sets.setdefault(of or "", {}).setdefault(part, path)
    found = sets.get(name.removeprefix("emnist/"), sets.get("")) if len(sets) != 1 else next(iter(sets.values()))
    if sets and not found:
        parts = ", ".join(f"emnist/{part}" for part in sets)
        raise DataError(f"{folder} has IDX files of several data sets; name one of them: {parts}")
    if found and len(found) < len(FILES):
        missing = next(FILES[part] for part in FILES if part not in found)
        raise DataError(f"{folder} has {len(found)} of four IDX files; put {missing} or {missing}.gz there too")
    return found or None


def read_folder(paths: dict[str, Path], name: str) -> Source:
    """Read the four files; the arrays are cached until one of the files changes.

    If `name` or the files' names say EMNIST, the images are turned by `upright`.

    Raises:
        DataError: a file is damaged, differs from the published file of `name`, or does not fit the others.
    """
    paths = {part: path.resolve() for part, path in paths.items()}
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths.values()]
    emnist = name.startswith("emnist/") or all(path.name.startswith("emnist-") for path in paths.values())
    read = (lambda: upright(read_files(paths, name))) if emnist else (lambda: read_files(paths, name))
    return assemble(cached(f"idx {'upright ' * emnist}{name} {stamps}", read), name)


def upright(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return EMNIST's arrays with upright images (its files hold them transposed) and with labels from 0."""
    images = {key: np.ascontiguousarray(arrays[key].transpose(0, 2, 1)) for key in ("x", "x_test")}
    first = min(arrays["y"].min(), arrays["y_test"].min())
    return arrays | images | {key: arrays[key] - first for key in ("y", "y_test")}


def assemble(arrays: dict[str, np.ndarray], name: str) -> Source:
    """Make a Source of the four arrays x, y, x_test, y_test, whose labels count from 0."""
    x, x_test = (arrays[part].reshape(len(arrays[part]), -1) for part in ("x", "x_test"))
    k = max(int(arrays["y"].max()), int(arrays["y_test"].max())) + 1
    classes = CLASSES.get(name) or tuple(map(str, range(k)))
    if k > len(classes):
        raise DataError(
            f"{name!r} has a label {k - 1}, outside 0…{len(classes) - 1}; use the data set's own label files"
        )
    y, y_test = (arrays[part].astype(np.int32) for part in ("y", "y_test"))
    return Source(x, y, Split(x_test, y_test), arrays["x"].shape[1:], classes, 255)


def parse(content: bytes, dimensions: int, what: object) -> np.ndarray:
    """Return the array in the bytes of an IDX file of `dimensions` dimensions; `what` names it in errors."""
    magic = 0x0800 | dimensions
    header = 4 + 4 * dimensions
    found = int.from_bytes(content[:4], "big")
    if len(content) < header or found != magic:
        raise DataError(
            f"{what} starts with magic number {found}, not {magic}; it is no IDX file of {dimensions}-d bytes"
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) - header != np.prod(shape, dtype=np.int64):
        raise DataError(
            f"{what} holds {len(content) - header} bytes, but its header says {' x '.join(map(str, shape))}; "
            "it is damaged: get it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def decompress(content: bytes, what: object) -> bytes:
    """Return the content of an IDX file, which may be compressed by gzip; `what` names it in errors."""
    return unpacking.gunzip(content, _size, what) if content.startswith(b"\x1f\x8b") else content


def _size(head: bytes) -> int:
    """Return the size of an IDX file according to its header; 0 if it is not an IDX file."""
    dimensions = head[3] if len(head) > 3 and head.startswith(b"\0\0\x08") else 0
    shape = [int.from_bytes(head[4 * k : 4 * k + 4], "big") for k in range(1, 1 + min(dimensions, 3))]
    return 4 + 4 * dimensions + math.prod(shape) if dimensions else 0


def read_files(paths: dict[str, Path], name: str) -> dict[str, np.ndarray]:
    """Read and check the four files of the data set `name`."""
    arrays = {}
    for part, path in paths.items():
        content = decompress(path.read_bytes(), path)
        arrays[part] = parse(content, 3 if part.startswith("x") else 1, path)
        known = SHA256.get(name, {}).get(part)
        if known and hashlib.sha256(content).hexdigest() != known:
            raise DataError(
                f"{path} is not {name}'s {FILES[part]}: its SHA-256 differs from the published one; get it again"
            )
    _check_counts(arrays, paths)
    return arrays


def _check_counts(arrays: dict[str, np.ndarray], names: dict) -> None:
    """Raise a DataError unless images and labels come in pairs and both parts have images of one shape."""
    for x, y in (("x", "y"), ("x_test", "y_test")):
        if len(arrays[x]) != len(arrays[y]) or not len(arrays[y]):
            raise DataError(
                f"{names[x]} has {len(arrays[x])} images, {names[y]} {len(arrays[y])} labels; give each image a label"
            )
    if arrays["x"].shape[1:] != arrays["x_test"].shape[1:]:
        shapes = f"{arrays['x'].shape[1:]} in {names['x']} and {arrays['x_test'].shape[1:]} in {names['x_test']}"
        raise DataError(f"images are {shapes}; give one shape")
