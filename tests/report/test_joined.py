"""Studies side by side: seconds add up, rankings are per device, and a change needs intervals that contradict."""

import math

import numpy as np
import pytest
from study_by_hand import SIZES, STUDY, table

from mlp_jax.report import joined
from mlp_jax.report.joined import Spent
from mlp_jax.study.evidence import Findings, findings, seconds_apart, where
from mlp_jax.study.summary import interval

ROWS = table()


def timed(factors: dict[str, float]) -> Findings:
    """A study on a device whose steps take so many times as long for each optimizer; adam needs half as many steps."""
    seconds = ROWS["training_seconds"] * ROWS["optimizer"].map(factors)
    return findings(ROWS.assign(training_seconds=seconds), STUDY)


FAST, SLOW = timed({"sgd": 1.0, "adam": 4.0}), timed({"sgd": 9.0, "adam": 9.0})
EQUAL = timed({"sgd": 1.0, "adam": 2.0})


def test_tuning_counts_a_round_once_and_every_winner():
    spent = joined.spent(ROWS)
    last = ROWS.groupby(["phase", "cell", "round", "trial"])["training_seconds"].max()
    tuned = last["tuning"].groupby(["cell", "round"]).max()
    assert len(tuned) > len(SIZES) * 2
    assert spent == pytest.approx((tuned.sum(), last["winners"].sum()))
    assert spent.total == pytest.approx(tuned.sum() + last["winners"].sum())
    assert joined.spent(ROWS.query("phase == 'tuning'")).winners == 0


def test_optimizers_are_ranked_on_each_device():
    assert joined.ranking(FAST) == ["sgd", "adam"]
    assert joined.ranking(SLOW) == ["adam", "sgd"]
    missed = ROWS.assign(steps_to_target=np.where(ROWS["optimizer"] == "sgd", np.inf, ROWS["steps_to_target"]))
    assert joined.ranking(findings(missed, STUDY)) == ["adam"]
    assert joined.ranking(findings(table(reaches=False), STUDY)) == []


def test_a_change_needs_intervals_that_contradict():
    found = {"one": FAST, "two": SLOW}
    quantities = [f"seconds at B = {size}" for size in SIZES]
    assert joined.changes(found) == [(quantity, "sgd", "adam") for quantity in quantities]
    assert joined.changes({"one": FAST, "two": EQUAL}) == []
    assert joined.changes({"one": FAST, "two": FAST}) == []


def test_the_table_has_a_column_for_each_study_with_its_ratio():
    found = {"one": FAST, "two": SLOW}
    (made,) = joined.tables(found)
    assert made.columns == ["what", "first / second", "one", "two", "ranking"]
    for row, first, second in zip(made.rows, seconds_apart(FAST), seconds_apart(SLOW), strict=True):
        assert [cell.text for cell in row] == [
            first.quantity, "sgd / adam", f"{interval(first.ratio)}: sgd takes less",
            f"{interval(second.ratio)}: adam takes less", "changes",
        ]  # fmt: skip
        assert [cell.key for cell in row[2:4]] == [first.ratio.value, second.ratio.value]
    (alike,) = joined.tables({"one": FAST, "two": EQUAL})
    assert {row[-1].text for row in alike.rows} == {"no change found"}
    assert {row[3].text.partition(": ")[2] for row in alike.rows} == {"not told apart"}


def test_sentences_name_the_first_to_finish_and_the_rankings():
    found = {"one": FAST, "two": SLOW}
    first, ranks = joined.sentences(found, {"two": Spent(20.0, 20.0), "one": Spent(8.0, 2.0)}, asks_same=True)
    assert first.startswith("First to finish is one: 10 s of training (8 tuning, 2 winners); 40 s of training")
    assert "on two (4 times as long)" in first
    assert "sgd, adam on one; adam, sgd on two" in ranks
    assert "the order of sgd and adam in seconds at B = 1, sgd and adam in seconds at B = 16, " in ranks
    assert ranks.endswith(" changes with the device.")
    alike = joined.sentences({"one": FAST, "two": FAST}, {}, asks_same=True)
    assert "Fewer than two of the studies are complete" in alike[0]
    assert "rank alike everywhere: sgd, adam; no change is beyond the intervals" in alike[1]


def test_studies_that_ask_differently_are_not_ranked():
    (said,) = joined.sentences({"one": FAST}, {"one": Spent(1.0, 1.0)}, asks_same=False)
    assert "do not ask the same" in said


def test_an_optimizer_or_a_target_that_one_device_lacks_has_no_comparison_there():
    alone = findings(where(ROWS, optimizer="sgd"), STUDY)
    (made,) = joined.tables({"one": FAST, "two": alone})
    assert {row[3] for row in made.rows} == {("–", math.inf)}
    assert joined.tables({"one": alone, "two": alone}) == []
    (missed,) = joined.tables({"one": FAST, "two": findings(table(reaches=False), STUDY)})
    assert all("the target was not reached by both" in row[3].text for row in missed.rows)
    assert all(row[3].key == math.inf for row in missed.rows)
