"""Trials on the devices together: dealt in turn, timed, ended one by one, and evaluated within their share of time."""

import dataclasses

import jax
import numpy as np
import pytest

from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.rows import place
from mlp_jax.training import engine, population, run, task, timetable
from mlp_jax.training.config import Config
from mlp_jax.training.group import Group
from mlp_jax.training.trials import Trials

IRIS = Config(dataset="iris", hidden=(8,), batch_size=8, epochs=3.0, evaluations=3, evaluate_on=("test",))
RATES = np.geomspace(0.003, 0.3, 17)
RATES[3] = 1e30  # this one diverges


def train(config: Config = IRIS, count: int = 5, **options) -> Trials:
    options = {"evaluation_share": 1.0} | options
    return population.train(config, {"learning_rate": RATES[:count]}, np.arange(count) // 2, **options)


def begun(count: int, block: int | None, trials: int, lanes: int = 1, first: int = 0) -> Group:
    """Return the last of so many trials, from `first` on, at their beginning on so many devices."""
    asked = task.resolve(dataclasses.replace(IRIS, hidden=()))
    hyper = {name: np.full(trials, value) for name, value in asked.hyper().items()}
    hyper["learning_rate"] = 0.1 / (1 + np.arange(trials))
    programs = engine.Engine(asked.cell, devices.mesh(there=jax.devices()[:count]), block, asked.watched)
    split = lambda name: place(asked.cell.network, asked.dataset, getattr(asked.dataset, name))
    data = {name: programs.put_everywhere(split(name)) for name in asked.splits}
    known, how = Trials(asked, hyper, np.arange(trials)), (False, 1.0, set(), True)
    return Group(asked, known, programs, data, Clock(), np.arange(first, trials), lanes, *how)


@pytest.mark.parametrize(("count", "trials", "lanes"), [(1, 3, 3), (2, 5, 6), (3, 7, 9), (3, 2, 3)])
def test_trials_are_dealt_to_the_devices_in_turn(count, trials, lanes):
    each = begun(count, None, trials + 2, first=2)
    rows, occupied = each.rows.reshape(count, -1), each.occupied.reshape(count, -1)
    assert each.rows.size == lanes
    for device in range(count):
        assert rows[device][occupied[device]].tolist() == list(range(2, trials + 2))[device::count]
    seeds = jax.device_get(each.seeds)
    np.testing.assert_array_equal(seeds[each.occupied], each.rows[each.occupied])
    rates = jax.device_get(each.hyper["learning_rate"])
    np.testing.assert_allclose(rates, 0.1 / (1 + each.rows), rtol=1e-6)


def test_lanes_without_a_trial_never_run():
    each = begun(1, None, 2, lanes=4)
    assert each.occupied.tolist() == [True, True, False, False]
    for _ in each.looks(41):
        pass
    assert each.lanes.state.step.tolist()[2:] == [0, 0]
    assert each.lanes.state.step.tolist()[:2] == each.trials.steps.tolist() == [41, 41]


@pytest.mark.parametrize("steps", [1, 37])
def test_timing_takes_so_many_steps_or_a_hundredth_of_a_second_and_notes_nothing(steps):
    each = begun(1, None, 3)
    assert 0 < each.time(steps, 7) < 1
    taken = set(each.lanes.state.step.tolist())
    assert len(taken) == 1
    assert taken.pop() >= steps
    assert each.lanes.seen.tolist() == [0] * 3
    assert len(each.trials.history["step"]) == 0
    assert each.trials.steps.tolist() == [0] * 3
    assert set(each.trials.status) == {"RUNNING"}


@pytest.mark.parametrize(("placement", "left"), [("vmap", {2, 4, 8}), (3, {6})])
@pytest.mark.slow
def test_finished_lanes_are_compacted_away_to_powers_of_two_or_blocks(on_devices, placement, left):
    on_devices(2)
    config = dataclasses.replace(IRIS, epochs=30.0, evaluations=30, stop_at=0.9)
    sizes = []
    advance = engine.Engine.advance
    in_turn = train(config, count=17, placement="map", keep_params=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timetable, "GLANCE", 1e-9)
        note = lambda self, *arguments: sizes.append(len(arguments[-2])) or advance(self, *arguments)
        patch.setattr(engine.Engine, "advance", note)
        found = train(config, count=17, placement=placement, keep_params=True)
    for name in ("status", "steps", "failed", "steps_to_target"):
        np.testing.assert_array_equal(getattr(found, name), getattr(in_turn, name))
    going = found.status == "COMPLETE"  # a lane that has ended is not trained on
    for ours, theirs in zip(jax.tree.leaves(found.params), jax.tree.leaves(in_turn.params), strict=True):
        np.testing.assert_allclose(ours[going], theirs[going], rtol=1e-3, atol=1e-4)
    assert sizes[0] == 18
    assert sizes == sorted(sizes, reverse=True)
    assert left >= set(sizes) - {18}
    assert len(set(sizes)) > 1
    assert found.compilations == len(set(sizes))


@pytest.mark.slow
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


def test_evaluations_keep_to_their_share(monkeypatch):
    config = dataclasses.replace(IRIS, epochs=40.0, batch_size=1, evaluations=400)
    train(config, count=2)  # compiles
    every = train(config, count=2)
    tried = [train(config, count=2, evaluation_share=0.2) for _ in range(3)]  # a busy machine may delay an evaluation
    some = min(tried, key=lambda each: each.seconds["evaluation"] / each.seconds["training"])
    assert len(some.history["step"]) < len(every.history["step"])
    assert some.seconds["evaluation"] < some.seconds["training"]
    assert some.history["step"][-1] == every.history["step"][-1] == some.steps[0]


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


def test_the_time_of_a_step_holds_nothing_of_what_a_call_takes(monkeypatch):
    each, real = begun(1, None, 1), Group._advance

    def slow(self, alive, until, *rest):
        real(self, alive, until, *rest)
        return 0.5 + 0.001 * (until - before.pop())

    monkeypatch.setattr(Group, "_advance", lambda self, *of: (before.append(self.timetable.step), slow(self, *of))[1])
    before = []
    assert each.time(20, 3) == pytest.approx(0.001)


def test_timing_ends_where_a_trial_fails():
    each = begun(1, None, 1)
    each.hyper |= {"learning_rate": each.hyper["learning_rate"] * np.inf}
    assert each.time(1000, 1) > 0
    assert each.lanes.state.step.max() < 1000
