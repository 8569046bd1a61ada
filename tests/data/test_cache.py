"""Arrays on disk: made once, memory-mapped after that, made anew where an entry is damaged or gone."""

import os
import re
from collections.abc import Callable
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
    assert sorted(path.name for path in directory.iterdir()) == ["names", "x.npy", "y.npy"]
    assert directory.parent == tmp_path / "cache" / "data"
    (directory / "names").unlink()
    assert cache.held("it") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "names").unlink(),
        lambda folder: (folder / "x.npy").unlink(),
        lambda folder: (folder / "x.npy").write_bytes(b""),
        lambda folder: (folder / "x.npy").write_bytes(b"\x93NUMPY and no more"),
        lambda folder: os.truncate(folder / "x.npy", 130),
    ],
    ids=["no names", "absent", "empty", "header", "short"],
)
def test_an_entry_that_is_damaged_or_gone_is_made_anew(damage: Callable[[Path], object]) -> None:
    read = Reader()
    cache.cached("it", read)
    directory = cache.held("it")
    assert directory is not None
    damage(directory)
    check(cache.cached("it", read))
    assert read.times == 2
    check(cache.cached("it", read))
    assert read.times == 2


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
