"""Arrays on disk: made once, memory-mapped after that, made anew where an entry is damaged or gone."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.data import cache

ARRAYS = {"x": np.arange(12, dtype=np.uint8).reshape(3, 4), "y": np.array([0.5, -1.0])}


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path / "cache"))


class Reader:
    """Makes the arrays, and counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        return dict(ARRAYS)


def check(found: dict[str, np.ndarray]) -> None:
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_arrays_are_made_once_and_mapped() -> None:
    read = Reader()
    for _ in range(3):
        found = cache.cached("it", read)
        check(found)
        assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in found.values())
    assert read.times == 1


def test_another_key_has_arrays_of_its_own() -> None:
    read = Reader()
    cache.cached("one", read)
    cache.cached("two", read)
    assert read.times == 2
    assert cache.held("one") != cache.held("two")


def test_what_is_held_is_whole(tmp_path: Path) -> None:
    assert cache.held("it") is None
    cache.cached("it", Reader())
    directory = cache.held("it")
    assert directory is not None
    assert sorted(path.name for path in directory.iterdir()) == ["arrays.json", "x.npy", "y.npy"]
    assert directory.parent == tmp_path / "cache" / "data"
    (directory / "arrays.json").unlink()
    assert cache.held("it") is None


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def put_a(kind: str, path: Path) -> None:
    path.unlink()
    path.mkdir() if kind == "directory" else os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")


def swap(folder: Path) -> None:
    (folder / "x.npy").rename(folder / "z")
    (folder / "y.npy").rename(folder / "x.npy")
    (folder / "z").rename(folder / "y.npy")


DAMAGES = {
    "absent": lambda folder: (folder / "x.npy").unlink(),
    "empty": lambda folder: (folder / "x.npy").write_bytes(b""),
    "header": lambda folder: (folder / "x.npy").write_bytes(b"\x93NUMPY and no more"),
    "short": lambda folder: os.truncate(folder / "x.npy", 130),
    "a bit of the data": lambda folder: flip(folder / "x.npy", -1),
    "another shape": lambda folder: np.save(folder / "x.npy", ARRAYS["x"].T.copy()),
    "another type": lambda folder: np.save(folder / "x.npy", ARRAYS["x"].view(np.int8)),
    "swapped": swap,
    "a bit of the names": lambda folder: flip(folder / "arrays.json", 12),
    **{kind: lambda folder, kind=kind: put_a(kind, folder / "x.npy") for kind in ("directory", "pipe", "link")},
    "names as a directory": lambda folder: put_a("directory", folder / "arrays.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_said_and_made_anew_once(damage: str) -> None:
    read = Reader()
    cache.cached("it", read)
    directory = cache.held("it")
    assert directory is not None
    DAMAGES[damage](directory)
    with pytest.warns(
        UserWarning, match=f"the data in {re.escape(str(directory))} are damaged .*: they are made again"
    ):
        check(cache.cached("it", read))
    assert read.times == 2
    check(cache.cached("it", read))
    assert read.times == 2


def test_an_entry_without_checksums_is_made_anew_in_silence() -> None:
    cache.cached("it", Reader())
    directory = cache.held("it")
    assert directory is not None
    (directory / "arrays.json").unlink()
    (directory / "names").write_text("x y")
    read = Reader()
    check(cache.cached("it", read))
    assert read.times == 1
    assert not (directory / "names").exists()


@pytest.mark.parametrize("array", [np.zeros(0), np.array(3.5), np.asfortranarray(np.arange(6.0).reshape(2, 3))])
def test_arrays_of_any_shape_and_order_come_back(array: np.ndarray) -> None:
    for _ in range(2):
        found = cache.cached("it", lambda: {"x": array})["x"]
        np.testing.assert_array_equal(found, array)


def test_a_cache_that_can_not_be_written_costs_a_warning_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.warns(UserWarning, match="data is not cached"):
        check(cache.cached("it", Reader()))


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    read = Reader()
    with pytest.warns(UserWarning, match=re.escape("No space left")):
        check(cache.cached("it", read))
    assert read.times == 1
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cache.held("it") is None
