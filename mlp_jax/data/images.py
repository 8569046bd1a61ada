"""One image file as an example to predict from."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.data.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


def read_image(
    path: Path, shape: tuple[int, ...], *, levels: float = 255, black: float = 0.0, invert: bool = False
) -> np.ndarray:
    """Read a PNG or JPEG as a viewer shows it, resize it to `shape` and return it as a vector.

    It becomes grey for a shape (height, width), and coloured for (height, width, 3). Black gets the value `black` and
    white the value `levels`, as uint8 if black is 0 and white a whole number. Transparent parts become white, so that
    dark strokes stay dark; `invert` then makes them light, as in MNIST. Grey of 16 bits goes up to 65535.

    Raises:
        DataError: the file is not a readable image, is cut off, or is too large.
        OSError: the file can't be opened.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                image = _shown(ImageOps.exif_transpose(opened))
        image = image.convert("RGB" if len(shape) == 3 else "L")
        small = image.resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path} has too many pixels ({error}); give a smaller image") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.filename:  # an error of the system, not of the file's content
            raise
        raise DataError(f"{path} can't be read as an image ({error}); give a PNG or JPEG file") from error
    pixels = np.asarray(small, np.float64) / 255
    pixels = black + (1 - pixels if invert else pixels) * (levels - black)
    whole = black == 0 and 1 < levels <= 255 and levels == int(levels)
    return (np.rint(pixels).astype(np.uint8) if whole else pixels.astype(np.float32)).reshape(-1)


def _shown(image: "Image.Image") -> "Image.Image":
    """Return an image in 8-bit colours on a white ground."""
    from PIL import Image

    if image.mode.startswith("I"):  # a conversion would clip 16 bits
        values = np.asarray(image, np.float64)
        values[values == image.info.get("transparency", -1)] = 65535
        image = Image.fromarray(np.rint(values / 65535 * 255).astype(np.uint8))
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground
