"""IDX folders: what is read, what is refused, what is cached."""

import gzip
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from idx_format import idx_bytes, write_folder

from mlp_jax.data import DataError, idx, load


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_parse_undoes_the_format(array):
    np.testing.assert_array_equal(idx.parse(idx_bytes(array), array.ndim, "it"), array)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_folder_or_the_folder_above(tmp_path, compress, inside):
    made = write_folder(tmp_path / "here" / "things", compress=compress)
    if inside:
        dataset = load(str(tmp_path / "here" / "things"), validation=0)
    else:
        dataset = load("things", data_dir=tmp_path / "here", validation=0)
    np.testing.assert_array_equal(dataset.train.x, made["x"].reshape(40, 12))
    np.testing.assert_array_equal(dataset.test.y, made["y_test"])
    assert dataset.shape == (4, 3)
    assert dataset.classes == ("0", "1", "2")
    assert dataset.train.x.dtype == np.uint8
    assert float(dataset.scale) == pytest.approx(1 / 255)


def test_second_time_comes_from_the_cache_until_a_file_changes(tmp_path, monkeypatch):
    made = write_folder(tmp_path)
    load(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(idx, "parse", lambda *_: pytest.fail("read again"))
        again = load(str(tmp_path), validation=0)
    np.testing.assert_array_equal(again.train.x, made["x"].reshape(40, 12))
    labels = tmp_path / f"{idx.FILES['y']}.gz"
    labels.write_bytes(gzip.compress(idx_bytes((made["y"] + 1) % 3)))
    os.utime(labels, ns=(1, 1))
    np.testing.assert_array_equal(load(str(tmp_path), validation=0).train.y, (made["y"] + 1) % 3)


def damage(name: str, change):
    def apply(folder: Path) -> None:
        path = folder / f"{name}.gz"
        path.write_bytes(change(path.read_bytes()))

    return apply


DAMAGES = {
    "no whole gzip file": damage(idx.FILES["x"], lambda content: content[:-20]),
    "magic number 2049, not 2051": damage(idx.FILES["x"], lambda content: gzip.compress(idx_bytes(np.zeros(4)))),
    "its header says 40 x 4 x 3": damage(idx.FILES["x"], lambda content: gzip.compress(gzip.decompress(content)[:-5])),
    "40 images.*39 labels": damage(idx.FILES["y"], lambda content: gzip.compress(idx_bytes(np.zeros(39)))),
    "give one shape": damage(idx.FILES["x_test"], lambda content: gzip.compress(idx_bytes(np.zeros((10, 2, 2))))),
    "three of four|has 3 of four": lambda folder: (folder / f"{idx.FILES['y']}.gz").unlink(),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_folder_is_refused(tmp_path, message):
    write_folder(tmp_path)
    DAMAGES[message](tmp_path)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path))


def test_labels_beyond_the_known_classes_are_refused(tmp_path):
    write_folder(tmp_path / "kmnist")
    damage(idx.FILES["y"], lambda _: gzip.compress(idx_bytes(np.full(40, 10))))(tmp_path / "kmnist")
    with pytest.raises(DataError, match="label 10, outside 0…9"):
        load("kmnist", data_dir=tmp_path)


def test_other_content_under_the_name_of_mnist_is_refused(tmp_path):
    write_folder(tmp_path / "mnist")
    with pytest.raises(DataError, match="SHA-256 differs"):
        load("mnist", data_dir=tmp_path)


def test_missing_folders_say_what_is_wanted(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        load("mnist", data_dir=tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no IDX files of 'mnist'"):
        load("mnist", data_dir=tmp_path)
    with pytest.raises(DataError, match="holds no IDX files"):
        load(str(tmp_path))


def test_mnist(mnist_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load("mnist", data_dir=mnist_dir, validation=5000, scaling="standard")
    assert (len(dataset.train.y), len(dataset.validation.y), len(dataset.test.y)) == (55_000, 5_000, 10_000)
    assert dataset.shape == (28, 28)
    counts = np.bincount(np.concatenate([dataset.train.y, dataset.validation.y]))
    np.testing.assert_array_equal(counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert float(dataset.center) / 255 == pytest.approx(0.1307, abs=5e-4)
    assert 1 / float(dataset.scale) / 255 == pytest.approx(0.3081, abs=5e-4)


def renamed(folder: Path, name) -> None:
    """Give the four files in a folder other names."""
    for path in [path for path in folder.iterdir() if path.is_file()]:
        new = folder / name(path.name)
        path.rename(path.with_suffix(".moving"))
        new.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".moving").rename(new)


@pytest.mark.parametrize(
    "name",
    [
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"{name}/{name}",
        lambda name: f"{name.replace('-idx', '.idx')}/{name}",
        lambda name: name.replace("t10k", "test"),
    ],
)
@pytest.mark.parametrize("compress", [True, False])
def test_names_of_other_mirrors(tmp_path, name, compress):
    made = write_folder(tmp_path, compress=compress)
    renamed(tmp_path, name)
    dataset = load(str(tmp_path), validation=0)
    np.testing.assert_array_equal(dataset.train.x, made["x"].reshape(40, 12))
    np.testing.assert_array_equal(dataset.test.y, made["y_test"])


@pytest.mark.parametrize("where", ["", "gzip"])
@pytest.mark.parametrize("ask", ["by name", "by folder", "with names that say nothing"])
def test_emnist_stands_upright_and_counts_from_0(tmp_path, where, ask):
    made = write_folder(tmp_path / where)
    for part, prefix in (("y", "train"), ("y_test", "t10k")):
        labels = made[part] + 1
        (tmp_path / where / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    if ask != "with names that say nothing":
        renamed(tmp_path / where, lambda name: f"emnist-letters-{name.replace('t10k', 'test')}")
    elif where:
        pytest.skip("files without a name of their own are looked for in their folder")
    if ask == "by folder":
        dataset = load(str(tmp_path), validation=0)
    else:
        dataset = load("emnist/letters", data_dir=tmp_path, validation=0)
    np.testing.assert_array_equal(dataset.train.x, made["x"].transpose(0, 2, 1).reshape(40, 12))
    np.testing.assert_array_equal(dataset.train.y, made["y"])
    assert (dataset.classes, dataset.shape) == (("0", "1", "2"), (3, 4))


def test_of_several_parts_of_emnist_the_name_says_which(tmp_path):
    write_folder(tmp_path)
    renamed(tmp_path, lambda name: f"emnist-letters-{name}")
    digits = write_folder(tmp_path, n=60)
    for path in [path for path in tmp_path.iterdir() if not path.name.startswith("emnist")]:
        path.rename(tmp_path / f"emnist-digits-{path.name}")
    assert len(load("emnist/digits", data_dir=tmp_path, validation=0).train.y) == len(digits["y"])
    with pytest.raises(DataError, match="several data sets; name one of them: emnist/digits, emnist/letters"):
        load(str(tmp_path))
