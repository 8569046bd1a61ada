"""npz archives of the user's: under which names and in which forms, and what is none."""

import numpy as np
import pytest

from mlp_jax.data import DataError, load


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "file.npz", **arrays)
    return str(tmp_path / "file.npz")


X, Y = np.arange(24).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])


def test_npz_images_with_a_test_part(tmp_path):
    images = 10 * np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    dataset = load(npz(tmp_path, x=images, y=Y, x_test=images[:3] + 9, y_test=Y[:3]), validation=0)
    np.testing.assert_array_equal(dataset.train.x, images.reshape(6, 4))
    np.testing.assert_array_equal(dataset.test.x, images[:3].reshape(3, 4) + 9)
    assert (dataset.levels, dataset.shape, dataset.task) == (255, (2, 2), "multiclass")


def test_npz_real_target(tmp_path):
    dataset = load(npz(tmp_path, x=X, y=Y + 0.5), validation=0, test=0)
    assert dataset.task == "regression"
    np.testing.assert_allclose(dataset.train.y, Y + 0.5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has arrays x; give x and y"),
        ({"x": X, "y": Y[:5]}, r"x has shape \(6, 4\) and y \(5,\)"),
        ({"x": X[:, 0], "y": Y}, "x has shape"),
        ({"x": X, "y": Y * 0}, "one value only"),
        ({"x": X[0], "y": Y}, "x has shape"),
        ({"x": X, "y": np.stack([Y, Y])}, "y \\(2, 6\\)"),
        ({"x": X * 1e38, "y": Y}, "x holds values above 1e\\+38"),
        ({"x": np.where(X == 3, np.nan, X), "y": Y}, "x holds values that are not finite"),
        ({"x": X.astype(str), "y": Y}, "x holds <U"),
        ({"x": X, "y": Y, "x_test": X}, "y_test is missing"),
        ({"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}, "x has 4 features and x_test 2"),
        ({"x": X.astype(object), "y": Y}, "can't be read as .npz"),
    ],
)
def test_npz_that_is_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load(npz(tmp_path, **arrays))


def test_files_that_are_not_there_or_not_what_they_say(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        load(str(tmp_path / "nothing.npz"))
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="can't be read as .npz"):
        load(str(tmp_path / "bad.npz"))


def test_what_is_not_0_to_255_is_scaled_by_what_is_there(tmp_path):
    masks = np.array([np.eye(8)[[k % 8] * 8] for k in range(80)], np.uint8)
    found = load(npz(tmp_path, x=masks, y=np.arange(80) % 8))
    assert (found.levels, float(found.scale)) == (1, 1)
    counts = np.random.default_rng(0).integers(0, 17, (80, 64)).astype(np.uint8)
    table = load(npz(tmp_path, x=counts, y=np.arange(80) % 8))
    assert table.levels == 0
    seen = (table.train.x - table.center) * table.scale
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-5)
    flat = load(npz(tmp_path, x=counts * 15, y=np.arange(80) % 8))
    assert flat.levels == 255


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X", "Y", "X_test", "Y_test"),
        ("data", "target", "data_test", "target_test"),
    ],
)
def test_names_that_other_collections_give(tmp_path, names):
    arrays = dict(zip(names, (X, Y, X[:3] + 9, Y[:3])))
    found = load(npz(tmp_path, **arrays), validation=0)
    np.testing.assert_array_equal(found.train.x, X)
    np.testing.assert_array_equal(found.test.x, X[:3] + 9)
    np.testing.assert_array_equal(found.test.y, Y[:3])


def test_arrays_without_names_and_a_validation_part(tmp_path):
    np.savez(tmp_path / "file.npz", X, Y)
    found = load(str(tmp_path / "file.npz"), validation=0, test=0)
    np.testing.assert_array_equal(found.train.x, X)
    val = load(npz(tmp_path, train_images=X, train_labels=Y[:, None], val_images=X[:2], val_labels=Y[:2, None]), test=0)
    np.testing.assert_array_equal(val.validation.x, X[:2])
    assert len(val.train.y) == 6


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (Y[:, None], "012"),
        (np.eye(3)[Y], "012"),
        (np.eye(3, dtype=bool)[Y], "012"),
        (np.array(["u", "v", "w"])[Y], "uvw"),
        (np.array([b"u", b"v", b"w"])[Y], "uvw"),
        (Y + 1, "123"),
        (Y * 2, "024"),
        (Y.astype(float), "012"),
    ],
)
def test_forms_of_labels(tmp_path, y, classes):
    found = load(npz(tmp_path, x=X, y=y), validation=0, test=0)
    assert found.classes == tuple(classes)
    np.testing.assert_array_equal(found.train.y, Y)


def test_an_archive_beyond_memory_is_refused(tmp_path, monkeypatch):
    path = npz(tmp_path, x=X, y=Y)
    monkeypatch.setattr("mlp_jax.data.unpacking.SHARE", 1e-12)
    with pytest.raises(DataError, match="unpacks to .* GB, more than there is memory"):
        load(path)


def test_missing_numbers_in_an_archive(tmp_path):
    holes = np.where(X == 3, np.nan, X)
    with pytest.raises(DataError, match="missing=mean"):
        load(npz(tmp_path, x=holes, y=Y))
    found = load(npz(tmp_path, x=holes, y=Y), missing="mean", validation=0, test=0)
    assert found.train.x[0, 3] == pytest.approx(np.nanmean(holes[:, 3]))
