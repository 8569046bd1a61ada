"""What columns of a table are taken for, and that it is said."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_jax.data import DataError, describe, load, sentence

WHOLE = {"validation": 0, "test": 0}


@pytest.fixture
def table(tmp_path):
    """A function that writes columns as a table and loads it."""

    def write(columns, column="y", **options):
        pandas.DataFrame(columns).to_csv(tmp_path / "t.csv", index=options.pop("index", False))
        return load(str(tmp_path / "t.csv"), column=column, **WHOLE | options)

    return write


N = 60
Y = np.linspace(0.25, 9.75, N)


def kinds(dataset):
    return {column.name: column.kind for column in dataset.columns}


def test_decimal_commas_are_numbers(table):
    text = [f"{2 * y:.3f}".replace(".", ",") for y in Y]
    found = table({"a": text, "y": text}, scaling="none")
    assert (found.task, kinds(found)) == ("regression", {"a": "number"})
    np.testing.assert_allclose(found.train.x[:, 0], np.round(2 * Y, 3), rtol=1e-6)
    np.testing.assert_allclose(found.train.y, np.round(2 * Y, 3), rtol=1e-6)
    assert "a (decimal comma)" in sentence(found)


@pytest.mark.parametrize("where", ["a", "y"])
@pytest.mark.parametrize("write", ["{:,.0f}", "${:.0f}", "{:.1f}%", "€ {:.2f}", "{:,.2f} €", "1.234.{:03.0f}"])
def test_numbers_that_are_marked_are_never_classes_or_categories(table, where, write):
    columns = {"a": Y, "y": Y}
    columns[where] = [write.format(150_000 + y) for y in Y]
    with pytest.raises(DataError, match=f"column '{where}' holds numbers written as .*(take|--decimal)"):
        table(columns)


def test_a_comma_that_can_be_both_is_asked_for(table):
    columns = {"a": Y, "y": [f"{k},500" for k in range(100, 100 + N)]}
    with pytest.raises(DataError, match="give --decimal , or take the thousands marks out"):
        table(columns)
    found = table(columns, decimal=",")
    np.testing.assert_allclose(found.train.y, np.arange(100, 100 + N) + 0.5)


@pytest.mark.parametrize(
    "names",
    [
        ("1_1", "11", "2_0"),
        ("1e3", "1000", "5"),
        ("007", "7", "8"),
        (f"{2**53}", f"{2**53 + 1}", "9"),
        ("NA", "none", "?"),
    ],
)
def test_a_class_is_its_text(table, names):
    found = table({"x": Y, "y": [names[k % 3] for k in range(N)]}, task="classification" if "?" in names else "auto")
    assert set(found.classes) == set(names)
    assert [found.classes[k] for k in found.train.y] == [names[k % 3] for k in range(N)]


def test_classes_that_are_numbers_come_in_their_order(table):
    assert table({"x": Y, "y": [(10, 9, 100)[k % 3] for k in range(N)]}).classes == ("9", "10", "100")


def test_ids_and_row_numbers_are_left_out_and_said(table):
    columns = {"id": range(1, N + 1), "name": [f"n{k}" for k in range(N)], "a": Y, "y": Y, "gone": [None] * N}
    found = table(columns, index=True)
    assert kinds(found) == {"": "left out", "id": "left out", "name": "left out", "a": "number", "gone": "left out"}
    assert found.inputs == 1
    said = sentence(found)
    for part in (
        "the column without a name (it numbers the rows)",
        "name (60 different texts in 60 rows)",
        "gone (it is empty)",
    ):
        assert part in said
    assert "\n" not in said
    assert describe(found)["columns"][2] == {"name": "name", "kind": "left out", "why": "60 different texts in 60 rows"}


def test_columns_are_dropped_by_name(table):
    found = table({"a": Y, "b": Y, "y": Y}, drop=["b"])
    assert kinds(found) == {"a": "number", "b": "left out"}
    with pytest.raises(DataError, match="no column 'c'; it has a, b, y"):
        table({"a": Y, "b": Y, "y": Y}, drop=["c"])
    with pytest.raises(DataError, match="no column beside 'y' .a is left out: dropped.; give a feature"):
        table({"a": Y, "y": Y}, drop=["a"])


def test_words_for_missing_may_be_categories(table):
    words = ["none", "NA", "null", "x"]
    found = table({"a": [words[k % 4] for k in range(N)], "y": Y}, scaling="none")
    assert found.columns[0].categories == ("NA", "none", "null", "x")
    np.testing.assert_array_equal(found.train.x.sum(axis=1), 1)


@pytest.mark.parametrize("hole", ["", "NA", "nan", "?"])
def test_missing_values_are_refused_or_filled_from_the_training_part(table, hole):
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 5, N).astype(float), draw.choice(["u", "v", "v"], N).astype(object)
    gaps = draw.random(N) < 0.3
    cells = np.where(gaps, hole, a.astype(str))
    columns = {"a": cells, "b": np.where(gaps, "", b), "y": Y}
    with pytest.raises(DataError, match=rf"row {np.argmax(gaps) + 2}, column 'a': value is missing .*--missing mean"):
        table(columns)
    for how in ("mean", "most_frequent"):
        found = table(columns, missing=how, test=0.3, scaling="none")
        rows = np.searchsorted(Y, found.train.y - 1e-3)
        known = a[rows][~gaps[rows]]
        values, counts = np.unique(known, return_counts=True)
        fill = known.mean() if how == "mean" else values[np.argmax(counts)]
        np.testing.assert_allclose(found.train.x[:, 0], np.where(gaps, fill, a)[rows], rtol=1e-6)
        np.testing.assert_array_equal(found.train.x[:, 2], np.where(gaps, "v", b)[rows] == "v")


def test_a_missing_target_or_a_column_of_holes_is_refused(table):
    with pytest.raises(DataError, match="column 'y': value is missing"):
        table({"a": Y, "y": np.where(Y > 9.5, np.nan, Y)}, missing="mean")
    half = np.where(np.arange(N) == 0, 1.5, np.nan)
    seeds = [seed for seed in range(9) if 0 in np.random.default_rng(seed).permutation(N)[: N // 2]]
    with pytest.raises(DataError, match="'a' has no value in the training part"):
        table({"a": half, "b": Y, "y": Y}, missing="mean", test=0.5, split_seed=seeds[0])


@pytest.mark.parametrize(
    ("value", "why"), [("1e39", "too large for 32 bits"), ("inf", "not a finite number"), ("1e400", "not a finite")]
)
@pytest.mark.parametrize("where", ["a", "y"])
def test_values_that_no_network_can_take(table, value, why, where):
    columns = {"a": Y.astype(str), "y": Y.astype(str)}
    columns[where] = np.where(np.arange(N) == 3, value, columns[where])
    with pytest.raises(DataError, match=f"row 5, column '{where}': .*{why}"):
        table(columns)


def test_large_offsets_are_centred_before_they_are_rounded(table):
    stamps = 1_700_000_000_000 + 60 * np.arange(N)
    found = table({"t": stamps, "y": 1e9 + Y / 1000}, target_scaling="standard")
    from mlp_jax.model import Network
    from mlp_jax.rows import normalize, place

    data = place(Network(inputs=1, outputs=1), found, found.train)
    expected = (stamps - stamps.mean()) / stamps.std()
    np.testing.assert_allclose(np.asarray(normalize(data, data.x))[:, 0], expected, atol=1e-6)
    unit = found.train.y.astype(float) * found.target_scale + found.target_center
    np.testing.assert_allclose(unit - 1e9, Y / 1000, atol=1e-6)
    with pytest.warns(UserWarning, match="different values of t are the same in 32 bits"):
        table({"t": stamps, "y": Y}, scaling="none")


def test_pictures_in_columns(table):
    draw = np.random.default_rng(0)
    pixels = {f"pixel{k}": draw.integers(0, 256, N) for k in range(64)}
    found = table(pixels | {"y": np.arange(N) % 3})
    assert (found.shape, found.levels, found.train.x.dtype) == ((8, 8), 255, np.uint8)
    few = table({name: values // 9 for name, values in pixels.items()} | {"y": np.arange(N) % 3})
    assert (few.shape, few.levels) == ((64,), 0)
    assert "8 × 8 pixels from 0 to 255 in 64 columns" in sentence(found)


THOUSANDTHS = st.integers(-(10**9), 10**9).map(lambda n: n / 1000)


@given(st.lists(THOUSANDTHS, min_size=12, max_size=12), st.sampled_from([",", ";", "	"]))
def test_numbers_are_read_as_pandas_writes_them(tmp_path_factory, values, mark):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    frame = pandas.DataFrame({"a": values, "b": np.arange(12) + 0.5})
    frame.to_csv(path, sep=mark, index=False)
    found = load(str(path), column="b", scaling="none", **WHOLE)
    np.testing.assert_allclose(found.train.x[:, 0].astype(float), frame["a"], rtol=1e-6, atol=1e-6 * np.ptp(values))
