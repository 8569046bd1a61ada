"""The timetable: every point is come to once, no look goes too far, evaluations keep to their share of the clock."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax.machine import clocks
from mlp_jax.machine.clocks import Clock
from mlp_jax.training import population, task
from mlp_jax.training import timetable as timetables
from mlp_jax.training.config import Config
from mlp_jax.training.timetable import LAST, Timetable
from mlp_jax.training.trials import Status

IRIS = Config(dataset="iris", hidden=(), batch_size=8, steps=400, evaluations=40)
ASKED = task.resolve(IRIS)


class Seconds:
    """A clock whose seconds the test sets."""

    def __init__(self) -> None:
        self.parts = dict.fromkeys(clocks.PARTS, 0.0)

    def __getitem__(self, part: str) -> float:
        return self.parts[part]

    def move(self, source: str, to: str, seconds: float) -> None:
        self.parts[source] -= seconds
        self.parts[to] += seconds


@pytest.fixture(autouse=True)
def _seconds(no_beartype):
    """`Seconds` stands in the place of a Clock."""


def timetable(asked=ASKED, apart=False, share=1.0, rungs=frozenset(), at=(0, 0), seconds=0.0):
    clock = Seconds()
    return Timetable(asked, clock, apart, share, set(rungs), at, seconds), clock


@settings(deadline=None, max_examples=60)
@given(apart=st.booleans(), stop=st.integers(1, 400), rates=st.lists(st.floats(0.5, 2000), min_size=1, max_size=20))
def test_every_point_up_to_a_stop_is_come_to_once_and_no_look_goes_beyond_what_it_may(apart, stop, rates):
    table, clock = timetable(apart=apart)
    came, looks = [], 0
    while table.step < stop or table.due_here():
        until, due = table.next(stop)
        assert table.step <= until <= stop
        assert until > table.step or due == table.number + 1
        if apart:
            assert until == table.step or due == table.number
            assert until <= table.points[table.number]
        came += list(range(table.number, due))
        assert table.wanted(due, 3).all()
        seconds = (until - table.step) / rates[looks % len(rates)]
        clock.parts["training" if until > table.step else "evaluation"] += seconds
        table.took(until - table.step, due - table.number, 3, seconds)
        table.step, table.number, looks = until, due, looks + 1
    assert came == list(range(int((ASKED.points <= stop).sum())))
    assert table.at_the_end == (stop == 400)


def test_points_in_seconds_are_where_their_time_has_come_and_the_budget_ends_there():
    asked = task.resolve(dataclasses.replace(IRIS, steps=None, seconds=8.0, evaluations=4, schedule="constant"))
    table, clock = timetable(asked, seconds=1.0)
    clock.parts["training"] = 0.5
    assert table.spent == 1.5
    assert table.points.tolist() == [LAST] * asked.room
    assert table.due_here(), "the first point is the start"
    table.number = 1
    table.step = 17
    assert not table.due_here()
    clock.parts["training"] = float(asked.points[1]) - 1.0
    assert table.due_here()
    assert table.points[1] == 17
    assert table.next(LAST) == (17, 2)
    assert not table.time_is_up
    clock.parts["training"] = 7.0
    assert table.time_is_up
    assert not table.at_the_end


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_evaluations_on_the_way_are_left_out_beyond_their_share_but_for_rungs_and_the_end(share):
    table, _ = timetable(share=share, rungs={200})
    table.took(0, 1, 2, 0.1)  # each evaluation of two trials takes as long as 10 steps
    table.pace.rate = 100.0
    wanted = table.wanted(len(ASKED.points), 2)
    must = np.isin(ASKED.points, [200, 400])
    assert wanted[: len(must)][must].all()
    spent, allowed = 0.1 * np.cumsum(wanted[: len(must)]), share * (0.1 * np.cumsum(wanted[: len(must)]))
    extra = 0.1 * must.sum()
    assert (spent <= allowed + share * ASKED.points / 100 + extra + 1e-9).all()
    # as many as fit: the whole way holds share·4/(1−share) seconds of them
    assert wanted.sum() >= min(len(must), 10 * share * 4 / (1 - share)) - 2


@pytest.mark.parametrize("evaluations", [0, 3, 1000])
def test_the_time_of_a_look_is_divided_and_none_is_lost(evaluations):
    table, clock = timetable()
    table.took(0, 1, 4, 0.4)
    clock.parts["training"] = 2.0
    table.took(50, evaluations, 4, 2.0)
    evaluating = min(1.8, 0.4 * evaluations)
    assert clock["evaluation"] == pytest.approx(evaluating)
    assert clock["training"] + clock["evaluation"] == pytest.approx(2.0)
    assert table.pace.rate == pytest.approx(50 / (2.0 - evaluating))


def test_a_place_counts_steps_examples_epochs_and_the_seconds_of_these_trials():
    table, clock = timetable(at=(10, 1), seconds=3.0)
    clock.parts["training"] = 5.0
    assert table.spent == 8.0
    count = len(ASKED.dataset.train.y)
    expected = {"step": 20, "examples": 160, "epoch": 160 / count, "training_seconds": 8.0}
    assert table.place(20, 5.0) == expected


def test_a_real_clock_fits():
    assert Timetable(ASKED, Clock(), True, 1.0, set(), (0, 0), 0.0).next(400) == (0, 1)


def test_a_budget_in_seconds_ends_at_the_last_step_that_can_be_counted(monkeypatch):
    """On a small network a program takes 2³¹ steps in some hours, and its counter would wrap."""
    monkeypatch.setattr(timetables, "LAST", 2000)
    config = dataclasses.replace(IRIS, steps=None, seconds=3600.0, evaluations=3)
    ended = population.train_many(config, {"learning_rate": [0.01, 0.1]}, [0, 1])
    assert ended.steps.tolist() == [1999, 1999]
    assert set(ended.status) == {Status.COMPLETE}


def test_the_largest_budget_in_steps_is_come_to_whole():
    asked = task.resolve(dataclasses.replace(IRIS, steps=LAST, evaluations=1))
    table, _ = timetable(asked, at=(LAST - 1, 1))
    assert table.next(asked.total)[0] == LAST
