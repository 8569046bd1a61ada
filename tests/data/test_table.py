"""npz and csv files of the user's."""

import numpy as np
import pytest

from mlp_jax.data import DataError, load

TABLE = """age,town,height,kind
30,Rome,1.7,a
41,Oslo,1.8,b
52,Rome,1.6,a
23,Bern,1.9,b
"""


def csv(tmp_path, text=TABLE):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def test_csv_numbers_categories_and_classes(tmp_path):
    dataset = load(csv(tmp_path), target="kind", validation=0, test=0, scaling="none")
    x = [[30, 0, 0, 1, 1.7], [41, 0, 1, 0, 1.8], [52, 0, 0, 1, 1.6], [23, 1, 0, 0, 1.9]]
    np.testing.assert_allclose(dataset.train.x, x, rtol=1e-6)
    np.testing.assert_array_equal(dataset.train.y, [0, 1, 0, 1])
    assert dataset.classes == ("a", "b")
    assert dataset.task == "binary"


def test_csv_of_other_programs(tmp_path):
    """A mark of UTF-8, lines that end as on Windows, empty lines, spaces around cells, commas within quotes."""
    text = "\ufeff" + TABLE.replace("30,", " 30 ,").replace("Rome", '"Rome, IT"').replace("\n", "\r\n") + "\r\n"
    ours, plain = (load(csv(tmp_path, each), target="kind", validation=0, test=0) for each in (text, TABLE))
    np.testing.assert_array_equal(ours.train.x, plain.train.x)
    assert ours.classes == plain.classes


def test_csv_real_target(tmp_path):
    dataset = load(csv(tmp_path), target="height", validation=0, test=0, target_scaling="standard")
    assert dataset.task == "regression"
    unit = dataset.train.y * dataset.target_scale + dataset.target_center
    np.testing.assert_allclose(unit, [1.7, 1.8, 1.6, 1.9], rtol=1e-6)


def test_csv_with_few_whole_numbers_is_classification(tmp_path):
    dataset = load(csv(tmp_path, "a,y\n1,5\n2,7\n3,5\n"), target="y", validation=0, test=0)
    assert dataset.classes == ("5", "7")
    np.testing.assert_array_equal(dataset.train.y, [0, 1, 0])


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (TABLE, None, "needs --target.*age, town, height, kind"),
        (TABLE, "knid", "no column 'knid'; it has age, town"),
        (TABLE.replace("1.8", ""), "kind", "row 3, column 'height': value is missing"),
        (TABLE.replace("1.8", "NA"), "kind", "row 3, column 'height': value is missing"),
        (TABLE.replace("41", "old"), "kind", "row 3, column 'age': 'old' is not a finite number"),
        (TABLE.replace("41", "inf"), "kind", "row 3, column 'age': 'inf' is not a finite number"),
        (TABLE.replace("41,", ""), "kind", "row 3 has 3 cells"),
        (TABLE.replace("41,", "41,9,"), "kind", r"can't be read as CSV \(Expected 4 fields in line 3, saw 5\)"),
        ("age,kind\n", "kind", "no rows under a header"),
        ("", "kind", "no rows under a header"),
        ("a,a,kind\n1,2,x\n3,4,y\n", "kind", "names a column twice"),
        ("kind\nx\ny\n", "kind", "no column beside"),
        ("a,kind\n1,x\n2,x\n", "kind", "one value only"),
    ],
)
def test_csv_that_is_refused(tmp_path, text, target, message):
    with pytest.raises(DataError, match=message):
        load(csv(tmp_path, text), target=target)


def test_csv_that_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="can't be read as CSV"):
        load(str(tmp_path / "t.csv"), target="y")


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "file.npz", **arrays)
    return str(tmp_path / "file.npz")


X, Y = np.arange(24).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])


def test_npz_images_with_a_test_part(tmp_path):
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
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
        ({"x": X, "y": Y - 1}, "from -1 to 1; give labels 0…k−1"),
        ({"x": X, "y": Y * 2}, "from 0 to 4; give labels 0…k−1"),
        ({"x": X, "y": Y * 0}, "1 different labels"),
        ({"x": np.where(X == 3, np.nan, X), "y": Y}, "x holds values that are not finite"),
        ({"x": X.astype(str), "y": Y}, "x holds <U"),
        ({"x": X, "y": Y, "x_test": X}, "x_test with y_test"),
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
