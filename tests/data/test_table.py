"""Tables of the user's: how their text is written, and what is no table."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas
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
    dataset = load(csv(tmp_path), column="kind", validation=0, test=0, scaling="none")
    x = [[30, 0, 0, 1, 1.7], [41, 0, 1, 0, 1.8], [52, 0, 0, 1, 1.6], [23, 1, 0, 0, 1.9]]
    np.testing.assert_allclose(dataset.train.x, x, rtol=1e-6)
    np.testing.assert_array_equal(dataset.train.y, [0, 1, 0, 1])
    assert dataset.classes == ("a", "b")
    assert dataset.task == "binary"


def test_csv_of_other_programs(tmp_path):
    """A mark of UTF-8, lines that end as on Windows, empty lines, spaces around cells, commas within quotes."""
    text = "\ufeff" + TABLE.replace("30,", " 30 ,").replace("Rome", '"Rome, IT"').replace("\n", "\r\n") + "\r\n"
    ours, plain = (load(csv(tmp_path, each), column="kind", validation=0, test=0) for each in (text, TABLE))
    np.testing.assert_array_equal(ours.train.x, plain.train.x)
    assert ours.classes == plain.classes


def test_csv_real_target(tmp_path):
    dataset = load(csv(tmp_path), column="height", validation=0, test=0, target_scaling="standard")
    assert dataset.task == "regression"
    unit = dataset.train.y * dataset.target_scale + dataset.target_center
    np.testing.assert_allclose(unit, [1.7, 1.8, 1.6, 1.9], rtol=1e-6)


def test_csv_with_few_whole_numbers_is_classification(tmp_path):
    dataset = load(csv(tmp_path, "a,y\n1,5\n2,7\n3,5\n"), column="y", validation=0, test=0)
    assert dataset.classes == ("5", "7")
    np.testing.assert_array_equal(dataset.train.y, [0, 1, 0])


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (TABLE, None, "needs --column.*age, town, height, kind"),
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
        load(csv(tmp_path, text), column=target)


def test_csv_that_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,y\n\xff\x81,1\n")
    with pytest.raises(DataError, match="can't be read as CSV"):
        load(str(tmp_path / "t.csv"), column="y")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", "  "])
@pytest.mark.parametrize("suffix", [".csv", ".TSV", ".txt", ".csv.gz"])
def test_separators_suffixes_and_blank_lines_change_nothing(tmp_path, mark, suffix):
    text = "\n" + TABLE.replace(",", mark).replace("\n", "\n\n  \n")
    path = tmp_path / f"table{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    ours, plain = (load(str(name), column="kind", validation=0, test=0) for name in (path, csv(tmp_path)))
    np.testing.assert_array_equal(ours.train.x, plain.train.x)
    assert ours.columns == plain.columns


def test_row_numbers_are_those_of_an_editor(tmp_path):
    text = TABLE.replace("\n", "\n\n").replace("1.6", "")
    assert text.splitlines().index("52,Rome,,a") == 6
    with pytest.raises(DataError, match="row 7, column 'height': value is missing"):
        load(csv(tmp_path, text), column="kind")
    with pytest.raises(DataError, match="row 7 has 3 cells"):
        load(csv(tmp_path, text.replace(",,", ",")), column="kind")


def test_without_a_header_columns_are_called_by_their_place(tmp_path):
    plain = load(csv(tmp_path), column="kind", validation=0, test=0)
    rows = TABLE.split("\n", 1)[1]
    for options in ({}, {"header": "no"}):
        found = load(csv(tmp_path, rows), column="4", validation=0, test=0, **options)
        np.testing.assert_array_equal(found.train.x, plain.train.x)
        assert [column.name for column in found.columns] == ["1", "2", "3"]
    with pytest.raises(DataError, match="no column 'kind'; it has 1, 2, 3, 4"):
        load(csv(tmp_path, rows), column="kind")
    asked = load(
        csv(tmp_path, TABLE), column="4", header="no", validation=0, test=0, task="classification", drop=["1", "3"]
    )
    assert asked.classes == ("a", "b", "kind"), "the first row is one of the rows where that is said"


def test_numbers_may_name_columns(tmp_path):
    frame = pandas.DataFrame({0: [1.5, 2.5, 3.5], 1: [4, 5, 6], "kind": ["a", "b", "a"]})
    frame.to_csv(tmp_path / "frame.csv")
    found = load(str(tmp_path / "frame.csv"), column="kind", validation=0, test=0)
    assert [(column.name, column.kind) for column in found.columns] == [
        ("", "left out"),
        ("0", "number"),
        ("1", "number"),
    ]
    years = load(csv(tmp_path, "2019,2020,y\n1,2,3.5\n4,5,6.5\n"), column="y", validation=0, test=0)
    assert len(years.train.y) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes(TABLE.replace("Rome", "Køge").encode(encoding))
    found = load(str(tmp_path / "t.csv"), column="kind", validation=0, test=0)
    assert found.columns[1].categories == ("Bern", "Køge", "Oslo")


def test_what_is_no_table(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name, content, message in (
        ("cut.csv.gz", gzip.compress(TABLE.encode())[:-9], "cut.csv.gz can't be read as CSV"),
        ("long.csv", b"a" * 2**24, "a line of 16,777,216 characters"),
        ("wide.csv", b"a,b\n1,2,3\n4,5,6\n", "rows have more cells than the first one"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / name), column="b")
    with pytest.raises(DataError, match="holds no IDX files"):
        load(str(tmp_path / "folder.csv"))
    with pytest.raises(ValueError, match="separator 'semi' is not allowed; give one character, or one of tab"):
        load(str(tmp_path / "wide.csv"), separator="semi")
    with pytest.raises(ValueError, match="unknown option 'target' in the options of a data set; it has column, task"):
        load(str(tmp_path / "wide.csv"), target="b")


def test_many_chunks_are_one_table(tmp_path, monkeypatch):
    """A column of numbers may hold text in its last row alone, and bytes in its first rows alone."""
    draw = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": draw.integers(0, 256, 900), "b": draw.normal(size=900), "c": ["7"] * 899 + ["x"]})
    frame.loc[850, "a"] = 10**6
    frame = frame.assign(y=draw.normal(size=900))
    frame.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.setattr("mlp_jax.data.table.CHUNK_CELLS", 400)
    found = load(str(tmp_path / "t.csv"), column="y", validation=0, test=0, scaling="none", drop=["c"])
    np.testing.assert_allclose(found.train.x, frame[["a", "b"]], rtol=1e-6)
    with pytest.raises(DataError, match="row 901, column 'c': 'x' is not a finite number"):
        load(str(tmp_path / "t.csv"), column="y")


def test_files_of_a_name_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="t.csv is not a file"):
        load(str(tmp_path / "t.csv"), column="y")


# The high water of this process's own memory: ru_maxrss begins, after an exec, at what the parent had.
MEASURED = """
import pathlib, sys, time
from mlp_jax.data import load
begin = time.process_time()
data = load(sys.argv[1], column="label")
seconds = time.process_time() - begin
status = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(seconds, int(status["VmHWM"].split()[0]) / 1024, *data.train.x.shape, data.levels)
"""


@pytest.mark.slow
def test_a_large_table_takes_little_time_and_memory(tmp_path):
    """42,000 pictures of 28 × 28 in a CSV file: 3 s and 600 MB the first time, 1 s after that."""
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 784)) * (np.arange(784) % 5 == 0)
    rows = [f"{number % 10},{','.join(map(str, row))}\n" for number, row in enumerate(pixels.tolist())]
    path = tmp_path / "large.csv"
    path.write_text("label," + ",".join(f"pixel{k}" for k in range(784)) + "\n" + "".join(rows) * 42)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JAXTYPING_DISABLE": "1"}
    for seconds in (3, 1):
        told = subprocess.run([sys.executable, "-c", MEASURED, str(path)], env=environment, capture_output=True)
        assert told.returncode == 0, told.stderr
        took, megabytes, *shape = map(float, told.stdout.split())
        assert shape == [30240, 784, 255]
        assert took <= seconds
        assert megabytes <= 600
