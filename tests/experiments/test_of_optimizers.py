"""The experiments about optimizers of one's own and of others, in their quick form."""

import json
from types import SimpleNamespace

import numpy as np
import pandas
import pytest

from mlp_jax import optimizers


@pytest.mark.slow
def test_my_optimizer_is_studied_beside_sgd(load_script, capsys, tmp_path, monkeypatch, own_module):
    module = load_script("experiments/my_optimizer.py")
    module.main(module.Options(quick=True, out=tmp_path, json=True))
    found = json.loads(capsys.readouterr().out)
    assert set(found["best_batch_size"]) == {"sgd", module.NAME}
    (page,) = tmp_path.glob("*/report.html")
    assert module.NAME in page.read_text(encoding="utf-8")


def test_my_optimizer_takes_at_most_three_times_the_step_of_sgd(load_script, own_module):
    module = load_script("experiments/my_optimizer.py")
    hyper = optimizers.complete("agreeing", learning_rate=1.0)
    grads = np.array([[3.0, 4.0]], np.float32)
    state, steps = optimizers.build("agreeing", "constant", hyper).init(grads), []
    for sign in (1, 1, -1):
        new, state = optimizers.update("agreeing", "constant", hyper, sign * grads, state, 0 * grads)
        steps.append(float(-new[0, 0] / grads[0, 0]))
    assert steps == pytest.approx([3.0, 3.0, -1.0])  # the third gradient is against the mean of those before
    assert "momentum" in module.SM3.hyperparameters


@pytest.mark.slow
def test_large_batch_says_what_scales_furthest(load_script, capsys, tmp_path):
    module = load_script("experiments/large_batch.py")
    assert len(module.CONSTANTS) >= 12
    options = module.Options(quick=True, out=tmp_path, figure=tmp_path / "figure.svg")
    module.main(options)
    said = capsys.readouterr().out
    assert "Perfect scaling goes furthest, to B = " in said
    assert "<svg" in options.figure.read_text()
    for name in ("sgd", "lars", "schedule_free_sgd"):
        assert f"\n{name}" in said


def test_perfect_scaling_counts_from_the_smallest_batch_size(load_script):
    module = load_script("experiments/large_batch.py")
    assert module.perfect_to(module.Range(64.0, 256.0), 64) == 256.0
    assert module.perfect_to(module.Range(4096.0, 4096.0), 64) == 0.0
    assert module.perfect_to(module.Range(float("nan"), float("nan")), 64) == 0.0


def test_large_batch_tunes_what_each_optimizer_has(load_script):
    module = load_script("experiments/large_batch.py")
    for name in module.CONSTANTS:
        assert set(module.space(name)) <= set(optimizers.table(name))
        assert len(module.CONSTANTS[name]) <= 1


@pytest.mark.slow
def test_baselines_follow_the_protocol(load_script, capsys, tmp_path):
    module = load_script("experiments/baselines.py")
    where = {"csv": tmp_path / "table.csv", "figure": tmp_path / "figure.png"}
    module.main(module.Options(quick=True, out=tmp_path, json=True, **where))
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["optimizer"] for row in rows] == ["sgd", "adam", "muon"]
    written = pandas.read_csv(tmp_path / "table.csv")
    assert written["accuracy"].tolist() == pytest.approx([row["accuracy"] for row in rows])
    assert {row["rate"] for row in rows} <= {float(rate) for rate in np.geomspace(1e-5, 1e2, 4)}
    assert min(row["ratio"] for row in rows) == max(row["score"] for row in rows) == 1.0
    assert where["figure"].stat().st_size > 10_000
    assert max(row["accuracy"] for row in rows) > 0.8


def test_the_best_rate_is_soonest_if_trials_end_at_the_target_and_else_the_best_at_the_end(load_script):
    best = load_script("experiments/baselines.py").best
    accuracy = np.array([[0.5, 0.98, 0.9], [0.5, 0.8, 0.97], [0.5, 0.99, 0.8], [0.99, np.nan, np.nan]])
    step, status = np.tile([1, 2, 3], (4, 1)), np.array(["COMPLETE", "COMPLETE", "COMPLETE", "INFEASIBLE"])
    trials = lambda target, accuracy: SimpleNamespace(
        points={"validation_accuracy": accuracy, "step": step}, status=status, config=SimpleNamespace(stop_at=target)
    )
    assert best(trials(None, accuracy), 0.97) == 1
    ended = np.array([[0.5, 0.98, np.nan], [0.5, 0.8, 0.97], [0.5, 0.99, np.nan], [0.5, np.nan, np.nan]])
    assert best(trials(0.97, ended), 0.97) == 2, "of two at the same evaluation the better one"
    assert best(trials(0.999, ended), 0.999) == 2, "where none meets it, the one that ends best"


def test_baselines_refuse_what_is_not_there(load_script, tmp_path, monkeypatch):
    module = load_script("experiments/baselines.py")
    with pytest.raises(ValueError, match="unknown workload 'cifar'; choose of mnist_logreg, algoperf_mnist, mnist_mlp"):
        module.chosen(module.Options(workload=("cifar",)))
    monkeypatch.setattr(module, "PUBLISHED", tmp_path)
    with pytest.raises(ValueError, match="no baselines are published in .* yet; run this script with --csv first"):
        module.check(module.Options())
