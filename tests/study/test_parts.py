"""A part of a study: what lies in its place counts only where it is that part, with the rows that were written."""

import os
from pathlib import Path

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax.study import parts

ROWS = pandas.DataFrame(
    {
        "trial": ["a-0", "a-0", "a-1"],
        "step": [0, 3, 0],
        "learning_rate": [0.1, 0.1, np.inf],
        "validation_accuracy": np.array([0.5, np.nan, 1.0], np.float32),
        "batch_size": [8, 8, 8],
        "failed": [False, False, True],
        "target": [None, "x", None],
    }
)


@pytest.fixture
def path(tmp_path) -> Path:
    (tmp_path / "tuning").mkdir()
    (tmp_path / "winners").mkdir()
    return tmp_path / "tuning" / "cell-0-0123456789abcdef.parquet"


def test_rows_come_back_as_they_were_with_what_made_them(path):
    rows = ROWS.copy()
    rows.attrs[parts.MADE_BY] = parts.made_here()
    parts.write(path, rows)
    found = parts.read(path)
    assert_frame_equal(found, ROWS)
    assert found.attrs[parts.MADE_BY] == parts.made_here()
    assert {"mlp_jax", "jax", "platform", "x64"} <= parts.made_here().keys()
    assert rows.attrs == {parts.MADE_BY: parts.made_here()}


def test_a_missing_part_is_none_without_a_word(path):
    assert parts.read(path) is None


def foreign(path: Path) -> None:
    """The part of another job, under this name."""
    other = path.with_name("other-0-0123456789abcdef.parquet")
    parts.write(other, ROWS)
    other.rename(path)


def of_the_other_phase(path: Path) -> None:
    other = path.parent.parent / "winners" / path.name
    parts.write(other, ROWS)
    other.rename(path)


def changed(path: Path) -> None:
    """Its own marks, but another row: as one who edits a part would leave it."""
    parts.write(path, ROWS)
    rows = pandas.read_parquet(path)
    rows.loc[0, "step"] = 1
    rows.to_parquet(path, index=False)


def shuffled(path: Path) -> None:
    parts.write(path, ROWS)
    pandas.read_parquet(path).iloc[::-1].to_parquet(path, index=False)


def without_rows(path: Path) -> None:
    parts.write(path, ROWS)
    pandas.read_parquet(path).iloc[:0].to_parquet(path, index=False)


def renamed_column(path: Path) -> None:
    parts.write(path, ROWS)
    pandas.read_parquet(path).rename(columns={"step": "steps"}).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (foreign, "says that it is tuning/other-0-0123456789abcdef"),
        (of_the_other_phase, "says that it is winners/cell-0-0123456789abcdef"),
        (lambda path: ROWS.to_parquet(path), "says that it is no part of a study"),
        (changed, "its rows are not those that were written"),
        (shuffled, "its rows are not those that were written"),
        (without_rows, "its rows are not those that were written"),
        (renamed_column, "its rows are not those that were written"),
        (Path.mkdir, "no regular file"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.write_bytes(b""), ""),
    ],
)
def test_anything_else_in_its_place_is_damage(path, put, said):
    put(path)
    with pytest.warns(UserWarning, match=rf"cell-0-0123456789abcdef.parquet is damaged \(.*{said}.*\): it is left out"):
        assert parts.read(path) is None


def test_rows_are_compared_with_their_checksum_once_and_again_when_the_file_is_another(path, monkeypatch):
    counted, checksum = [], parts._checksum
    monkeypatch.setattr(parts, "_checksum", lambda rows: counted.append(len(rows)) or checksum(rows))
    parts.write(path, ROWS)
    counted.clear()
    assert parts.read(path) is not None
    assert parts.read(path) is not None
    assert counted == [3]
    changed(path)
    counted.clear()
    with pytest.warns(parts.Damage, match="its rows are not those that were written"):
        assert parts.read(path) is None
    assert counted == [3]


def test_a_folder_may_have_a_name_that_is_no_text(tmp_path):
    path = tmp_path / b"\xff".decode(errors="surrogateescape") / "tuning" / "cell-0-0123456789abcdef.parquet"
    path.parent.mkdir(parents=True)
    parts.write(path, ROWS)
    found = parts.read(path)
    assert found is not None
    assert_frame_equal(found, ROWS)
