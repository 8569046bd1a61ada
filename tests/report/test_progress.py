"""How far a study is, in words; and which trials failed, why."""

import math

import pytest
from study_by_hand import table

from mlp_jax.report import progress
from mlp_jax.study.progress import CellProgress, Progress
from mlp_jax.study.summary import number

ROWS = table()
DONE = CellProgress("sgd", 64, 5, 5, None, 33, 2, 40.0)
GOES = CellProgress("adam", 64, 1, 5, 1e9, 10, 0, math.inf)
WAITS = CellProgress("sgd", 8, 0, 5, None, 0, 0, math.inf)
LAST = CellProgress("adam", 8, 2, 5, None, 16, 0, 30.0)


def test_a_row_for_each_optimizer_and_a_box_for_each_batch_size():
    said = progress.boxes(Progress([DONE, GOES, WAITS, LAST], 100.0))
    assert said["sizes"] == ["64", "8"]
    assert [name for name, _ in said["rows"]] == ["sgd", "adam"]
    states = [[box["state"] for box in boxes] for _, boxes in said["rows"]]
    assert states == [["complete", "waiting"], ["at work", "begun"]]
    words = [[box["said"] for box in boxes] for _, boxes in said["rows"]]
    assert words == [["best trial 40 steps, 2 failed", ""], ["target not met", "best trial 30 steps"]]
    assert (
        "1 of 4 cells are complete, with 8 of about 20 rounds; 59 trials have ended, 2 of them" in said["sentences"][0]
    )
    assert "Roughly 100 seconds are left" in said["sentences"][1]


def test_a_time_that_is_not_known_is_not_said():
    said = progress.boxes(Progress([GOES], math.nan))["sentences"]
    assert said[1] == "How long it takes is not known yet."
    assert "not finite" not in said[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7199, "120 minutes"), (7200, "2 hours"),
        (2e5, "2 days"),
    ],
)  # fmt: skip
def test_durations_have_one_unit(seconds, words):
    assert progress.duration(seconds) == words


def test_every_trial_that_failed_is_listed_beside_the_best_of_its_cell():
    failed = ROWS.query("status == 'INFEASIBLE'")
    listed = progress.failures(ROWS)
    assert listed is not None
    assert len(listed.rows) == failed["trial"].nunique() > 0
    assert f"({len(listed.rows)} in all)" in listed.note
    row, first = listed.rows[0], failed.iloc[0]
    assert [row[0].text, row[1].key, row[2].key] == [first["optimizer"], first["batch_size"], first["learning_rate"]]
    own = ROWS.query(f"cell == '{first['cell']}'")
    best = own.loc[own["steps_to_target"].idxmin(), "learning_rate"]
    times = f"at {number(first['learning_rate'] / best)} times the learning rate of the best trial of its cell"
    assert row[-1].text == f"the loss was not finite at step {first['failed']:,}, {times}"
    alone = progress.failures(ROWS.assign(steps_to_target=math.inf))
    assert alone is not None
    assert alone.rows[0][-1].text == f"the loss was not finite at step {first['failed']:,}"


def test_a_long_list_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(progress, "MOST", 3)
    listed = progress.failures(ROWS)
    assert listed is not None
    assert len(listed.rows) == 3
    assert "the first 3 of" in listed.note


def test_where_none_failed_there_is_no_table():
    assert progress.failures(ROWS.query("status != 'INFEASIBLE'")) is None
    assert progress.failures(ROWS.iloc[:0]) is None
