"""Files on disk: whole or not there, and never another run's."""

import errno
import json
import math

import numpy as np
import pytest

from mlp_jax.machine import files
from mlp_jax.training.config import Config
from mlp_jax.training.directory import Records


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def fill_the_disk(partial):
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"can't write .*file: No space left on device"):
        files.replace(path, fill_the_disk)
    assert path.read_text() == "before"
    files.replace(path, lambda partial: partial.write_text("after"))
    assert path.read_text() == "after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_numbers_that_json_lacks_become_null(tmp_path):
    kept = Records(tmp_path / "run", Config(), resume=False)
    kept.write_json("numbers.json", {"a": [1.5, math.nan, {"b": -math.inf}], "c": (2, "x", None)})
    assert json.loads((tmp_path / "run/numbers.json").read_text()) == {
        "a": [1.5, None, {"b": None}],
        "c": [2, "x", None],
    }


def test_rows_with_different_columns_make_one_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    kept = Records(tmp_path, Config(), resume=False)
    kept.write_metrics([{"step": 0, "loss": math.nan}, {"step": 3, "loss": 0.5}])
    table = pandas.read_parquet(tmp_path / "metrics.parquet")
    assert list(table["step"]) == [0, 3]
    np.testing.assert_array_equal(table["loss"], [math.nan, 0.5])


def test_a_damaged_configuration_is_named(tmp_path):
    Records(tmp_path, Config(), resume=False)
    (tmp_path / "config.json").write_text('{"datas')
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        Records(tmp_path, Config(), resume=True)
    assert (tmp_path / "config.json").read_text() == '{"datas'


def test_what_an_interrupted_write_left_does_not_block_the_directory(tmp_path):
    (tmp_path / "config.json.123.partial").write_text("{")
    Records(tmp_path, Config(), resume=False)
    assert (tmp_path / "config.json").exists()
