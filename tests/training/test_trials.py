"""What is known of trials: noted by hand, read as a history, as rows, as frames, and forgotten."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import trial
from mlp_jax.training import task
from mlp_jax.training.config import Config
from mlp_jax.training.trials import Progress, Status, Trials

ASKED = task.resolve(Config(dataset="iris", hidden=(3,), batch_size=8, epochs=2.0, evaluations=3))


def fresh(count: int = 3) -> Trials:
    rates = np.linspace(0.1, 0.3, count)
    hyper = {name: np.full(count, value) for name, value in ASKED.hyper().items()} | {"learning_rate": rates}
    return Trials(ASKED, hyper, np.arange(7, 7 + count))


def found(rows: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Return what a look may find of trials at a point: numbers that tell trial, point and column."""
    return {name: 100.0 * rows + 10.0 * number + column for column, name in enumerate(ASKED.columns)}


@pytest.fixture
def noted() -> Trials:
    """Three trials: the last was put on the devices first, and trial 1 left out its second point."""
    trials = fresh()
    for rows, number in (([2], 0), ([2], 1), ([0, 1], 0), ([0], 1), ([0, 1], 2)):
        trials.note(np.array(rows), number, found(np.array(rows), number))
    return trials


def test_a_history_is_in_the_order_of_trials_and_points_and_has_no_gaps(noted):
    assert noted.history["trial"].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert noted.history["step"].tolist() == [0, 10, 20, 100, 120, 200, 210]
    assert noted.history["examples"].dtype == noted.history["step"].dtype == np.int64
    assert noted.history["validation_loss"].tolist() == [x + 5.0 for x in noted.history["step"]]
    assert list(noted.history) == ["trial", *ASKED.columns]


def test_rows_of_a_trial_are_its_part_of_the_history(noted):
    for number in range(3):
        own = noted.history["trial"] == number
        rows = noted.rows_of(number)
        assert [list(row) for row in rows] == [list(ASKED.columns)] * own.sum()
        for name in ASKED.columns:
            assert [row[name] for row in rows] == noted.history[name][own].tolist()
            assert {type(row[name]) for row in rows} == {int if name in ("step", "examples") else float}


def test_the_metrics_of_an_end_are_those_of_the_last_evaluation(noted):
    assert noted.metric("validation_loss").tolist() == [25.0, 125.0, 215.0]
    assert set(noted.metrics) == set(ASKED.metric_names)
    assert np.isnan(noted.metric("test_loss")).all()


def test_what_is_forgotten_was_never_known_and_the_rest_is_as_before(noted):
    noted.started[:], noted.steps[:], noted.next_point[:] = True, 9, 2
    noted.failed[:2], noted.steps_to_target[2] = 5, 9
    noted.status[:] = Status.INFEASIBLE, Status.RUNNING, Status.COMPLETE
    noted.states = dict.fromkeys(range(3))
    noted.forget(np.array([0, 2]))
    new = fresh()
    for name in ("started", "status", "steps", "failed", "steps_to_target", "next_point"):
        for row in (0, 2):
            assert getattr(noted, name)[row] == getattr(new, name)[row]
    assert set(noted.history["trial"]) == {1}
    assert list(noted.states) == [1]
    assert np.isnan(noted.metric("validation_loss")).tolist() == [True, False, True]
    assert (noted.steps[1], noted.failed[1], noted.next_point[1], noted.started[1]) == (9, 5, 2, True)


def test_parameters_are_stacked_by_the_number_of_the_trial_where_all_were_kept():
    trials = fresh()
    hyper = {name: values[0] for name, values in trials.hyper.items()}
    states = [trial.start(ASKED.cell, hyper, jnp.uint32(seed)) for seed in trials.seeds]
    trials.kept = True
    trials.states = {row: states[row] for row in (2, 0)}
    assert trials.params is None
    trials.states[1] = states[1]
    for row, state in enumerate(states):
        ours = jax.tree.map(lambda leaf, row=row: leaf[row], trials.params)
        jax.tree.map(np.testing.assert_array_equal, ours, state.params)
    trials.kept = False
    assert trials.params is None


def test_frames_join_what_was_asked_to_what_was_found(noted):
    pytest.importorskip("pandas")
    frame, history = noted.frame(), noted.history_frame()
    assert frame["trial"].tolist() == [0, 1, 2]
    assert frame["seed"].tolist() == [7, 8, 9]
    assert frame["validation_loss"].tolist() == [25.0, 125.0, 215.0]
    assert {"status", "steps", "failed", "steps_to_target", "momentum"} <= set(frame.columns)
    assert len(history) == 7
    np.testing.assert_array_equal(history["learning_rate"], noted.hyper["learning_rate"][history["trial"]])
    np.testing.assert_array_equal(history["step"], noted.history["step"])


def test_every_status_has_room_in_the_column():
    trials = fresh(len(Status))
    trials.status[:] = list(Status)
    assert trials.status.tolist() == [status.value for status in Status]


def test_the_rate_of_examples_is_that_of_steps_times_the_batch_size():
    values = dict.fromkeys((field for field in Progress._fields), 0) | {"metrics": {}, "trial_steps_per_second": 5.0}
    cell = dataclasses.replace(ASKED.cell, batch_size=6)
    assert Progress(**values | {"cell": cell}).examples_per_second == 30.0
