"""The benchmark's table reader, and its command line on a small table of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.analysis import testbed


@pytest.fixture(scope="module")
def replication(load_script):
    return load_script("benchmarks/replication.py")


def write(folder: Path, **without: None) -> None:
    rates, sizes = 10 ** np.linspace(-3, 1, 33), np.array([1, 8, 64])
    valley = 50 * np.exp(3 * (np.log10(rates) + 1) ** 2)[:, None] * np.random.default_rng(0).lognormal(0, 0.2, (33, 9))
    steps = {f"steps_{size}": valley * (1 + 20 / size) for size in sizes}
    arrays = {"rates": rates, "sizes": sizes, **steps}
    np.savez(folder / "sgd.npz", **{name: array for name, array in arrays.items() if name not in without})


def test_a_table_is_read_and_scored(replication, tmp_path, monkeypatch, capsys):
    write(tmp_path)
    command = ["replication.py", "--table", str(tmp_path), "--studies", "4", "--resamples", "30", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    replication.main()
    record = json.loads(capsys.readouterr().out)
    assert record["optimizers"]["sgd"]["b_crit_true"] == pytest.approx(20, rel=0.15)
    assert record["trials_per_cell"] == 28
    assert "commit" in record["environment"]
    assert "sgd" in replication.shown(record)


def test_a_packed_table_is_the_same_table(replication, tmp_path, monkeypatch):
    write(tmp_path)
    packed = tmp_path / "packed" / "small.npz"
    packed.parent.mkdir()
    monkeypatch.setattr(sys, "argv", ["replication.py", "--table", str(tmp_path), "--pack", str(packed)])
    replication.main()
    (one,), (other,) = replication.read(tmp_path).values(), testbed.load(np.load(packed)).values()
    for ours, theirs in zip(one, other):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_what_is_no_table_is_said_in_one_sentence(replication, tmp_path, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"no \.npz"):
        replication.read(tmp_path)
    write(tmp_path, steps_8=None)
    monkeypatch.setattr(sys, "argv", ["replication.py", "--table", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        replication.main()
    assert "give rates, sizes and steps_<B>" in capsys.readouterr().err
