"""A population against the same trials alone: every placement, however many devices, whatever the neighbours do."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from mlp_jax import trial
from mlp_jax.training import engine, loop, meshes, population, run, timetable
from mlp_jax.training.config import Config
from mlp_jax.training.trials import Trials

EVERYWHERE = ("train", "validation", "test")
IRIS = Config(dataset="iris", hidden=(8,), batch_size=8, epochs=3.0, evaluations=3, evaluate_on=EVERYWHERE)
RATES = np.geomspace(0.003, 0.3, 17)
RATES[3] = 1e30  # this one diverges


def train(config: Config = IRIS, count: int = 5, **options):
    options = {"evaluation_share": 1.0} | options
    return population.train(config, {"learning_rate": RATES[:count]}, np.arange(count) // 2, **options)


def alone(config: Config, count: int) -> list[run.Run]:
    """Return the runs of the trials that `train` puts into one population."""
    each = zip(RATES[:count], np.arange(count) // 2, strict=True)
    return [run.train(dataclasses.replace(config, learning_rate=float(r), seed=int(s))) for r, s in each]


def assert_equal_to_trials_alone(found: Trials, runs: list[run.Run], tolerance: float) -> None:
    for row, one in enumerate(runs):
        assert found.status[row] == one.status
        if one.status == "INFEASIBLE":
            assert (found.failed[row], found.steps[row]) == (one.failed, one.steps)
            continue
        assert found.steps[row] == one.steps
        for split in EVERYWHERE:
            assert found.metrics[f"{split}_loss"][row] == pytest.approx(one.metrics[f"{split}_loss"], rel=tolerance)
        losses = found.history["validation_loss"][found.history["trial"] == row]
        assert losses == pytest.approx([entry["validation_loss"] for entry in one.history], rel=tolerance)


@pytest.fixture(scope="module")
def seventeen() -> list[run.Run]:
    runs = alone(IRIS, 17)
    assert [one.status for one in runs].count("INFEASIBLE") == 1
    return runs


@pytest.mark.parametrize(
    ("number_of_devices", "how", "count", "at_once"),
    [
        pytest.param(1, "map", 1, None, marks=pytest.mark.slow),
        pytest.param(1, "vmap", 5, None, marks=pytest.mark.slow),
        pytest.param(2, "map", 5, None, marks=pytest.mark.slow),
        (2, 2, 17, None),
        pytest.param(2, "map", 17, 4, marks=pytest.mark.slow),
        pytest.param(3, "map", 17, None, marks=pytest.mark.slow),
        pytest.param(3, "vmap", 17, 7, marks=pytest.mark.slow),
        pytest.param(8, "map", 17, None, marks=pytest.mark.slow),
        pytest.param(8, "vmap", 17, None, marks=pytest.mark.slow),
    ],
)
def test_each_trial_equals_the_same_trial_alone(on_devices, seventeen, number_of_devices, how, count, at_once):
    on_devices(number_of_devices)
    found = train(count=count, placement=how, trials_at_once=at_once)
    assert_equal_to_trials_alone(found, seventeen[:count], 1e-4)


@pytest.mark.parametrize("how", ["map", "vmap"])
@pytest.mark.slow
def test_each_trial_equals_the_same_trial_alone_in_float64(on_devices, how):
    on_devices(3)
    with jax.enable_x64(True):
        found = train(count=5, placement=how)
        assert_equal_to_trials_alone(found, alone(IRIS, 5), 1e-10)


PRIME = dataclasses.replace(IRIS, batch_size=29, l2=0.01, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("shape", "how", "changes"),
    [
        pytest.param((4, 2), "map", {}, marks=pytest.mark.slow),
        pytest.param((2, 4), "vmap", {"sampling": "replacement"}, marks=pytest.mark.slow),
        pytest.param((2, 4), 2, {"batch_size": 3}, marks=pytest.mark.slow),  # one device of four has no row
        pytest.param((1, 8), "map", {"batch_size": "full", "epochs": 12.0}, marks=pytest.mark.slow),
        ((1, 8), "vmap", {}),
    ],
)
@pytest.mark.slow
def test_devices_that_share_rows_give_the_same_trials(shape, how, changes):
    config = dataclasses.replace(PRIME, **changes)
    with jax.enable_x64(True):
        found = train(config, placement=how, mesh=shape)
        runs = alone(config, 5)
    assert [one.status for one in runs].count("INFEASIBLE") == 1
    assert_equal_to_trials_alone(found, runs, 1e-10)


@pytest.mark.slow
def test_the_mesh_is_chosen_by_trials_and_batch_size_or_given(monkeypatch):
    shapes, program = [], engine.Engine
    note = lambda cell, mesh, *rest: shapes.append(tuple(mesh.shape.values())) or program(cell, mesh, *rest)
    monkeypatch.setattr(loop, "Engine", note)
    monkeypatch.setattr(meshes, "LEAST_ROWS", 10)
    config = dataclasses.replace(PRIME, epochs=1.0, evaluations=1)
    for count, options in ((1, {}), (5, {}), (5, {"trials_at_once": 4}), (1, {"mesh": (8, 1)})):
        train(config, count=count, **options)
    assert shapes == [(4, 2), (8, 1), (4, 2), (8, 1)]


@pytest.mark.slow
def test_a_mesh_with_a_data_axis_compiles_once_too(compilations):
    config = dataclasses.replace(IRIS, hidden=(11,))
    assert train(config, mesh=(4, 2)).compilations == 1
    assert compilations(lambda: train(dataclasses.replace(config, epochs=2.0), count=7, mesh=(4, 2))) == 0


def test_every_hyper_parameter_and_link_can_differ_between_trials(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, optimizer="rmsprop", schedule="linear", epochs=2.0)
    columns = {"decay": [0.9, 0.99], "momentum": [0.0, 0.5], "epsilon": [1e-8, 1e-3], "clip": [0.1, 10.0],
               "weight_decay": [0.0, 0.1], "warmup_steps": [0, 10], "l2": [0.0, 0.01], "final_factor": [0.1, 0.5],
               "label_smoothing": [0.0, 0.2]}  # fmt: skip
    found = population.train(config, columns, [3, 4], evaluation_share=1.0)
    for row, seed in enumerate((3, 4)):
        values = {name: float(column[row]) for name, column in columns.items()}
        one = run.train(dataclasses.replace(config, seed=seed, **values))
        assert found.metrics["test_loss"][row] == pytest.approx(one.metrics["test_loss"], rel=1e-4)
        assert one.hyper == {name: column[row] for name, column in found.hyper.items()}


def test_one_compilation_per_cell(on_devices, compilations):
    on_devices(2)
    config = dataclasses.replace(IRIS, hidden=(9,))
    first = train(config, count=5)
    assert first.compilations == 1
    again = lambda: train(dataclasses.replace(config, epochs=7.0, evaluations=9), count=6)
    assert compilations(again) == 0
    assert again().compilations == 0
    assert train(config, count=17, trials_at_once=6).compilations == 0


def test_trials_stop_at_the_target_and_others_go_on(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, epochs=30.0, evaluations=30, stop_at=0.9)
    found = train(config, count=17)
    assert_equal_to_trials_alone(found, alone(config, 17), 1e-4)
    hit = np.isfinite(found.steps_to_target)
    assert 0 < hit.sum() < 17
    np.testing.assert_array_equal(found.steps[hit], found.steps_to_target[hit])
    assert found.steps[hit].min() < found.steps.max()
    assert set(found.status[hit]) == {"COMPLETE"}


def test_frames_parameters_and_progress(monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    seen = []
    found = train(count=5, keep_params=True, progress=seen.append)
    frame, history = found.frame(), found.history_frame()
    assert list(frame["trial"]) == list(range(5))
    np.testing.assert_array_equal(frame["learning_rate"], RATES[:5])
    assert list(frame["status"]).count("INFEASIBLE") == 1
    assert {"seed", "step", "epoch", "validation_accuracy", "training_seconds", "learning_rate"} <= set(history.columns)
    assert len(history) == 4 * 4 + 1
    alone = run.train(dataclasses.replace(IRIS, learning_rate=RATES[1], seed=0))
    for stacked, single in zip(jax.tree.leaves(found.params), jax.tree.leaves(alone.params), strict=True):
        assert stacked.shape == (5, *single.shape)
        np.testing.assert_allclose(stacked[1], single, rtol=1e-4, atol=1e-6)
    assert seen[-1].running == 0 or seen[-1].left == 0
    assert seen[0].running + seen[0].infeasible == 5
    assert all(progress.trial_steps_per_second > 0 for progress in seen)
    total = found.seconds["total"]
    assert sum(v for k, v in found.seconds.items() if k != "total") <= total


@pytest.mark.parametrize(
    ("hyper", "seeds", "options", "message"),
    [
        ({"learning_rate": []}, [], {}, r"seeds has shape \(0,\); give an array with one entry for each trial"),
        ({"learning_rate": []}, [1], {}, r"learning_rate has shape \(0,\)"),
        ({"learning_rate": np.ones((1, 1))}, [1], {}, r"learning_rate has shape \(1, 1\)"),
        ({"learning_rate": [0.1, 0.2]}, [1], {}, r"different lengths \(seeds 1, learning_rate 2\)"),
        ({"momentum": [0.1]}, [1], {"optimizer": "adagrad"}, "optimizer 'adagrad'.* has no hyper-parameter 'momentum'"),
        ({"learning_rate": [0.1, math.nan]}, [1, 2], {}, "learning_rate nan is not allowed; give a positive number"),
        ({"learning_rate": [0.1, -1]}, [1, 2], {}, "learning_rate -1.0 is not allowed"),
        ({"rate": [0.1]}, [1], {}, "has no hyper-parameter 'rate'"),
        ({}, [-1], {}, r"seeds \[-1\] are not allowed; give whole numbers"),
        ({}, np.array([0.5]), {}, r"seeds \[0.5\] are not allowed"),
        ({}, [2**32], {}, "seeds .* are not allowed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_compiled(compilations, hyper, seeds, options, message):
    config = dataclasses.replace(IRIS, **options)

    def refused() -> None:
        with pytest.raises(ValueError, match=message):
            population.train(config, hyper, seeds)

    assert compilations(refused) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "pmap"}, "unknown placement 'pmap'; choose auto, map, vmap or a number"),
        ({"placement": 0}, "unknown placement 0"),
        ({"racing": 1}, "racing 1 is not allowed; give a whole number of at least 2"),
        ({"trials_at_once": 0}, "trials_at_once 0 is not allowed"),
        ({"evaluation_share": 0.0}, "evaluation_share 0.0 is not allowed"),
        ({"mesh": (3, 2)}, "mesh 3 × 2 does not fit the 8 device"),
        ({"mesh": (4, 1)}, "give one of 8 × 1, 4 × 2, 2 × 4, 1 × 8"),
    ],
)
def test_options_that_are_not_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_a_program_is_compiled_anew_for_another_precision():
    first = train(count=2)
    with jax.default_matmul_precision("highest"):
        assert train(count=2).compilations >= 1
    assert train(count=2).compilations == 0
    assert first.status.tolist() == ["COMPLETE", "COMPLETE"]


def test_the_noise_scale_of_each_trial_is_that_of_the_trial_alone():
    config = dataclasses.replace(IRIS, noise_scale=True)
    found = train(config, count=3)
    for row, one in enumerate(alone(config, 3)):
        own = found.history["trial"] == row
        for name in trial.NOISE:
            assert found.history[name][own] == pytest.approx([entry[name] for entry in one.history], rel=1e-4)


@pytest.mark.slow
def test_an_interrupted_population_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    whole = train(count=6, trials_at_once=4, keep_params=True)
    for at in (1, 4, 9, 30):
        out, asked = tmp_path / str(at), iter(range(10**6))
        part = train(count=6, trials_at_once=4, keep_params=True, out=out, interrupted=lambda: next(asked) >= at)  # noqa: B023
        assert "INCOMPLETE" in part.status
        rest = train(count=6, trials_at_once=4, keep_params=True, out=out, resume=True)
        for name in ("status", "steps", "failed", "steps_to_target"):
            np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name))
        for ours, theirs in zip(jax.tree.leaves(rest.params), jax.tree.leaves(whole.params), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for name in set(whole.history) - {"training_seconds"}:
            np.testing.assert_array_equal(rest.history[name], whole.history[name])
        again = train(count=6, trials_at_once=4, keep_params=True, out=out, resume=True)
        np.testing.assert_array_equal(again.metrics["test_loss"], whole.metrics["test_loss"])


def test_the_directory_of_other_trials_is_left_alone(tmp_path):
    train(count=2, out=tmp_path / "out")
    with pytest.raises(ValueError, match="holds this run already"):
        train(count=2, out=tmp_path / "out")
    with pytest.raises(ValueError, match="holds other trials than these"):
        train(count=3, out=tmp_path / "out", resume=True)
    with pytest.raises(ValueError, match="resume needs the directory"):
        train(count=2, resume=True)


@pytest.mark.slow
def test_trials_that_are_timed_go_through_the_program_of_the_population(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, hidden=(10,))
    assert train(config, count=5).compilations == 1
    found = train(config, count=3, timed=True, lanes=5)
    assert found.compilations == 0
    assert_equal_to_trials_alone(found, alone(config, 3), 1e-4)
    assert (np.diff(found.history["training_seconds"][found.history["trial"] == 0]) > 0).all()
