import contextlib
import importlib.util
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "population.py"
COMPILED = ("torch_compile_processes", "torch_ensemble_compiled")


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("benchmarks/population.py")


@pytest.fixture
def small(script, monkeypatch):
    """The script with few rows, small matrices and one orientation."""
    monkeypatch.setattr(script.contenders, "ROWS", 200)
    monkeypatch.setattr(script.ceilings, "LARGE", 32)
    monkeypatch.setattr(script.ceilings, "ORIENTATIONS", script.ceilings.ORIENTATIONS[:1])
    monkeypatch.setattr(script.turns, "REST_SECONDS", 0.0)
    return script


def work(script, trials: int, rows: int | None = None):
    return script.Workload(*script.contenders.noise(rows), trials, "auto")


@pytest.mark.slow
def test_json_is_one_object_with_every_contender_and_the_limit():
    command = [sys.executable, str(SCRIPT), "--quick", "--json", "--trials", "4", "--batch-sizes", "8"]
    result = subprocess.run([*command, "--without", *COMPILED], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    record = json.loads(result.stdout)
    assert set(record) == {"trials", "batch", "optimizers", "gemm_gflops_large", "environment"}
    row = record["batch"]["8"]
    torch, sklearn = (importlib.util.find_spec(name) is not None for name in ("torch", "sklearn"))
    assert row["us"] > 0
    assert row["share"] == pytest.approx(row["limit"] / row["us"], abs=0.01)
    for name in ("torch_eager", "torch_eager_processes", "torch_ensemble"):
        assert (row[name] is not None) == torch
    assert (row["sklearn"] is not None) == sklearn
    assert all(row[name] is None for name in COMPILED)
    assert record["gemm_gflops_large"] > row["gemm_gflops"] / 10


@pytest.mark.slow
def test_all_contenders_train_alike(small):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    size, trials = 32, 3  # the mini-batch is all rows, so that no order matters
    task, start = work(small, trials, rows=size), small.weights(trials)
    torch = {make.__name__: make for make in (small.contenders.torch_eager, small.contenders.torch_ensemble)}
    sklearn = {"sklearn": small.contenders.sklearn}
    losses = {}
    for name, make in (torch | sklearn | {"us": None}).items():
        contender = make(task.x, task.y, start, size) if make else small.ours(task, size)
        before = contender.loss()
        contender.run(5)
        losses[name] = (before, contender.loss())
    assert losses["us"][1] < 0.9 * losses["us"][0]
    for name in torch:
        assert losses[name] == pytest.approx(losses["us"], rel=1e-4)
    # scikit-learn took a step before it was given the weights, whose momentum is left
    assert losses["sklearn"] == pytest.approx(losses["us"], rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_pytorch_is_settled_for_a_time_alone(small, fails):
    """Denormal numbers that count for zero would do so for all that this process computes from then on."""
    torch, denormal = pytest.importorskip("torch"), np.array([1e-310])
    threads = torch.get_num_threads()
    with contextlib.suppress(KeyError), small.contenders.settled_torch(threads + 1):
        assert torch.get_num_threads() == threads + 1
        assert (denormal * 0.5 == 0).all()
        if fails:
            raise KeyError
    assert torch.get_num_threads() == threads
    assert (denormal * 0.5 > 0).all()


@pytest.mark.slow
def test_a_fleet_shares_the_trials_and_ends(small):
    pytest.importorskip("sklearn")
    task, start = work(small, 3), small.weights(3)
    alone = small.contenders.sklearn(task.x, task.y, start, 8)
    with small.Fleet(2) as fleet:
        contender = fleet.contender("sklearn", start, 8)
        assert contender.loss() == pytest.approx(alone.loss())
        contender.run(2)
        assert contender.loss() != pytest.approx(alone.loss())
        with pytest.raises(RuntimeError, match="nothing"):
            fleet.contender("nothing", start, 8)
        assert contender.loss() > 0  # and goes on
        processes = multiprocessing.active_children()
        assert len(processes) == 2
    for process in processes:
        process.join(10)
        assert process.exitcode == 0


@pytest.mark.slow
def test_the_record_of_one_batch_size(small):
    record = small.measure(work(small, 9), (8,), small.RIVALS, small.Effort(1, 0.001), False)
    row = record["batch"]["8"]
    assert set(row) == {
        "us",
        "limit",
        "share",
        "gemm_gflops",
        *small.rivals(),
        "torch_best",
        "torch_best_name",
        "ratio",
    }
    assert row["us"] > 0
    assert row["limit"] > 0
    assert row["torch_best"] is row["torch_best_name"] is row["sklearn"] is None
    assert record["trials"] == 9
    assert record["gemm_gflops_large"] > 0
    assert "–" in small.table(record)


@pytest.mark.slow
def test_every_optimizer_is_timed(small, monkeypatch):
    monkeypatch.setattr(small.optimizers, "CLASSICAL", {name: small.optimizers.CLASSICAL[name] for name in ("adam",)})
    monkeypatch.setattr(small, "OPTIMIZER_BATCH_SIZE", 4)
    times = small.compare_optimizers(work(small, 8), small.Effort(1, 0.001))
    assert set(times) == {"adam"}
    assert times["adam"] > 0


def test_a_row_names_the_best_of_pytorch_and_the_share(script):
    medians = {"us": 10.0, "torch_eager": 60.0, "torch_ensemble": 30.0, "sklearn": 20.0}
    row = script.row(medians, {"products": 4.0, "update": 3.0, "gather": 1.0}, 32)
    assert (row["limit"], row["share"]) == (8.0, 0.8)
    assert (row["torch_best"], row["torch_best_name"]) == (30.0, "torch_ensemble")
    assert row["ratio"] == {"torch_eager": 6.0, "torch_ensemble": 3.0, "sklearn": 2.0}
    assert row["torch_compile_processes"] is None
    assert row["gemm_gflops"] == pytest.approx(32 * 1_007_104 / 4.0 / 1e3, abs=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trials", "0"], "--trials 0 is not allowed; give a whole number of at least 1"),
        (["--batch-sizes", "0"], "--batch-sizes 0 is not allowed"),
        (["--placement", "everywhere"], "unknown placement 'everywhere'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(small, monkeypatch, options, words):
    monkeypatch.setattr(sys, "argv", ["population.py", "--quick", *options])
    with pytest.raises(SystemExit, match=f"^error: {words}"):
        small.main()
    assert jax.default_backend() == "cpu"
