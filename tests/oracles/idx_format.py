"""The IDX format written out on its own, from its description, and a folder of four such files."""

import gzip
import struct
from pathlib import Path

import numpy as np

NAMES = {
    "x": "train-images-idx3-ubyte",
    "y": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_folder(folder: Path, n: int = 40, n_test: int = 10, compress: bool = True) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    made = {
        "x": draw.integers(0, 256, (n, 4, 3)),
        "y": np.arange(n) % 3,
        "x_test": draw.integers(0, 256, (n_test, 4, 3)),
        "y_test": np.arange(n_test) % 3,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in NAMES.items():
        content = idx_bytes(made[part])
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return made
