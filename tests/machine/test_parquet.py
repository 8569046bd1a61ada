"""Columns in Parquet: they come back bit for bit, or it is said that they do not."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from mlp_jax.machine import parquet

COLUMNS = {
    "step": np.arange(7),
    "loss": np.array([0.1, np.nan, np.inf, -0.0, 1e-300, 3, 4]),
    "rate": np.float32([1, 2, 3, 4, 5, 6, 7]),
    "status": list("abcabca"),
    "missing": [None, 1.5, None, 2.5, 3.5, None, 0.0],
    "failed": np.arange(7) > 3,
}


def test_columns_come_back(tmp_path):
    parquet.write(tmp_path / "a.parquet", COLUMNS)
    found = parquet.read(tmp_path / "a.parquet")
    assert found.column_names == list(COLUMNS)
    for name, column in COLUMNS.items():
        assert str(found[name].to_pylist()) == str(list(np.asarray(column).tolist()))
    parquet.write(tmp_path / "a.parquet", {})
    assert parquet.read(tmp_path / "a.parquet").num_columns == 0


def test_any_flipped_bit_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write(path, COLUMNS)
    whole, table = path.read_bytes(), parquet.read(path)
    rng, noticed = np.random.default_rng(0), 0
    for at in rng.integers(0, len(whole), 500):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.integers(8)]) + whole[at + 1 :])
        try:
            assert str(parquet.read(path).to_pydict()) == str(table.to_pydict())
        except ValueError:
            noticed += 1
    assert noticed > 250


@pytest.mark.parametrize("put", ["directory", "foreign", "edited", "cut"])
def test_what_is_another_file_is_refused(tmp_path, put):
    path = tmp_path / "a.parquet"
    parquet.write(path, COLUMNS)
    table = pyarrow.parquet.read_table(path)
    if put == "directory":
        path.unlink()
        path.mkdir()
    elif put == "foreign":
        pyarrow.parquet.write_table(pyarrow.table({"step": [1]}), path)
    elif put == "edited":
        pyarrow.parquet.write_table(table.slice(1), path)
    else:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"regular|checksum|not those|Parquet"):
        parquet.read(path)
