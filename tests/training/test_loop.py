"""The loop: which trials are on the devices together, which race, when states are saved, what a person is shown."""

import dataclasses
import itertools
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mlp_jax import trial
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import Program
from mlp_jax.training import config as configs
from mlp_jax.training import directory, engine, group, loop, population, task, timetable
from mlp_jax.training.config import Config
from mlp_jax.training.trials import Trials

IRIS = Config(dataset="iris", hidden=(8,), batch_size=8, epochs=3.0, evaluations=3, evaluate_on=("test",))
RATES = np.geomspace(0.003, 0.3, 17)
RATES[3] = 1e30  # this one diverges


def train(config: Config = IRIS, count: int = 5, **options) -> Trials:
    options = {"evaluation_share": 1.0} | options
    return population.train(config, {"learning_rate": RATES[:count]}, np.arange(count) // 2, **options)


def assert_equal(found: Trials, expected: Trials) -> None:
    for name in ("status", "steps", "failed", "steps_to_target"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in set(expected.history) - {"training_seconds"}:
        np.testing.assert_allclose(found.history[name], expected.history[name], rtol=1e-5)


@pytest.mark.parametrize(("dataset", "better"), [("iris", max), pytest.param("diabetes", min, marks=pytest.mark.slow)])
def test_the_best_so_far_never_gets_worse_whatever_trial_it_is_of_and_however_others_fail(monkeypatch, dataset, better):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    config, seen = dataclasses.replace(IRIS, dataset=dataset, batch_size=32, evaluations=9), []
    rates = {"learning_rate": [1e30, 0.03, 1e30, 1e-5]}  # one fails, one learns, one fails, one hardly learns
    found = population.train(config, rates, [0] * 4, evaluation_share=1.0, trials_at_once=1, progress=seen.append)
    assert found.status.tolist() == ["INFEASIBLE", "COMPLETE"] * 2
    best = [progress.best for progress in seen]
    known = [value for value in best if not np.isnan(value)]
    assert len(known) > 10
    assert best[-len(known) :] == known, "once there is a best, there is always one"
    assert all(better(before, after) == after for before, after in itertools.pairwise(known))
    scores = found.points[found.task.score]
    assert known[-1] == better(scores[np.isfinite(scores)])


@pytest.mark.parametrize("at_once", [1, 4])
def test_states_are_saved_when_so_many_seconds_have_passed_and_at_the_end(tmp_path, monkeypatch, at_once):
    """Each time that the loop asks what time it is, it is a second later."""
    now, looks, saved = iter(range(10**6)), [], []
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: float(next(now))))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 10.0)
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    save = lambda self, trials, clock: saved.append((len(looks), sorted(trials.states)))
    monkeypatch.setattr(directory.Directory, "save", save)
    monkeypatch.setattr(directory.Directory, "note", lambda self, trials: looks.append(1))
    train(dataclasses.replace(IRIS, evaluations=1), count=3, trials_at_once=at_once, out=tmp_path / "out")
    assert len(looks) > 35
    assert [number for number, _ in saved] == [*range(10, len(looks) + 1, 10), len(looks)]
    assert all(states for _, states in saved[:-1])


def test_timed_trials_have_seconds_in_proportion_to_their_steps_and_are_measured_on_the_test_part():
    found = train(dataclasses.replace(IRIS, evaluations=6), count=5, timed=True)
    for row in range(5):
        own = found.history["trial"] == row
        steps, seconds = found.history["step"][own], found.history["training_seconds"][own]
        assert seconds[0] == steps[0] == 0
        each = seconds[1:] / steps[1:]
        assert (each > 0).all()
        np.testing.assert_allclose(each, np.broadcast_to(each[:1], each.shape))
    ends = np.nanmax(found.points["training_seconds"], axis=1)
    assert ends.sum() < found.seconds["training"], "they are a part of the seconds that it took"
    assert np.isfinite(found.metrics["test_loss"][found.status == "COMPLETE"]).all()


def test_no_thread_compiles_while_a_trial_is_timed(monkeypatch):
    """Else the trial takes up to seven times as long on two cores."""
    compile_one = lambda: Program(jax.jit(lambda x: 3 * x)).compile(Clock(), np.ones(4, np.float32))
    threads, time_it = [], group.Group.time

    def time_beside_a_thread(self, steps: int, calls: int) -> float:
        threads.append(threading.Thread(target=compile_one))
        threads[-1].start()
        threads[-1].join(0.1)
        seconds = time_it(self, steps, calls)
        assert threads[-1].is_alive(), "it compiled"
        return seconds

    monkeypatch.setattr(group.Group, "time", time_beside_a_thread)
    train(count=2, timed=True)
    assert len(threads) == 2
    for each in threads:
        each.join(30)
        assert not each.is_alive()


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_group_that_runs_out_of_memory_is_halved(on_devices, monkeypatch):
    on_devices(1)
    advance = engine.Engine.advance
    sizes = []

    def scarce(self, *arguments):
        sizes.append(len(arguments[-2]))
        if len(arguments[-2]) > 4:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")
        return advance(self, *arguments)

    whole = train(count=9)
    monkeypatch.setattr(engine.Engine, "advance", scarce)
    assert_equal(train(count=9), whole)
    assert set(sizes) == {9, 5, 3}

    def none_left(self, *arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(engine.Engine, "advance", none_left)
    with pytest.raises(ValueError, match="one trial does not fit into memory: RESOURCE_EXHAUSTED"):
        train(count=3)


def test_populations_that_exceed_the_memory_are_divided(on_devices, monkeypatch):
    on_devices(2)
    whole, dataset = train(count=9), configs.load_data(IRIS)
    cell = task.make_cell(IRIS, dataset)
    held, working = trial.needed_bytes(cell, {"learning_rate": 0.1, "momentum": 0.9})
    assert held == 4 * (2 * (4 * 8 + 8 + 8 * 3 + 3) + 4)  # parameters, momenta; step twice, loss, failed
    data = sum(part.x.nbytes + part.y.nbytes for part in (dataset.train, dataset.validation, dataset.test))
    monkeypatch.setattr(devices, "free_memory", lambda _: int((data + working + 2.5 * 2 * held) / 0.8))
    begun = []
    start = engine.Engine.start
    note = lambda self, clock, hyper, seeds: begun.append(len(seeds)) or start(self, clock, hyper, seeds)
    monkeypatch.setattr(engine.Engine, "start", note)
    assert_equal(train(count=9), whole)
    assert begun == [4, 4, 4]
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    with pytest.raises(ValueError, match="one trial needs .* MiB with its data, and a device has 0 MiB free"):
        train(count=9)


def test_interrupted_trials_are_incomplete_and_keep_what_they_have(monkeypatch):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    asked = iter(range(10**6))
    found = train(count=6, trials_at_once=3, interrupted=lambda: next(asked) > 10)
    assert set(found.status) == {"INCOMPLETE"}
    assert 0 < found.steps[0] < 41
    assert np.isfinite(found.metrics["test_loss"][:3]).all()
    assert np.isnan(found.metrics["test_loss"][3:]).all()
    assert (found.steps[3:] == 0).all()
