"""Studies side by side: seconds add up, rankings are per device, and a change needs intervals that contradict."""

import numpy as np
import pandas
import pytest

from mlp_jax.report import joined
from mlp_jax.report.joined import Spent
from mlp_jax.study.evidence import findings

SIZES = (8, 64)


def rows(seconds: dict[str, float], spread: float = 0.02) -> pandas.DataFrame:
    """A study in which each optimizer takes about so many seconds at the larger batch size, twice that at the less."""
    made = []
    for name, mean in seconds.items():
        for size in SIZES:
            for phase, seeds in (("tuning", 3), ("winners", 5)):
                for seed in range(seeds):
                    took = mean * (64 / size) ** (1 / 3) * (1 + spread * np.random.default_rng(seed).normal())
                    trial = {"trial": f"{name}-{size}-{phase}-{seed}", "cell": f"{name}-{size}", "phase": phase}
                    where = {"optimizer": name, "batch_size": size, "seed": seed, "learning_rate": 0.1}
                    end = {"steps_to_target": 100.0, "status": "COMPLETE", "step": 100, "training_seconds": took}
                    made += [trial | where | end, trial | where | end | {"step": 50, "training_seconds": took / 2}]
    return pandas.DataFrame(made)


FAST, SLOW = rows({"sgd": 1.0, "adam": 2.0}), rows({"sgd": 9.0, "adam": 5.0})
EQUAL = rows({"sgd": 1.0, "adam": 1.0})


def test_tuning_counts_a_cell_once_and_every_winner():
    spent = joined.spent(FAST)
    tuned = FAST[FAST["phase"] == "tuning"].groupby("cell")["training_seconds"].max().sum()
    won = FAST[(FAST["phase"] == "winners") & (FAST["step"] == 100)]["training_seconds"].sum()
    assert spent == pytest.approx((tuned, won))
    assert spent.total == pytest.approx(tuned + won)


def test_optimizers_are_ranked_on_each_device():
    assert joined.ranking(findings(FAST)) == ["sgd", "adam"]
    assert joined.ranking(findings(SLOW)) == ["adam", "sgd"]
    missed = FAST.assign(steps_to_target=np.where(FAST["optimizer"] == "sgd", np.inf, FAST["steps_to_target"]))
    assert joined.ranking(findings(missed)) == ["adam"]


def test_a_change_needs_intervals_that_contradict():
    found = {"one": findings(FAST), "two": findings(SLOW)}
    assert joined.changes(found) == [("sgd", "adam")]
    assert joined.changes({"one": findings(FAST), "two": findings(EQUAL)}) == []
    (table,) = joined.tables(found)
    assert table.columns == ["first − second", "one", "two", "ranking"]
    assert [cell.text for cell in table.rows[0]][-1] == "changes"
    assert "sgd takes fewer seconds" in table.rows[0][1].text
    assert "adam takes fewer seconds" in table.rows[0][2].text


def test_sentences_name_the_first_to_finish_and_the_rankings():
    found = {"one": findings(FAST), "two": findings(SLOW)}
    first, ranks = joined.sentences(found, {"two": Spent(20.0, 20.0), "one": Spent(8.0, 2.0)}, asks_same=True)
    assert first.startswith("First to finish is one: 10 s of training (8 tuning, 2 winners); 40 s of training")
    assert "on two (4 times as long)" in first
    assert "sgd, adam on one; adam, sgd on two" in ranks
    assert "the order of sgd and adam changes with the device" in ranks
    alike = joined.sentences({"one": found["one"], "two": findings(FAST)}, {}, asks_same=True)
    assert "Fewer than two of the studies are complete" in alike[0]
    assert "rank alike everywhere: sgd, adam; no change is beyond the intervals" in alike[1]


def test_studies_that_ask_differently_are_not_ranked():
    (said,) = joined.sentences({"one": findings(FAST)}, {"one": Spent(1.0, 1.0)}, asks_same=False)
    assert "do not ask the same" in said


def test_an_optimizer_that_one_device_lacks_has_no_entry_there():
    (table,) = joined.tables({"one": findings(FAST), "two": findings(rows({"sgd": 1.0}))})
    assert table.rows[0][2].text == "–"
