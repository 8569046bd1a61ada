"""An image file as an example: its size, its grey, light on dark or dark on light, and what is no image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlp_jax.data import DataError
from mlp_jax.data.images import read_image


def picture(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_resized_and_inverted(tmp_path: Path, suffix: str) -> None:
    pixels = np.full((20, 20), 255)
    pixels[:10] = 0
    path = picture(tmp_path / f"half.{suffix}", pixels)
    seen = read_image(path, (4, 4), levels=16, invert=True).reshape(4, 4)
    np.testing.assert_allclose(seen[[0, 3]], [[16] * 4, [0] * 4], atol=1)
    plain = read_image(path, (4, 4), levels=16).reshape(4, 4)
    np.testing.assert_allclose(plain, 16 - seen.astype(int), atol=1)


def test_rows_stay_rows_and_nothing_changes_at_its_own_size(tmp_path: Path) -> None:
    pixels = np.arange(15).reshape(3, 5) * 17
    seen = read_image(picture(tmp_path / "a.png", pixels), (3, 5))
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, pixels.reshape(-1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (3, 5), invert=True), 255 - pixels.reshape(-1))


def test_levels_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", np.array([[0, 7, 8, 9, 247, 248, 255]]))
    assert read_image(path, (1, 7), levels=16).tolist() == [0, 0, 1, 1, 15, 16, 16]


def test_colours_are_read_as_grey(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", np.eye(3)[None] * 255)
    assert read_image(path, (1, 3)).tolist() == pytest.approx([0.299 * 255, 0.587 * 255, 0.114 * 255], abs=1)


def test_a_transparent_ground_counts_as_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png", (1, 2)).tolist() == [255, 0]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(DataError, match=r"no\.png can't be read as an image .*; give a PNG or JPEG file"):
        read_image(tmp_path / "no.png", (2, 2))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40))
    path = picture(tmp_path / f"half.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=rf"half\.{suffix} can't be read as an image"):
        read_image(path, (2, 2))
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image(tmp_path / "none.png", (2, 2))


def test_grey_of_16_bits_is_scaled_by_its_own_range(tmp_path: Path) -> None:
    values = np.array([[0, 20000, 65535, 128, 32768]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.rint(values[0] / 65535 * 255)
    assert read_image(tmp_path / "a.png", (1, 5)).tolist() == expected.tolist()
    assert expected[1] == 78


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path, turn: int, suffix: str) -> None:
    """The eight orientations by their definition: what the first row and the first column of the file show."""
    upright = np.zeros((16, 16))
    upright[:8, :8], upright[:8, 8:], upright[8:, :8] = 250, 150, 80
    undo = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.T, 6: lambda a: a.T[::-1], 7: lambda a: a.T[::-1, ::-1], 8: lambda a: a.T[:, ::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = np.ascontiguousarray(undo[turn](upright)).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    seen = read_image(tmp_path / f"a.{suffix}", (16, 16)).reshape(16, 16)
    np.testing.assert_allclose(seen, upright, atol=12)


def test_colours_stay_where_the_shape_has_three(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3))
    path = picture(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_image(path, (3, 5, 3)).reshape(3, 5, 3), pixels)


def test_black_and_white_may_be_any_numbers(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", np.array([[0, 51, 255]]))
    np.testing.assert_allclose(read_image(path, (1, 3), levels=1.0, black=-1.0), [-1, -0.6, 1], rtol=1e-6)
    np.testing.assert_allclose(read_image(path, (1, 3), levels=1.0, black=-1.0, invert=True), [1, 0.6, -1], rtol=1e-6)


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch) -> None:
    path = picture(tmp_path / "a.png", np.zeros((20, 20)))
    for most in (300, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(DataError, match=r"a\.png has too many pixels"):
            read_image(path, (2, 2))
