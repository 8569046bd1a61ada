"""A population against the same trials alone: every placement, however many devices, whatever the neighbours do."""

import dataclasses
import math
import subprocess
import sys

import jax
import numpy as np
import pytest

from mlp_jax import trial
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.model import Network
from mlp_jax.rows import place
from mlp_jax.training import config as configs
from mlp_jax.training import engine, group, look, loop, meshes, population, run
from mlp_jax.training.config import Config
from mlp_jax.training.trials import Trials

EVERYWHERE = ("train", "validation", "test")
IRIS = Config(dataset="iris", hidden=(8,), batch_size=8, epochs=3.0, evaluations=3, evaluate_on=EVERYWHERE)
RATES = np.geomspace(0.003, 0.3, 17)
RATES[3] = 1e30  # this one diverges


@pytest.fixture
def on_devices(monkeypatch):
    """Let populations see the first `count` of the CPU devices."""

    def use(count: int) -> None:
        there = jax.devices()[:count]
        monkeypatch.setattr(jax, "local_devices", lambda: there)
        monkeypatch.setattr(jax, "local_device_count", lambda: count)
        assert devices.mesh().size == count

    return use


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
        (1, "map", 1, None),
        (1, "vmap", 5, None),
        (2, "map", 5, None),
        (2, 2, 17, None),
        (2, "map", 17, 4),
        (3, "map", 17, None),
        (3, "vmap", 17, 7),
        (8, "map", 17, None),
        (8, "vmap", 17, None),
    ],
)
def test_each_trial_equals_the_same_trial_alone(on_devices, seventeen, number_of_devices, how, count, at_once):
    on_devices(number_of_devices)
    found = train(count=count, placement=how, trials_at_once=at_once)
    assert_equal_to_trials_alone(found, seventeen[:count], 1e-4)


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_each_trial_equals_the_same_trial_alone_in_float64(on_devices, how):
    on_devices(3)
    with jax.enable_x64(True):
        found = train(count=5, placement=how)
        assert_equal_to_trials_alone(found, alone(IRIS, 5), 1e-10)


PRIME = dataclasses.replace(IRIS, batch_size=29, l2=0.01, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("shape", "how", "changes"),
    [
        ((4, 2), "map", {}),
        ((2, 4), "vmap", {"sampling": "replacement"}),
        ((2, 4), 2, {"batch_size": 3}),  # one device of four has no row
        ((1, 8), "map", {"batch_size": "full", "epochs": 12.0}),
        ((1, 8), "vmap", {}),
    ],
)
def test_devices_that_share_rows_give_the_same_trials(shape, how, changes):
    config = dataclasses.replace(PRIME, **changes)
    with jax.enable_x64(True):
        found = train(config, placement=how, mesh=shape)
        runs = alone(config, 5)
    assert [one.status for one in runs].count("INFEASIBLE") == 1
    assert_equal_to_trials_alone(found, runs, 1e-10)


def test_the_mesh_is_chosen_by_trials_and_batch_size_or_given(monkeypatch):
    shapes, program = [], engine.Engine
    note = lambda cell, mesh, *rest: shapes.append(tuple(mesh.shape.values())) or program(cell, mesh, *rest)
    monkeypatch.setattr(loop, "Engine", note)
    monkeypatch.setattr(meshes, "LEAST_ROWS", 10)
    config = dataclasses.replace(PRIME, epochs=1.0, evaluations=1)
    for count, options in ((1, {}), (5, {}), (5, {"trials_at_once": 4}), (1, {"mesh": (8, 1)})):
        train(config, count=count, **options)
    assert shapes == [(4, 2), (8, 1), (4, 2), (8, 1)]


def test_a_mesh_with_a_data_axis_compiles_once_too():
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


def compilations(function) -> int:
    """Count the programs that the back end compiles while `function` runs."""
    seen = []
    listener = lambda event, duration, **_: seen.append(event) if event.endswith("backend_compile_duration") else None
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    return len(seen)


def test_one_compilation_per_cell(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, hidden=(9,))
    first = train(config, count=5)
    assert first.compilations == 1
    again = lambda: train(dataclasses.replace(config, epochs=7.0, evaluations=9), count=6)
    assert compilations(again) == 0
    assert again().compilations == 0
    assert train(config, count=17, trials_at_once=6).compilations == 0


def test_mapped_trials_are_moved_where_they_are(on_devices):
    """A call that made room for the new states would spend a quarter of its time on that: see placement.py."""
    on_devices(1)
    trials, cell = 50, trial.Cell(network=Network(inputs=4, hidden=(101,), outputs=3), batch_size=8)
    programs, dataset = engine.Engine(cell, devices.mesh(), None), configs.load_data(IRIS)
    data = {name: place(cell.network, dataset, getattr(dataset, name)) for name in ("train", "validation")}
    hyper = {name: np.full(trials, value, np.float32) for name, value in trial.complete(cell).items()}
    hyper, seeds, running = programs.put((hyper, np.arange(trials, dtype=np.uint32), np.ones(trials, bool)))
    states = programs.start(Clock(), hyper, seeds)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(states))
    lanes, points = programs.room(states, 3), np.full(engine.LEAST_POINTS, 2**31 - 1, np.int32)
    asked = look.Look(0, 1, 0, 0, points, np.ones(engine.LEAST_POINTS, bool), np.int32(-1))
    programs.advance("training", Clock(), asked, programs.put_everywhere(data), hyper, seeds, running, lanes)
    (program,) = programs._advance.compiled.values()
    memory = program.memory_analysis()
    assert memory.alias_size_in_bytes >= held
    assert memory.temp_size_in_bytes < held / 4


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


def test_finished_lanes_are_compacted_away_to_powers_of_two(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, epochs=30.0, evaluations=30, stop_at=0.9)
    sizes = []
    advance = engine.Engine.advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "GLANCE", 1e-9)
        note = lambda self, *arguments: sizes.append(len(arguments[-2])) or advance(self, *arguments)
        patch.setattr(engine.Engine, "advance", note)
        found = train(config, count=17, placement="vmap", keep_params=True)
    runs = alone(config, 17)
    assert_equal_to_trials_alone(found, runs, 1e-4)
    for row in np.flatnonzero(found.status == "COMPLETE"):  # a lane that has ended is not trained on
        for stacked, single in zip(jax.tree.leaves(found.params), jax.tree.leaves(runs[row].params), strict=True):
            np.testing.assert_allclose(stacked[row], single, rtol=1e-3, atol=1e-4)
    assert sizes[0] == 18
    assert sizes == sorted(sizes, reverse=True)
    assert {2, 4, 8} >= set(sizes) - {18}
    assert len(set(sizes)) > 1
    assert found.compilations == len(set(sizes))


def test_a_lane_that_has_ended_keeps_its_state_beside_those_that_go_on(on_devices):
    on_devices(1)
    config = dataclasses.replace(IRIS, epochs=8.0, evaluations=8, stop_at=0.9)
    rates = np.array([0.3, 1e-4, 2e-4, 3e-4])  # one meets the target early: too few to be compacted away
    found = population.train(
        config, {"learning_rate": rates}, [0] * 4, placement="vmap", evaluation_share=1.0, keep_params=True
    )
    assert found.compilations <= 1
    assert found.steps[0] < found.steps[1] == found.steps[2] == found.steps[3]
    one = run.train(dataclasses.replace(config, learning_rate=0.3))
    assert one.steps == found.steps[0]
    for stacked, single in zip(jax.tree.leaves(found.params), jax.tree.leaves(one.params), strict=True):
        np.testing.assert_allclose(stacked[0], single, rtol=1e-4, atol=1e-5)


def test_racing_keeps_the_best_and_changes_no_number(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, epochs=9.0, evaluations=9)
    full, raced = train(config, count=9), train(config, count=9, racing=3)
    ran = raced.status == "COMPLETE"
    assert ran.sum() == 1
    assert set(raced.status[~ran]) == {"INCOMPLETE", "INFEASIBLE"}
    np.testing.assert_allclose(raced.metrics["test_loss"][ran], full.metrics["test_loss"][ran], rtol=1e-5)
    at_rung = raced.history["validation_loss"][raced.history["step"] == raced.history["step"].max()]
    assert len(at_rung) == 1
    assert set(raced.steps) == {2, 14, 41, 122}  # a failure, budget/9, budget/3, budget


def test_evaluations_keep_to_their_share(monkeypatch):
    config = dataclasses.replace(IRIS, epochs=40.0, batch_size=1, evaluations=400)
    train(config, count=2)  # compiles
    every = train(config, count=2)
    tried = [train(config, count=2, evaluation_share=0.2) for _ in range(3)]  # a busy machine may delay an evaluation
    some = min(tried, key=lambda each: each.seconds["evaluation"] / each.seconds["training"])
    assert len(some.history["step"]) < len(every.history["step"])
    assert some.seconds["evaluation"] < some.seconds["training"]
    assert some.history["step"][-1] == every.history["step"][-1] == some.steps[0]


def test_a_group_that_runs_out_of_memory_is_halved(on_devices, seventeen, monkeypatch):
    on_devices(1)
    advance = engine.Engine.advance
    sizes = []

    def scarce(self, *arguments):
        sizes.append(len(arguments[-2]))
        if len(arguments[-2]) > 4:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")
        return advance(self, *arguments)

    monkeypatch.setattr(engine.Engine, "advance", scarce)
    found = train(count=9)
    assert_equal_to_trials_alone(found, seventeen[:9], 1e-4)
    assert set(sizes) == {9, 5, 3}

    def none_left(self, *arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(engine.Engine, "advance", none_left)
    with pytest.raises(ValueError, match="one trial does not fit into memory: RESOURCE_EXHAUSTED"):
        train(count=3)


def test_populations_that_exceed_the_memory_are_divided(on_devices, seventeen, monkeypatch):
    on_devices(2)
    dataset = configs.load_data(IRIS)
    cell = configs.make_cell(IRIS, dataset)
    held, working = trial.needed_bytes(cell, {"learning_rate": 0.1, "momentum": 0.9})
    assert held == 4 * (2 * (4 * 8 + 8 + 8 * 3 + 3) + 4)  # parameters, momenta; step twice, loss, failed
    data = sum(part.x.nbytes + part.y.nbytes for part in (dataset.train, dataset.validation, dataset.test))
    monkeypatch.setattr(devices, "free_memory", lambda _: int((data + working + 2.5 * 2 * held) / 0.8))
    begun = []
    start = engine.Engine.start
    note = lambda self, clock, hyper, seeds: begun.append(len(seeds)) or start(self, clock, hyper, seeds)
    monkeypatch.setattr(engine.Engine, "start", note)
    assert_equal_to_trials_alone(train(count=9), seventeen[:9], 1e-4)
    assert begun == [4, 4, 4]
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    with pytest.raises(ValueError, match="one trial needs .* MiB with its data, and a device has 0 MiB free"):
        train(count=9)


def test_interrupted_trials_are_incomplete_and_keep_what_they_have(monkeypatch):
    monkeypatch.setattr(group, "GLANCE", 1e-9)
    asked = iter(range(10**6))
    found = train(count=6, trials_at_once=3, interrupted=lambda: next(asked) > 10)
    assert set(found.status) == {"INCOMPLETE"}
    assert 0 < found.steps[0] < 41
    assert np.isfinite(found.metrics["test_loss"][:3]).all()
    assert np.isnan(found.metrics["test_loss"][3:]).all()
    assert (found.steps[3:] == 0).all()


def test_frames_parameters_and_progress(monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.setattr(group, "GLANCE", 1e-9)
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
def test_bad_input_is_refused_before_anything_is_compiled(hyper, seeds, options, message):
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


STARTED = """
import warnings
from mlp_jax.machine import devices
import jax
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    devices.start_cpu_devices(3)
print(len(jax.devices()), devices.mesh().size, [str(w.message) for w in caught])
"""


@pytest.mark.parametrize(("before", "count", "warns"), [("", 3, False), ("jax.devices()", 1, True)])
def test_one_cpu_device_for_each_core_unless_jax_has_started(before, count, warns):
    code = STARTED.format(before=before)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith(f"{count} {count} ")
    assert ("call mlp_jax.devices.start_cpu_devices() before the first computation" in out) == warns


def test_a_program_is_compiled_anew_for_another_precision():
    first = train(count=2)
    with jax.default_matmul_precision("highest"):
        assert train(count=2).compilations >= 1
    assert train(count=2).compilations == 0
    assert first.status.tolist() == ["COMPLETE", "COMPLETE"]


def test_a_budget_in_seconds_binds_all_trials_and_evaluates_along_the_way():
    config = dataclasses.replace(IRIS, epochs=None, seconds=0.4, schedule="constant", evaluations=4)
    found = train(config, count=4)
    going = found.status == "COMPLETE"
    assert going.sum() == 3  # the fourth diverges
    assert len(set(found.steps[going])) == 1
    for row in np.flatnonzero(going):
        steps = found.history["step"][found.history["trial"] == row]
        assert 4 <= len(steps) <= 6
        assert steps[-1] == found.steps[row]
        assert np.isfinite(found.metrics["test_loss"][row])


def test_the_noise_scale_of_each_trial_is_that_of_the_trial_alone():
    config = dataclasses.replace(IRIS, noise_scale=True)
    found = train(config, count=3)
    for row, one in enumerate(alone(config, 3)):
        own = found.history["trial"] == row
        for name in trial.NOISE:
            assert found.history[name][own] == pytest.approx([entry[name] for entry in one.history], rel=1e-4)


def test_racing_ranks_points_by_the_median_over_their_seeds_however_many_trials_fit(on_devices):
    on_devices(1)
    config = dataclasses.replace(IRIS, epochs=9.0, evaluations=9)
    rates, seeds = (grid.ravel() for grid in np.meshgrid(np.geomspace(0.001, 0.3, 4), range(3), indexing="ij"))
    race = lambda **options: population.train(
        config, {"learning_rate": rates}, seeds, racing=2, evaluation_share=1.0, **options
    )
    whole = race()
    at_once = [race(trials_at_once=count) for count in (1, 5, 12)]
    for found in at_once:
        np.testing.assert_array_equal(found.status, whole.status)
        np.testing.assert_array_equal(found.steps, whole.steps)
        np.testing.assert_allclose(found.metrics["test_loss"], whole.metrics["test_loss"], rtol=1e-5)
    status = whole.status.reshape(4, 3)
    assert {tuple(row) for row in status} == {("COMPLETE",) * 3, ("INCOMPLETE",) * 3}  # points, not trials
    assert (status[:, 0] == "COMPLETE").sum() == 1


def test_an_interrupted_population_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(group, "GLANCE", 1e-9)
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


def test_trials_that_are_timed_go_through_the_program_of_the_population(on_devices):
    on_devices(2)
    config = dataclasses.replace(IRIS, hidden=(10,))
    assert train(config, count=5).compilations == 1
    found = train(config, count=3, timed=True, lanes=5)
    assert found.compilations == 0
    assert_equal_to_trials_alone(found, alone(config, 3), 1e-4)
    assert (np.diff(found.history["training_seconds"][found.history["trial"] == 0]) > 0).all()


@pytest.mark.parametrize("steps", [2, 32])
@pytest.mark.parametrize("how", ["map", "vmap"])
def test_blocks_of_steps_of_a_known_length_give_the_same_trials(on_devices, seventeen, monkeypatch, how, steps):
    """As accelerators take them: surplus steps change nothing, and a block's indices are drawn together."""
    on_devices(2)
    monkeypatch.setattr(engine, "_steps_at_once", lambda cell, mesh: steps)
    assert_equal_to_trials_alone(train(count=17, placement=how), seventeen, 1e-4)
