"""What a study found, in words: the numbers are those of the findings, and what was missed is said."""

import math

import numpy as np
import pytest
from study_by_hand import SIZES, STUDY, table

from mlp_jax.analysis import comparison
from mlp_jax.report import answer
from mlp_jax.study import plan
from mlp_jax.study.evidence import Findings, findings, interval, number

ROWS = table()
FOUND = findings(ROWS)


def said(found: Findings, rows=ROWS) -> list[str]:
    return [text.replace("\u00a0", " ") for text in answer.sentences(STUDY, found, rows)]


def with_verdicts(found: Findings, verdicts: list[str]) -> Findings:
    """Findings that compare sgd, adam, … with these verdicts."""
    by_cost = found.differences[("sgd", "adam")]
    each = [
        {cost: difference._replace(verdict=verdict) for cost, difference in by_cost.items()} for verdict in verdicts
    ]
    names = [("sgd", "adam"), ("sgd", "momentum"), ("momentum", "adam")]
    return found._replace(differences=dict(zip(names, each)))


def test_the_answer_is_three_sentences_with_the_numbers():
    soonest, critical, compared = said(FOUND)
    best = FOUND.cells.loc[FOUND.cells["steps"].idxmin()]
    spread = f"{number(best['steps'])} ({number(best['steps_low'])} to {number(best['steps_high'])})"
    assert soonest.startswith(f"To reach validation accuracy 0.9, the fewest steps are adam’s at B = 256: {spread}; ")
    for cost in ("examples", "seconds"):
        best = FOUND.cells.loc[FOUND.cells[cost].idxmin()]
        assert f"the fewest {cost} are adam’s at B = {best['batch_size']}: {number(best[cost])} (" in soonest
    assert "the range of 5 seeds" in soonest
    for name, scaling in FOUND.scaling.items():
        assert f"{interval(scaling.fit.b_crit)} for {name}" in critical
        assert f"B = {number(scaling.perfect.high)} for " in critical
    assert compared.startswith("In 1 of 1 comparisons")
    assert "(adam than sgd)" in compared


def test_verdicts_are_counted_and_each_is_named():
    verdicts = [comparison.SECOND_LESS, comparison.NO_DIFFERENCE, comparison.TOO_FEW]
    text = said(with_verdicts(FOUND, verdicts))[-1]
    assert text.startswith("In 1 of 3 comparisons")
    assert "(adam than sgd); no difference found between sgd and momentum; too few seeds to tell" in text
    assert "(sgd than adam and momentum)" in said(with_verdicts(FOUND, [comparison.FIRST_LESS] * 2))[-1]


def test_an_optimizer_without_a_critical_batch_size_is_named_with_the_reason():
    unknown = FOUND.scaling["sgd"].fit._replace(verdict="too few sizes")
    unknown = unknown._replace(b_crit=unknown.b_crit._replace(value=math.nan))
    found = FOUND._replace(scaling=FOUND.scaling | {"sgd": FOUND.scaling["sgd"]._replace(fit=unknown)})
    text = said(found)[1]
    assert f"is {interval(FOUND.scaling['adam'].fit.b_crit)} for adam; none for sgd (too few sizes); " in text


def test_a_noise_scale_is_compared_with_the_critical_batch_size():
    found = findings(table(noise=True))
    b_crit = {name: scaling.fit.b_crit.value for name, scaling in found.scaling.items()}
    assert b_crit == pytest.approx({"sgd": 100, "adam": 100}, rel=0.3), "the trials' steps vary by 10 %"
    text = said(found)[3]
    assert f"25 for sgd, a factor of {number(b_crit['sgd'] / 25)} below its B_crit" in text
    assert f"200 for adam, a factor of {number(200 / b_crit['adam'])} above its B_crit" in text
    (cells, *_) = answer.tables(STUDY, found)
    at = cells.columns.index("noise scale")
    assert {(row[0].text, row[at].text) for row in cells.rows} == {("sgd", "25"), ("adam", "200")}


def test_a_target_nobody_reaches_is_said_with_the_closest_and_what_to_do():
    rows = table(reaches=False, noise=True)
    found = findings(rows)
    first, second, third, noise = said(found, rows)
    assert first.startswith("Not reached: no optimizer met validation accuracy 0.9 at any batch size within 100,000 ")
    assert second.endswith("whose median validation error ended at 0.5.")
    assert "give a larger budget or a lower target" in third
    assert noise.endswith("the gradient noise scale is 25 for sgd; 200 for adam.")
    assert not answer.compared(found)
    assert answer.missed(found) == "sgd at B = 1, 16, 256; adam at B = 1, 16, 256"
    assert len(answer.tables(STUDY, found)) == 2
    text = " ".join(entry.text for each in answer.tables(STUDY, found) for row in each.rows for entry in row)
    assert "nan" not in text


def test_one_optimizer_has_nothing_to_be_compared_with():
    assert "nothing to compare it with" in said(findings(table(("sgd",))))[2]


def test_tables_hold_every_cell_optimizer_and_pair_without_empty_columns():
    cells, optimizers, differences = answer.tables(STUDY, FOUND)
    assert [(row[0].text, row[1].text) for row in cells.rows] == [
        (name, str(size)) for name in ("sgd", "adam") for size in SIZES
    ]
    row = FOUND.cells.iloc[0]
    at = cells.columns.index("steps")
    assert cells.rows[0][at] == (
        f"{number(row['steps'])} [{number(row['steps_low'])}, {number(row['steps_high'])}]",
        row["steps"],
    )
    assert cells.rows[0][cells.columns.index("trials reached")] == ("6 of 12", 0.5)
    assert cells.rows[0][cells.columns.index("infeasible")].text == "3"
    assert not {"others tuned", "noise scale"} & set(cells.columns)
    assert [row[0].text for row in optimizers.rows] == ["sgd", "adam"]
    assert [row[0].text for row in differences.rows] == ["sgd − adam"]
    assert "adam takes fewer steps" in [entry.text for entry in differences.rows[0]]
    for table_ in (cells, optimizers, differences):
        assert {len(row) for row in table_.rows} == {len(table_.columns)}


def test_a_miss_is_written_as_one_and_sorted_to_the_end():
    rows = table()
    rows.loc[(rows["phase"] == "winners") & (rows["seed"] % 5 > 1) & (rows["batch_size"] == 1), "steps_to_target"] = (
        np.inf
    )
    text, key = answer.tables(STUDY, findings(rows))[0].rows[0][3]
    assert text.startswith("not reached [")
    assert text.endswith(", ∞]")
    assert key == math.inf
    assert answer.of_number(math.nan).key == math.inf


def test_budgets_and_targets_are_written_plainly():
    assert answer.max_steps(STUDY) == "100,000"
    assert answer.target(STUDY, ROWS) == "validation accuracy 0.9"
    assert answer.target(STUDY, ROWS.head(0)) == "the target 0.9"
    real = ROWS.rename(columns={"validation_error": "validation_rmse"})
    assert answer.target(plan.changed(STUDY, {}, {"target": 50.0}), real) == "validation RMSE 50"
