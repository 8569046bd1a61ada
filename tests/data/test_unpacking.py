"""Small files that unpack to gigabytes are refused in one sentence, and never take the memory."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.data import DataError, idx, npz, table, unpacking
from mlp_jax.data.options import Options

MEGABYTE = 1 << 20


@pytest.fixture
def small(monkeypatch):
    """Call large what has more than a megabyte, so that a bomb need not be larger."""
    monkeypatch.setattr(unpacking, "LARGE", MEGABYTE)


def packed(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


@pytest.mark.parametrize("content", [b"a,b\n" + b"0,0\n" * 2 * MEGABYTE, b"0" * 8 * MEGABYTE])
def test_a_table_that_grows_a_thousandfold_is_refused(small, tmp_path, content):
    bomb = packed(tmp_path / "bomb.csv.gz", content)
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"bomb\.csv\.gz has 0\.0 MB and unpacks to .* GB or more.*give it uncompressed"
    ):
        table.read_table(bomb, Options())
    assert tracemalloc.get_traced_memory()[1] < 6 * MEGABYTE
    tracemalloc.stop()


def test_a_table_of_usual_size_is_read(small, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40_000, 4)).round(4)
    text = "a,b,c,d\n" + "\n".join(",".join(map(str, row)) for row in rows)
    assert len(text) > MEGABYTE
    read = table.read_table(packed(tmp_path / "whole.csv.gz", text.encode()), Options(column="d"))
    assert read.rows == 40_000


def test_an_idx_file_is_unpacked_as_far_as_its_header_says(small):
    header = b"\0\0\x08\x02" + (2).to_bytes(4, "big") * 2
    assert idx.decompress(gzip.compress(header + b"abcd"), "pair") == header + b"abcd"
    bomb = gzip.compress(header + b"\0" * 8 * MEGABYTE)
    tracemalloc.start()
    content = idx.decompress(bomb, "bomb")
    assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    tracemalloc.stop()
    with pytest.raises(DataError, match="bomb holds 5 bytes, but its header says 2 x 2"):
        idx.parse(content, 2, "bomb")


def test_an_idx_header_that_says_too_much_is_refused_before_it_is_read():
    header = b"\0\0\x08\x03" + b"\xff" * 12
    with pytest.raises(DataError, match="unpacks to .* more than there is memory"):
        idx.decompress(gzip.compress(header), "bomb")


def test_an_archive_that_grows_a_thousandfold_is_refused(small, tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((MEGABYTE, 8)), y=np.zeros(MEGABYTE))
    with pytest.raises(DataError, match=r"bomb\.npz has 0\.\d MB and unpacks to 0\.1 GB or more"):
        npz.read_npz(tmp_path / "bomb.npz", Options())


def test_half_a_gzip_file_is_named(tmp_path):
    whole = gzip.compress(b"\0\0\x08\x01\0\0\0\x04abcd")
    with pytest.raises(DataError, match="half is no whole gzip file"):
        idx.decompress(whole[:-9], "half")
