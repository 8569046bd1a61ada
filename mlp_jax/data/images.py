"""One image file as an example to predict from."""

from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import DataError


def read_image(path: Path, shape: tuple[int, int], *, levels: int = 255, invert: bool = False) -> np.ndarray:
    """Read a PNG or JPEG as grey, resize it to `shape` (height, width) and return it as uint8 0…levels, vectorised.

    Transparency is laid on white, so that dark strokes stay dark; `invert` then makes them light, as in MNIST.

    Raises:
        DataError: the file is no image that can be read, or is cut off.
        OSError: the file can't be opened.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            ground = Image.new("RGBA", image.size, "white")
            ground.alpha_composite(image.convert("RGBA"))
            grey = ground.convert("L").resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.filename:  # of the system, not of what the file holds
            raise
        raise DataError(f"{path} can't be read as an image ({error}); give a PNG or JPEG file") from error
    pixels = np.asarray(grey, np.float64) / 255
    return np.rint((1 - pixels if invert else pixels) * levels).astype(np.uint8).reshape(-1)
