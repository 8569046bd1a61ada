"""New examples from a table: its columns' names decide, and what does not fit is said."""

import numpy as np
import pandas
import pytest

from mlp_jax.data import DataError, Options, load
from mlp_jax.data.examples import memory, read_examples

OPTIONS = Options(column="price")


@pytest.fixture
def table(tmp_path):
    draw = np.random.default_rng(0)
    frame = pandas.DataFrame({
        "town": draw.choice(["Rome", "Oslo", "1"], 60), "area": draw.normal(100, 20, 60),
        "name": [f"n{k}" for k in range(60)],
        "rooms": draw.integers(1, 7, 60), "price": draw.normal(300, 50, 60),
    })  # fmt: skip
    frame.to_csv(tmp_path / "table.csv", index=False)
    return frame, tmp_path


def remembered(folder, **options):
    return memory(load(str(folder / "table.csv"), column="price", validation=0, test=0, **options))


def test_order_and_other_columns_change_nothing(table):
    frame, folder = table
    known = load(str(folder / "table.csv"), column="price", validation=0, test=0)
    shuffled = frame[["rooms", "price", "area", "town"]].assign(new=1.5)
    shuffled.to_csv(folder / "new.tsv", sep="\t", index=False)
    found = read_examples(folder / "new.tsv", memory(known), OPTIONS)
    np.testing.assert_allclose(found.x, known.train.x, rtol=1e-6)
    assert [float(cell) for cell in found.truth or []] == pytest.approx(frame["price"].tolist())
    frame.drop(columns="price")[frame["town"] == "1"].to_csv(folder / "ones.csv", index=False)
    ones = read_examples(folder / "ones.csv", memory(known), OPTIONS)
    assert ones.truth is None
    np.testing.assert_allclose(ones.x, known.train.x[frame["town"] == "1"], rtol=1e-6)


def test_without_a_header_the_place_decides(tmp_path):
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(40, 3)).round(3)
    pandas.DataFrame(numbers).to_csv(tmp_path / "t.csv", index=False, header=False)
    known = load(str(tmp_path / "t.csv"), column="1", validation=0, test=0)
    for kept in ([0, 1, 2], [1, 2]):
        pandas.DataFrame(numbers[:, kept]).to_csv(tmp_path / "new.csv", index=False, header=False)
        found = read_examples(tmp_path / "new.csv", memory(known), Options(column="1"))
        np.testing.assert_allclose(found.x, numbers[:, 1:], rtol=1e-6)


def test_what_is_missing_or_was_not_seen_is_said(table):
    frame, folder = table
    kept = remembered(folder)
    frame.drop(columns="area").to_csv(folder / "less.csv", index=False)
    with pytest.raises(DataError, match="no column 'area', which the run needs; it has town, name, rooms, price"):
        read_examples(folder / "less.csv", kept, OPTIONS)
    frame.assign(town=["Paris", *frame["town"][1:]]).to_csv(folder / "paris.csv", index=False)
    with pytest.warns(UserWarning, match="not seen in training, and taken for none of the categories: town Paris"):
        found = read_examples(folder / "paris.csv", kept, OPTIONS)
    np.testing.assert_array_equal(found.x[0, :3], 0)
    holes = frame.assign(area=frame["area"].where(frame["rooms"] > 1), town=frame["town"].where(frame["rooms"] > 1))
    holes.to_csv(folder / "holes.csv", index=False)
    with pytest.raises(DataError, match="value is missing"):
        read_examples(folder / "holes.csv", kept, OPTIONS)
    filling = remembered(folder, missing="mean")
    found = read_examples(folder / "holes.csv", filling, OPTIONS)
    np.testing.assert_allclose(found.x[frame["rooms"] == 1, 3], frame["area"].mean(), rtol=1e-6)
    common = frame["town"].value_counts().index[0]
    at = kept["columns"][0]["categories"].index(common)
    np.testing.assert_array_equal(found.x[frame["rooms"] == 1, :3], np.eye(3)[[at] * (frame["rooms"] == 1).sum()])


def test_a_table_for_a_run_on_none_is_refused(table):
    _, folder = table
    with pytest.raises(DataError, match="is a table, but this run was not trained on one"):
        read_examples(folder / "table.csv", memory(load("iris")), OPTIONS)


@pytest.mark.parametrize(
    ("shape", "scale", "offset"),
    [
        ((8, 8), 1 / 255, 0), ((8, 8), 2 / 255, -1), ((64,), 1.0, 0), ((8, 8, 3), 1 / 255, 0), ((3, 8, 8), 1.0, 0),
        ((1, 8, 8), 1 / 255, 0), ((192,), 1.0, 0),
    ],
)  # fmt: skip
def test_a_picture_for_any_kind_of_pixels(tmp_path, shape, scale, offset):
    from PIL import Image

    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (20, *shape))
    np.savez(tmp_path / "d.npz", x=(pixels * scale + offset).astype(np.float32), y=np.arange(20) % 2)
    known = load(str(tmp_path / "d.npz"), validation=0, test=0)
    one = pixels[0]
    one = one.transpose(1, 2, 0) if shape[0] == 3 else one.reshape((8, 8, 3) if one.size == 192 else (8, 8))
    Image.fromarray(one.astype(np.uint8)).save(tmp_path / "one.png")
    found = read_examples(tmp_path / "one.png", memory(known), Options())
    np.testing.assert_allclose(found.x[0], known.train.x[0], atol=1e-6 * 255)


def test_a_picture_for_a_run_without_pixels_is_refused(tmp_path):
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="is an image, but this run's examples have 4 features"):
        read_examples(tmp_path / "one.png", memory(load("iris")), Options())
