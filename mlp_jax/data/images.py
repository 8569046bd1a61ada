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
    """Read a PNG or JPEG as a viewer shows it, resize it to `shape` and return it, vectorised.

    It becomes grey for a shape (height, width), and coloured for (height, width, 3). Black is `black` and white is
    `levels`, as uint8 where black is 0 and white a whole number. Transparency is laid on white, so that dark strokes
    stay dark; `invert` then makes them light, as in MNIST. Grey of 16 bits is scaled by the 65535 that it goes to.

    Raises:
        DataError: the file is no image that can be read, is cut off, or is too large.
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
        if isinstance(error, OSError) and error.filename:  # of the system, not of what the file holds
            raise
        raise DataError(f"{path} can't be read as an image ({error}); give a PNG or JPEG file") from error
    pixels = np.asarray(small, np.float64) / 255
    pixels = black + (1 - pixels if invert else pixels) * (levels - black)
    whole = black == 0 and 1 < levels <= 255 and levels == int(levels)
    return (np.rint(pixels).astype(np.uint8) if whole else pixels.astype(np.float32)).reshape(-1)


def _shown(image: "Image.Image") -> "Image.Image":
    """Return an image as colours of 8 bits on a white ground."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which a conversion would clip
        values = np.asarray(image, np.float64)
        values[values == image.info.get("transparency", -1)] = 65535
        image = Image.fromarray(np.rint(values / 65535 * 255).astype(np.uint8))
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground
