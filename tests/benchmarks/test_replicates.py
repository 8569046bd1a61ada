"""Dense tables and replicates of a small study: the numbers of single runs, found again; what is there is kept."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.study import Study, cells
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.training.population import train_many

STUDY = Study(
    workload=Config(hidden=(8,), validation=0.2),
    optimizers=("sgd",),
    batch_sizes=(64, 256, 512),
    rounds=1,
    fresh_seeds=1,
    max_steps=150,
    target=0.8,
)
RATES, SEEDS = 33, 2


@pytest.fixture(scope="module")
def dense(load_script):
    return load_script("benchmarks/dense.py")


@pytest.fixture(scope="module")
def tables(dense):
    dataset = configs.load_data(STUDY.workload)
    return dense.make(STUDY, "sgd", dataset, rates=RATES, seeds=SEEDS)


@pytest.mark.slow
def test_a_trial_of_a_table_is_the_run_that_it_names(dense, tables):
    """One by one, with so many looks and the study's own target, they take the steps that the table has."""
    dataset = configs.load_data(STUDY.workload)
    (cell,) = [each for each in cells.of(STUDY, cells.facts(STUDY, dataset)) if each.batch_size == 64]
    seeds = np.random.default_rng([STUDY.seed, 64]).integers(0, 2**31, RATES * SEEDS).reshape(RATES, SEEDS)
    for looks, table in tables.items():
        k = int(np.isfinite(table.steps[0]).all(axis=1).nonzero()[0][-1])
        asked = dataclasses.replace(cell.config, evaluations=looks + 1)
        alone = train_many(asked, {"learning_rate": table.rates[[k]]}, seeds[k, [1]], evaluation_share=1.0)
        assert alone.steps_to_target[0] == table.steps[0, k, 1]
    assert set(tables) == set(dense.LOOKS)
    assert table.sizes.tolist() == [64, 256, 512]
    np.testing.assert_allclose(table.rates[[0, -1]], STUDY.spaces["sgd"]["learning_rate"].ends)


@pytest.mark.slow
def test_replicates_are_scored_and_not_trained_again(load_script, tables, tmp_path, monkeypatch, capsys):
    replication = load_script("benchmarks/replication.py")
    (tmp_path / "study.toml").write_text(replication.studies.to_toml(STUDY))
    for looks, table in tables.items():
        (tmp_path / str(looks)).mkdir()
        steps = {f"steps_{size:g}": of for size, of in zip(table.sizes, table.steps)}
        np.savez(tmp_path / str(looks) / "sgd.npz", rates=table.rates, sizes=table.sizes, **steps)
    command = ["replication.py", "--replicates", "2", "--study", str(tmp_path / "study.toml"), "--out", str(tmp_path)]

    def score() -> dict:
        monkeypatch.setattr(sys, "argv", [*command, "--json"])
        replication.main()
        return json.loads(capsys.readouterr().out)

    times = lambda: {path: path.stat().st_mtime_ns for path in Path(tmp_path / "replicates").rglob("*.parquet")}
    found, made = score(), times()
    again = score()
    assert times() == made
    assert len({path.parts[-3] for path in made}) == 2, "each replicate has a study of its own"
    sgd = found["optimizers"]["sgd"]
    assert (found["replicates"], again["optimizers"]["sgd"]) == (2, sgd)
    assert set(sgd["steps_by_batch_size"].values()) <= {0.0, 50.0, 100.0}
    assert set(found["b_crit_by_looks"]["sgd"]) == {"120", "240", "480"}
    assert "B_crit of the tables" in replication.replicates.shown(found)


def test_shares_and_contradictions_are_counted(load_script):
    replicates = load_script("benchmarks/replicates.py")
    first, second, none = "the first is less", "the second is less", "not told apart"
    assert replicates._agreement([first, first, none, first]) == {"most": first, "share": 75, "contradicted": False}
    assert replicates._agreement([first, second, first])["contradicted"]
    inside, outside, unknown = Estimate(5, 4, 6), Estimate(5, 4, 4.5), Estimate(np.nan, 0, np.inf)
    assert replicates._share([(5, inside), (5, outside), (5, unknown)]) == 50
    assert replicates._share([(5, unknown)]) is None


def test_what_keeps_what_it_trains_asks_for_a_folder(load_script, monkeypatch, capsys):
    replication = load_script("benchmarks/replication.py")
    monkeypatch.setattr(sys, "argv", ["replication.py", "--replicates", "2"])
    with pytest.raises(SystemExit, match="2"):
        replication.main()
    assert "give its folder with --out" in capsys.readouterr().err
