"""A run from configuration to result: budgets, evaluation points, stopping, resuming, records."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from mlp_jax import rows, trial
from mlp_jax.data import Dataset
from mlp_jax.machine import files, programs
from mlp_jax.training import budget, config, engine, loop, meshes, run, timetable
from mlp_jax.training.config import Config

QUICK = Config(epochs=2.0, hidden=(16,), evaluations=4)


def train(**changes):
    return run.train(dataclasses.replace(QUICK, **changes))


def leaves(state) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same_bits(a, b) -> None:
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_default_run_learns_digits():
    result = run.train(Config())
    assert result.metrics["test_accuracy"] >= 0.95
    assert result.status == "COMPLETE"
    assert result.steps == 2000


def test_clocks_add_up_to_the_wall_time():
    def gaps() -> tuple[float, float]:
        begin = time.perf_counter()
        seconds = run.train(Config(epochs=300.0)).seconds
        wall = time.perf_counter() - begin
        parts = sum(value for name, value in seconds.items() if name != "total")
        return abs(seconds["total"] - wall) / wall, abs(parts - seconds["total"]) / seconds["total"]

    outside, between = zip(*(gaps() for _ in range(3)))  # a busy machine only adds to either
    assert min(outside) < 0.02
    assert min(between) < 0.05


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (({"steps": 30}, 30), ({"epochs": 0.5}, 21), ({"steps": 30, "epochs": 0.5}, 21))
        ),
        ({"steps": 5, "epochs": 9.0}, 5),
    ],
)
def test_the_first_budget_to_run_out_binds(budget, steps):
    result = train(**{"epochs": None, **budget})
    assert len(result.dataset.train.y) == 1294
    assert result.steps == steps


@pytest.mark.slow
def test_budget_in_seconds_is_kept_and_evaluated_along_the_way():
    results = [train(epochs=None, seconds=1.0) for _ in range(3)]  # a busy machine only adds
    result = min(results, key=lambda each: each.seconds["training"])
    assert 1.0 <= result.seconds["training"] < 3.0
    assert result.cell.schedule == "constant"
    assert 4 <= len(result.history) <= 6
    assert result.history[-1]["step"] == result.steps


@pytest.mark.parametrize(
    ("spacing", "total", "points"),
    [
        ("linear", 8, [0, 2, 4, 6, 8]),
        ("log", 1000, [0, 1, 10, 100, 1000]),
        ("log", 8, [0, 1, 2, 4, 8]),
        ("linear", 2, [0, 1, 2]),
    ],
)
def test_evaluation_points(spacing, total, points):
    got = budget.evaluation_points(Config(spacing=spacing, evaluations=4), total)
    np.testing.assert_allclose(got, points)
    assert got[-1] == total


def test_history_has_a_row_at_every_point_and_the_last_is_the_end():
    result = train(evaluate_on=("train", "validation", "test"))
    assert [row["step"] for row in result.history] == [0, 20, 40, 61, 81]
    for split in ("train", "validation", "test"):
        assert result.history[-1][f"{split}_accuracy"] == result.metrics[f"{split}_accuracy"]
    assert result.history[0]["validation_accuracy"] < 0.35


def test_pace_of_glances_changes_no_number(monkeypatch):
    whole = train()
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    assert_same_bits(whole.state, train().state)


@pytest.mark.slow
def test_devices_that_share_the_rows_give_the_run_of_one_device(monkeypatch):
    config = dataclasses.replace(QUICK, batch_size=61, l2=0.01, noise_scale=True)
    one, meshes_used = run.train(config), []
    note = lambda cell, mesh, *rest: meshes_used.append(dict(mesh.shape)) or engine.Engine(cell, mesh, *rest)
    monkeypatch.setattr(loop, "Engine", note)
    several = run.train(config, mesh=(1, 8))
    assert meshes_used == [{"trial": 1, "data": 8}]
    assert several.metrics == pytest.approx(one.metrics, rel=1e-4)
    for ours, theirs in zip(several.history, one.history, strict=True):
        assert ours["noise_trace"] == pytest.approx(theirs["noise_trace"], rel=1e-3)


@pytest.mark.slow
def test_an_interrupted_run_on_several_devices_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    config = dataclasses.replace(QUICK, batch_size=61)
    whole = run.train(config, mesh=(1, 8))
    asked = iter(range(10**6))
    part = run.train(config, mesh=(1, 8), out=tmp_path, interrupted=lambda: next(asked) == 15)
    assert 0 < part.steps < whole.steps
    rest = run.train(config, mesh=(1, 8), out=tmp_path, resume=True)
    assert_same_bits(whole.state, rest.state)
    told = run.train(config, out=tmp_path, resume=True)  # what several devices saved is read by one
    assert told.metrics == pytest.approx(whole.metrics, rel=1e-5)


def test_a_mesh_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="mesh 1 × 5 does not fit the 8 device"):
        run.train(QUICK, mesh=(1, 5), out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_stops_at_the_target():
    result = train(epochs=20.0, evaluations=200, stop_at=0.8)
    assert result.history[-1]["validation_accuracy"] >= 0.8
    assert result.history[-2]["validation_accuracy"] < 0.8
    assert result.steps_to_target == result.steps < 809
    missed = train(stop_at=0.9999)
    assert missed.steps_to_target == math.inf
    assert missed.status == "COMPLETE"


def test_divergence_is_a_status():
    result = train(learning_rate=1e30, momentum=0.0, optimizer="momentum")
    assert result.status == "INFEASIBLE"
    assert result.failed is not None
    assert 0 < result.failed <= result.steps < 82
    text = json.dumps(result.summary(), allow_nan=False)
    assert json.loads(text)["status"] == "INFEASIBLE"
    assert "smaller learning rate" in result.table()


@pytest.mark.slow
def test_a_diverged_run_meets_no_target_whatever_the_largest_class():
    rng = np.random.default_rng(0)
    rare = rng.random(400) > 0.97  # nan > 0 is never true: a broken network says the large class of all
    data = Dataset.of(rng.normal(size=(400, 5)), np.where(rare, "rare", "large"), stratify=True)
    result = train(dataset=data.name, optimizer="sgd", learning_rate=1e30, stop_at=0.9, seed=3)
    assert result.history[0]["validation_accuracy"] < 0.9
    assert (result.status, result.steps_to_target) == ("INFEASIBLE", math.inf)
    assert all(math.isnan(row["validation_accuracy"]) for row in result.history[1:])
    assert math.isnan(result.metrics["test_accuracy"])


@pytest.mark.parametrize(("optimizer", "rate"), [pytest.param("sgd", 0.1, marks=pytest.mark.slow), ("adam", 0.03)])
@pytest.mark.slow
def test_full_batch_and_every_kind_of_task(optimizer, rate):
    for name, metric in (("iris", "accuracy"), ("breast_cancer", "accuracy"), ("diabetes", "r2")):
        result = train(dataset=name, batch_size="full", epochs=60.0, optimizer=optimizer, learning_rate=rate)
        assert result.steps == 60
        assert result.metrics[f"train_{metric}"] > (0.25 if metric == "r2" else 0.85)


@pytest.mark.slow
def test_regression_metrics_are_in_the_unit_of_the_target():
    result = train(dataset="diabetes", epochs=30.0, learning_rate=0.01)
    run_metrics = result.metrics
    assert 40 < run_metrics["test_mae"] < run_metrics["test_rmse"] < 90


@pytest.mark.slow
def test_relu_output_warns_of_negative_targets(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "d.npz", x=x, y=x @ [1.0, 2.0, -1.0])
    with pytest.warns(UserWarning, match="output relu can't reach negative targets"):
        train(dataset=str(tmp_path / "d.npz"), output="relu", epochs=1.0, batch_size=4, learning_rate=0.001)


def test_a_network_that_is_0_everywhere_is_said(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "d.npz", x=x, y=40 + x[:, 0])
    with pytest.warns(UserWarning, match="every output is 0: no example passes the ReLU"):
        train(dataset=str(tmp_path / "d.npz"), output="relu", steps=3, init="zeros", bias="none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "sigmoid"}, "output 'sigmoid' does not fit 'digits', which has 10 classes; use softmax"),
        ({"dataset": "diabetes", "output": "softmax"}, "which has real targets; use identity, relu"),
        ({"output": "identity"}, "does not fit"),
        ({"loss": "squared"}, "loss 'squared' does not fit output 'softmax'"),
        ({"batch_size": 1295}, "batch size 1295 is not allowed"),
        ({"stop_at": 0.9, "validation": 0}, "stop_at needs validation examples"),
        ({"epochs": None, "seconds": 1.0, "schedule": "linear"}, "needs to know its end"),
        ({"dataset": "diabetes", "label_smoothing": 0.1}, "label_smoothing"),
    ],
)
def test_configurations_that_do_not_fit_the_data(changes, message):
    with pytest.raises(ValueError, match=message):
        train(**changes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activation": "rleu"}, "unknown activation 'rleu'; choose one of gelu"),
        ({"output": "argmax"}, "unknown output 'argmax'"),
        ({"optimizer": "adma"}, "unknown optimizer 'adma'; choose one of adabelief, adadelta"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'"),
        ({"bias": "some"}, "unknown bias 'some'"),
        ({"init": "xavier"}, "unknown init 'xavier'"),
        ({"sampling": "shuffle"}, "unknown sampling"),
        ({"spacing": "even"}, "unknown spacing"),
        ({"hidden": (0,)}, "hidden width 0 is not allowed"),
        ({"learning_rate": -1.0}, "learning_rate -1.0 is not allowed; give a positive number"),
        ({"learning_rate": math.nan}, "learning_rate nan is not allowed"),
        ({"momentum": 1.0}, "momentum 1.0 is not allowed"),
        ({"optimizer": "sgd", "momentum": 0.9}, "optimizer 'sgd'.*has no hyper-parameter 'momentum'"),
        ({"batch_size": 0}, "batch size 0 is not allowed"),
        ({"epochs": 0.0}, "epochs 0.0 is not allowed"),
        ({"steps": -3}, "steps -3 is not allowed"),
        ({"seconds": math.inf}, "seconds inf is not allowed"),
        ({"evaluations": 0}, "evaluations 0 is not allowed"),
        ({"seed": -1}, "seed -1 is not allowed"),
        ({"seed": 2**32}, "seed 4294967296 is not allowed"),
        ({"stop_at": math.nan}, "stop_at nan"),
        ({"l2": -0.1}, "l2 -0.1 is not allowed"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0 is not allowed"),
    ],
)
def test_fields_that_are_not_allowed(fields, message):
    with pytest.raises(ValueError, match=message):
        Config(**fields)


def test_configuration_survives_json():
    given = Config(hidden=(3, 4), batch_size="full", l2=0.1, evaluate_on=("train", "test"))
    assert config.from_dict(json.loads(json.dumps(config.to_dict(given)))) == given
    with pytest.raises(ValueError, match="unknown field 'lr'"):
        config.from_dict({"lr": 1})


def test_run_directory_holds_everything(tmp_path):
    pandas = pytest.importorskip("pandas")
    result = run.train(QUICK, out=tmp_path / "run")
    assert files.parsed_json(tmp_path / "run/config.json") == json.loads(json.dumps(config.to_dict(QUICK)))
    assert json.loads((tmp_path / "run/environment.json").read_text())["jax"] == jax.__version__
    table = pandas.read_parquet(tmp_path / "run/metrics.parquet")
    assert list(table["step"]) == [row["step"] for row in result.history]
    np.testing.assert_array_equal(table["validation_loss"], [row["validation_loss"] for row in result.history])
    assert not list((tmp_path / "run").rglob("*.partial"))


@pytest.mark.parametrize("changes", [{}, {"spacing": "log", "batch_size": 700}])
def test_measuring_the_noise_scale_changes_nothing_else(changes):
    plain, measured = train(**changes), train(noise_scale=True, **changes)
    assert_same_bits(plain.state, measured.state)
    assert plain.metrics == measured.metrics
    assert list(measured.history[0]) == [*plain.history[0], "noise_trace", "noise_squared_norm", "noise_scale"]
    timeless = lambda row: {name: value for name, value in row.items() if name != "training_seconds"}
    for before, after in zip(plain.history, measured.history, strict=True):
        np.testing.assert_equal(timeless(before), {name: timeless(after)[name] for name in timeless(before)})


@pytest.mark.parametrize(
    "changes",
    [{"l2": 0.3, "label_smoothing": 0.2}, {"dataset": "diabetes"}, {"dataset": "breast_cancer", "hidden": ()}],
)
@pytest.mark.slow
def test_the_noise_scale_of_a_run_is_that_of_the_loss_it_trains_on(changes):
    """By hand, from the gradient of each training example as `trial.gradient` gives it."""
    result = train(noise_scale=True, **changes)
    data = rows.place(result.cell.network, result.dataset, result.dataset.train)
    each = jax.vmap(lambda i: trial.gradient(result.cell, result.hyper, data, result.params, i[None])[1])
    grads = jax.jit(each)(jax.numpy.arange(len(data.y)))
    flat = np.concatenate([np.asarray(leaf, np.float64).reshape(len(data.y), -1) for leaf in leaves(grads)], axis=1)
    squared_norm = float(np.sum(flat.mean(axis=0) ** 2))
    trace = float(np.mean(np.sum(flat**2, axis=1))) - squared_norm
    row = result.history[-1]
    assert row["step"] == result.steps
    assert [row[name] for name in trial.NOISE] == pytest.approx([trace, squared_norm, trace / squared_norm], rel=2e-4)


@pytest.mark.slow
def test_the_noise_scale_is_measured_by_one_program_of_its_own():
    cell = train(noise_scale=True, batch_size=8, hidden=(17,)).cell.evaluating
    assert train(noise_scale=True, batch_size="full", hidden=(17,), optimizer="adam", l2=0.1).cell.evaluating == cell
    program = programs.shared(engine._noise, cell, meshes.of_one_trial((1, 1), 8), None)
    assert len(program.compiled) == 1


def test_the_noise_of_a_run_that_diverges_is_no_error():
    result = train(noise_scale=True, learning_rate=1e30)
    assert result.status == "INFEASIBLE"
    assert math.isnan(result.history[-1]["noise_scale"])
    assert json.dumps(result.summary(), allow_nan=False)


def test_an_interrupted_run_goes_on_measuring(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    asked = dataclasses.replace(QUICK, noise_scale=True)
    whole, questions = run.train(asked), iter(range(10**6))
    assert run.train(asked, out=tmp_path, interrupted=lambda: next(questions) == 30).status == "INCOMPLETE"
    rest = run.train(asked, out=tmp_path, resume=True)
    assert_same_bits(whole.state, rest.state)
    table = pandas.read_parquet(tmp_path / "metrics.parquet")
    for name in ("step", *trial.NOISE):
        expected = [row[name] for row in whole.history]
        assert [row[name] for row in rest.history] == expected
        np.testing.assert_array_equal(table[name], expected)


def test_interrupted_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    whole = run.train(QUICK)
    asked = iter(range(10**6))
    part = run.train(QUICK, out=tmp_path, interrupted=lambda: next(asked) == 30)
    assert part.status == "INCOMPLETE"
    assert 0 < part.steps < whole.steps
    rest = run.train(QUICK, out=tmp_path, resume=True)
    assert_same_bits(whole.state, rest.state)
    keys = ("step", "validation_loss")
    assert [[row[k] for k in keys] for row in rest.history] == [[row[k] for k in keys] for row in whole.history]
    assert rest.seconds["total"] > part.seconds["total"]
    again = run.train(QUICK, out=tmp_path, resume=True)
    assert_same_bits(whole.state, again.state)
    assert again.metrics == whole.metrics


def test_another_run_in_the_directory_is_left_alone(tmp_path):
    run.train(QUICK, out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="holds this run already; add --resume"):
        run.train(QUICK, out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"another configuration \(seed 0 there, 1 here\)"):
        run.train(config.from_dict(config.to_dict(QUICK) | {"seed": 1}), out=tmp_path / "run", resume=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        run.train(QUICK, out=tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no run"):
        run.train(QUICK, out=tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


LONG = ["--hidden", "256", "256", "--epochs", "400", "--evaluations", "10", "--json"]
KILLED_RUN = """
import sys
from mlp_jax.training import loop
loop.CHECKPOINT_SECONDS = 0.3
from mlp_jax.cli.commands import main
main(sys.argv[1:])
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", KILLED_RUN, "train", *LONG, *arguments]


@pytest.mark.slow
def test_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole = subprocess.run(command("--out", str(tmp_path / "whole")), capture_output=True, text=True, check=True)
    for attempt in range(3):
        process = subprocess.Popen(command("--out", str(tmp_path / "killed"), "--resume"), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        seen = len(list((tmp_path / "killed/checkpoints").glob("*")))
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if not attempt or len(list((tmp_path / "killed/checkpoints").glob("*"))) > seen:
                time.sleep(0.4 if attempt else 1.5)
                break
        process.kill()
        process.wait()
    rest = subprocess.run(
        command("--out", str(tmp_path / "killed"), "--resume"), capture_output=True, text=True, check=True
    )
    a, b = json.loads(whole.stdout), json.loads(rest.stdout)
    for part in (a, b):
        del part["seconds"], part["report"]
    assert a == b
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_first(tmp_path, number):
    process = subprocess.Popen(
        command("--out", str(tmp_path / "run")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (tmp_path / "run/metrics.parquet").exists():
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted: saved in" in err
    assert json.loads(out)["status"] == "INCOMPLETE"
    assert list((tmp_path / "run/checkpoints").iterdir())


def assert_same_checkpoints(a, b) -> None:
    from mlp_jax.training import prediction

    assert_same_bits(prediction.read(a).params, prediction.read(b).params)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="Permission denied"):
        run.train(QUICK, out=tmp_path / "run")


def test_a_second_run_of_a_cell_compiles_nothing():
    first = run.train(QUICK)
    again = run.train(dataclasses.replace(QUICK, seed=3, learning_rate=0.01))
    assert again.seconds["compilation"] == 0
    assert again.metrics != first.metrics


@pytest.mark.slow
def test_a_run_at_another_precision_does_not_take_the_program_of_the_first():
    run.train(QUICK)
    with jax.default_matmul_precision("BF16_BF16_F32"):
        assert run.train(QUICK).seconds["compilation"] > 0
    assert run.train(QUICK).seconds["compilation"] == 0


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_that_is_interrupted_before_it_begins_is_incomplete(tmp_path, kept):
    found = run.train(QUICK, out=tmp_path / "run" if kept else None, interrupted=lambda: True)
    assert found.status == "INCOMPLETE"
    assert (found.steps, found.history) == (0, [])
    assert found.summary()["status"] == "INCOMPLETE"
    assert found.table()
    if kept:
        assert run.train(QUICK, out=tmp_path / "run", resume=True).status == "COMPLETE"
