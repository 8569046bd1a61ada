"""Findings as plain values and as text: every number is one of the findings, and what is open or missed is said."""

import json
import math

import numpy as np
import pytest
from study_by_hand import SIZES, STUDY, table

from mlp_jax.analysis import family
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import Pair
from mlp_jax.study import plan, summary
from mlp_jax.study.best import FITTED
from mlp_jax.study.evidence import COSTS, best_batch_sizes, findings
from mlp_jax.study.summary import compared, interval, number, to_json

FOUND = findings(table(), STUDY)
PLAIN = to_json(FOUND)


def test_plain_values_are_those_of_the_findings():
    assert json.loads(json.dumps(PLAIN, allow_nan=False)) == PLAIN
    assert (PLAIN["cells"], PLAIN["trials"]) == (6, 6 * 28 + 6 * 5)
    assert PLAIN["definition"] == {"target": 0.9, "less_is_better": False, "smoothing": 1.25, "every": 1}
    assert PLAIN["intervals_hold"] == FITTED
    cells = FOUND.cells.set_index(["optimizer", "batch_size"])
    for name in ("sgd", "adam"):
        for size in SIZES:
            cell, at = cells.loc[(name, size)], str(size)
            assert PLAIN["steps_to_target"][name][at] == cell["steps"]
            assert PLAIN["steps_to_target_interval"][name][at] == [cell["steps_low"], cell["steps_high"]]
            assert PLAIN["best_learning_rate"][name][at] == cell["learning_rate"]
            ends = [cell["learning_rate_low"], cell["learning_rate_high"]]
            assert PLAIN["best_learning_rate_interval"][name][at] == ends
            assert PLAIN["steps_to_target_by_first_crossing"][name][at] == cell["first_crossing"]
        fit, perfect, exponent = FOUND.scaling[name]
        said = PLAIN["critical_batch_size"][name]
        assert [said[end] for end in ("value", "low", "high")] == list(fit.b_crit)
        assert (said["s_min"], said["e_min"]) == (fit.s_min._asdict(), fit.e_min._asdict())
        assert (said["misfit"], said["verdict"], said["perfect_scaling"]) == (fit.misfit, fit.verdict, list(perfect))
        grows = PLAIN["learning_rate_exponent"][name]
        assert (grows["sizes"], grows["verdict"], grows["value"]) == ([1, 16], exponent.verdict, None)
        assert PLAIN["best_batch_size"][name] == best_batch_sizes(FOUND.cells, name)
    for said, pair in zip(PLAIN["differences"], FOUND.differences, strict=True):
        assert said == pair._asdict() | {"ratio": pair.ratio._asdict()}
    assert "noise_scale" not in PLAIN


def test_what_is_missed_or_open_is_null():
    missed = to_json(findings(table(reaches=False), STUDY))
    assert json.loads(json.dumps(missed, allow_nan=False)) == missed
    assert "steps_to_target" not in missed
    assert missed["steps_to_target_by_first_crossing"]["sgd"] == dict.fromkeys(map(str, SIZES))
    never = missed["critical_batch_size"]["sgd"]
    assert (never["value"], never["low"], never["high"], never["perfect_scaling"]) == (None, 0, None, [None, None])
    assert missed["best_batch_size"]["sgd"] == dict.fromkeys(COSTS)
    assert {each["verdict"] for each in missed["differences"]} == {family.NOT_REACHED}


def test_a_noise_scale_that_was_measured_stands_with_its_interval():
    asked = plan.changed(STUDY, {}, {"noise_scale": True})
    plain = to_json(findings(table(asked), asked))
    assert plain["noise_scale"]["sgd"] == pytest.approx(dict.fromkeys(map(str, SIZES), 25))
    assert plain["noise_scale_interval"]["adam"]["16"] == pytest.approx([200, 200])


def test_the_table_says_what_was_best_what_was_missed_and_what_differs():
    text = summary.table(FOUND)
    lines = {line.split()[0]: line for line in text.split("\n\n")[0].splitlines()}
    cells = FOUND.cells.set_index(["optimizer", "batch_size"])
    assert f"256 ({number(cells.loc[('sgd', 256), 'steps'])})" in lines["sgd"]
    assert f"1 ({number(cells.loc[('adam', 1), 'examples'])})" in lines["adam"]
    for name, scaling in FOUND.scaling.items():
        assert interval(scaling.fit.b_crit) in lines[name]
        assert f"{100 * scaling.fit.misfit:.0f} %" in lines[name]
    assert f"intervals hold the luck of {FITTED}; not of the split, the data or the definition of the target" in text
    assert "differences (2 comparisons, together 95 %, Holm):" in text
    for pair in FOUND.differences:
        assert f"  {compared(pair)}" in text
    missed = summary.table(findings(table(reaches=False), STUDY))
    assert missed.split("\n\n")[0].count("not reached") == 6
    assert "– [" not in missed
    assert f"sgd: {findings(table(reaches=False), STUDY).scaling['sgd'].fit.verdict}" in missed


def pair(ratio: Estimate, verdict: str) -> Pair:
    return Pair("steps at B = 1,150", "sgd", "adam", ratio, 0.01, verdict, 1.4)


@pytest.mark.parametrize(
    ("ratio", "verdict", "said"),
    [
        (Estimate(2, 1.5, 3), family.SECOND_LESS, "sgd takes 1.5 to 3 times as many as adam"),
        (Estimate(0.5, 0.25, 0.8), family.FIRST_LESS, "adam takes 1.25 to 4 times as many as sgd"),
        (Estimate(1.1, 0.9, 1.3), family.NOT_TOLD_APART,
         "sgd and adam are not told apart (ratio between 0.9 and 1.3; 1.4 would have been seen)"),
        (Estimate(math.nan, 0, math.inf), family.NOT_REACHED, "sgd and adam: the target was not reached by both"),
    ],
)  # fmt: skip
def test_two_optimizers_are_compared_in_words(ratio, verdict, said):
    assert compared(pair(ratio, verdict)) == f"steps at B = 1,150: {said}"


@pytest.mark.parametrize(
    ("value", "written"),
    [(float("nan"), "–"), (np.inf, "∞"), (-np.inf, "−∞"), (1150.0, "1,150"), (0.0368, "0.0368"), (-22, "−22"),
     (999.6, "1,000"), (999.4, "999"), (7.1e-5, "0.000071"), (-3e-7, "−0.0000003"), (0, "0"), (0.5, "0.5")],
)  # fmt: skip
def test_numbers_are_written_plainly(value: float, written: str) -> None:
    assert number(value) == written


def test_an_interval_is_written_with_its_open_ends():
    assert interval(Estimate(5.0, -math.inf, math.inf)) == "5 [−∞, ∞]"
    assert interval(Estimate(math.nan, 0.0, 8.0)) == "– [0, 8]"
    assert interval(Estimate(math.nan, 0.0, math.inf)) == interval(Estimate(math.nan, -math.inf, math.inf)) == "–"
    assert interval(Estimate(71.93, 0, 84.8)) == "71.9 [0, 84.8]"
