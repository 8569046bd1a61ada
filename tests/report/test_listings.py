"""Tables of the page: every number of the findings, sorted by it, and words where there is none."""

import math
from dataclasses import replace

import pytest
from study_by_hand import SIZES, STUDY, table

from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.report import listings
from mlp_jax.report.listings import Cell, Table
from mlp_jax.study import plan
from mlp_jax.study.evidence import COSTS, Findings, findings
from mlp_jax.study.spaces import Space
from mlp_jax.study.summary import compared, interval, number

FOUND = findings(table(), STUDY)
CELLS, OPTIMIZERS, DIFFERENCES = listings.tables(STUDY, FOUND)


def column(made: Table, name: str) -> list[Cell]:
    return [row[made.columns.index(name)] for row in made.rows]


def test_a_row_for_every_cell_optimizer_and_pair_with_an_entry_in_every_column():
    assert [(row[0].text, row[1].text) for row in CELLS.rows] == [
        (name, str(size)) for name in ("sgd", "adam") for size in SIZES
    ]
    assert [row[0].text for row in OPTIMIZERS.rows] == ["sgd", "adam"]
    pairs = [(pair.quantity, f"{pair.first} / {pair.second}") for pair in FOUND.differences]
    assert [(row[0].text, row[1].text) for row in DIFFERENCES.rows] == pairs
    for made in (CELLS, OPTIMIZERS, DIFFERENCES):
        assert {len(row) for row in made.rows} == {len(made.columns)}
        assert len(set(made.columns)) == len(made.columns)


@pytest.mark.parametrize("cost", COSTS)
def test_costs_stand_with_their_intervals_and_sort_by_their_values(cost: str):
    for entry, row in zip(column(CELLS, cost), FOUND.cells.to_dict("records"), strict=True):
        text = f"{number(row[cost])} [{number(row[f'{cost}_low'])}, {number(row[f'{cost}_high'])}]"
        assert entry == (text, row[cost])


def test_a_cell_has_its_rate_its_first_crossing_and_what_was_tried():
    for number_, row in enumerate(FOUND.cells.to_dict("records")):
        ends = f"[{number(row['learning_rate_low'])}, {number(row['learning_rate_high'])}]"
        assert column(CELLS, "best learning rate")[number_].text == f"{number(row['learning_rate'])} {ends}"
        assert column(CELLS, "steps by first crossing")[number_].key == row["first_crossing"]
        assert column(CELLS, "trials reached")[number_] == (f"{row['reached']} of 28", row["reached"] / 28)
        assert column(CELLS, "infeasible")[number_].key == row["infeasible"]
        assert column(CELLS, "test accuracy")[number_].text == "0.93"
    assert not {"others tuned", "noise scale"} & set(CELLS.columns), "columns without an entry"


def test_an_interval_that_ends_at_its_value_is_still_an_interval():
    cells = FOUND.cells.assign(learning_rate_high=FOUND.cells["learning_rate"])
    entry = column(listings.tables(STUDY, FOUND._replace(cells=cells))[0], "best learning rate")[0]
    assert entry.text.endswith(f", {number(cells['learning_rate'].iloc[0])}]")


def test_a_miss_is_written_as_one_and_sorted_to_the_end():
    missed = findings(table(reaches=False), STUDY)
    cells, optimizers, differences = listings.tables(STUDY, missed)
    for cost in COSTS:
        assert set(column(cells, cost)) == {Cell("not reached", math.inf)}
        assert set(column(optimizers, f"best B for {cost}")) == {Cell("not reached", math.inf)}
    assert all("[" not in entry.text for entry in column(cells, "best learning rate")), "nothing was fitted"
    assert all("the target was not reached" in entry.text for entry in column(differences, "verdict"))
    assert set(column(optimizers, "B_crit")) == {Cell("–", math.inf)}
    text = " ".join(entry.text for made in (cells, optimizers, differences) for row in made.rows for entry in row)
    assert "nan" not in text
    assert "inf" not in text.replace("infeasible", "")


def test_an_optimizer_has_its_line_its_range_its_exponent_and_both_verdicts():
    for at, (_, (fit, perfect, exponent)) in enumerate(FOUND.scaling.items()):
        for name, estimate in (("B_crit", fit.b_crit), ("S_min", fit.s_min), ("E_min", fit.e_min)):
            assert column(OPTIMIZERS, name)[at] == (interval(estimate), estimate.value)
        assert column(OPTIMIZERS, "misfit of the line")[at] == (f"{100 * fit.misfit:.0f} %", fit.misfit)
        assert column(OPTIMIZERS, "examples within 1.5 × the fewest")[at] == ("B = 1 to 16", perfect.high)
        assert column(OPTIMIZERS, "best rate ∝ B^")[at] == ("–", math.inf)
        assert column(OPTIMIZERS, "verdict")[at].text == f"{fit.verdict}; rate: {exponent.verdict}"


def test_two_optimizers_have_their_ratio_and_what_would_have_been_seen():
    for row, pair in zip(DIFFERENCES.rows, FOUND.differences, strict=True):
        assert row[2] == (interval(pair.ratio), pair.ratio.value)
        assert row[3].text == ("< 0.001" if pair.p < 0.001 else number(pair.p))
        assert row[4].key == pair.least_ratio
        assert row[5].text == compared(pair).partition(": ")[2]
    likely = FOUND.differences[0]._replace(p=0.0213, ratio=Estimate(1.1, 0.9, 1.3))
    assert listings.tables(STUDY, FOUND._replace(differences=[likely]))[2].rows[0][3] == ("0.0213", 0.0213)


def test_one_optimizer_has_no_table_of_differences():
    asked = plan.changed(STUDY, {}, {"optimizers": ("sgd",)})
    assert len(listings.tables(asked, findings(table(asked), asked))) == 2


def test_a_noise_scale_that_was_measured_has_a_column():
    asked = plan.changed(STUDY, {}, {"noise_scale": True})
    cells = listings.tables(asked, findings(table(asked), asked))[0]
    texts = [entry.text for entry in column(cells, "noise scale")]
    assert texts == ["25 [25, 25]"] * 3 + ["200 [200, 200]"] * 3


def of_space(**space: Space) -> tuple[Table, Findings]:
    asked = replace(STUDY, optimizers=("momentum",), batch_sizes=(1,), spaces={"momentum": space})
    found = findings(table(asked), asked)
    return listings.tables(asked, found)[0], found


def test_a_rate_at_an_end_of_its_space_is_said():
    cells, _ = of_space(learning_rate=Space(low=0.002, high=0.012, scale="linear"))
    assert column(cells, "best learning rate")[0].text.endswith("], at the high end of its space")


def test_what_was_tuned_besides_the_rate_is_said_with_its_own_end():
    fixed, momentum = Space(choices=(0.02,)), Space(low=0.5, high=0.99, scale="log_complement")
    cells, found = of_space(learning_rate=fixed, momentum=momentum)
    best = number(float(found.winners["momentum"].iloc[0]))
    ended = found._replace(cells=found.cells.assign(at_end="low"))
    asked = replace(
        STUDY, optimizers=("momentum",), spaces={"momentum": {"learning_rate": fixed, "momentum": momentum}}
    )
    said = listings.tables(asked, ended)[0]
    assert column(cells, "others tuned")[0].text.startswith(f"momentum {best}")
    assert column(said, "others tuned")[0].text == f"momentum {best}, at the low end of its space"
    assert column(said, "best learning rate")[0].text == "0.02"


def test_what_is_unknown_is_sorted_to_the_end():
    assert listings.of_number(math.nan) == ("–", math.inf)
    assert listings.of_number(1150) == ("1,150", 1150)
    assert listings.of_text("sgd") == ("sgd", "sgd")
