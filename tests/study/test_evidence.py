"""What a study has found, on studies written by hand whose valleys, critical batch sizes and differences are known."""

import dataclasses
import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pandas
import pytest
from study_by_hand import B_CRIT, REAL, SECONDS, SIZES, STUDY, best_rate, best_steps, table

from mlp_jax.analysis import crossing, family, noise
from mlp_jax.analysis.critical_batch_size import TOO_FEW_SIZES
from mlp_jax.analysis.crossing import Definition
from mlp_jax.study import plan
from mlp_jax.study.best import FITTED, FOUND
from mlp_jax.study.evidence import (
    COSTS,
    best_batch_sizes,
    criticals,
    definition_of,
    findings,
    histories_of,
    noise_scales,
    ordered,
    redefined,
    score_of,
    seconds_apart,
    where,
)
from mlp_jax.study.spaces import Space
from mlp_jax.study.summary import to_json

INF = math.inf
ROWS = table()
FOUND_BY_HAND = findings(ROWS, STUDY)
CELLS = FOUND_BY_HAND.cells.set_index(["optimizer", "batch_size"])
OWN = Definition(0.9, less_is_better=False, smoothing=1.25)


@functools.cache
def alike() -> plan.Study:
    """A study of two optimizers that need the same."""
    return plan.changed(STUDY, {}, {"optimizers": ("sgd", "adagrad")})


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_the_rows_changes_nothing(seed):
    shuffled = ROWS.sample(frac=1, random_state=seed, ignore_index=True)
    assert repr(to_json(findings(shuffled, STUDY))) == repr(to_json(FOUND_BY_HAND))


def test_a_cell_has_the_bottom_of_its_valley_with_intervals_that_hold_it():
    assert list(CELLS.index) == list(itertools.product(("sgd", "adam"), SIZES))
    steps, rates = 0, 0
    for (name, size), cell in CELLS.iterrows():
        assert cell["steps"] == pytest.approx(best_steps(name, size), rel=0.1)
        assert cell["learning_rate"] == pytest.approx(best_rate(name, size), rel=0.15)
        assert cell["steps_low"] < cell["steps"] < cell["steps_high"] < 1.3 * cell["steps_low"]
        steps += cell["steps_low"] <= best_steps(name, size) <= cell["steps_high"]
        rates += cell["learning_rate_low"] <= best_rate(name, size) <= cell["learning_rate_high"]
        for end in ("", "_low", "_high"):
            assert cell[f"examples{end}"] == pytest.approx(size * cell[f"steps{end}"])
            assert cell[f"seconds{end}"] == pytest.approx(SECONDS * cell[f"steps{end}"])
    assert min(steps, rates) >= 5, "of 6 intervals of 95 %"
    assert set(FOUND_BY_HAND.best) == set(CELLS.index)
    assert {best.holds for best in FOUND_BY_HAND.best.values()} == {FITTED}


def test_a_cell_counts_what_was_tried():
    ends = ROWS.query("phase == 'tuning'").sort_values("step").groupby("trial").tail(1)
    for (name, size), own in ends.groupby(["optimizer", "batch_size"]):
        cell = CELLS.loc[(name, size)]
        assert (cell["trials"], cell["infeasible"]) == (28, (own["status"] == "INFEASIBLE").sum())
        assert cell["reached"] == np.isfinite(own["steps_to_target"]).sum()
        assert cell["test_accuracy"] == 0.93
    assert CELLS["infeasible"].sum() > 0


def test_a_winner_has_a_row_for_each_fresh_seed_with_the_seconds_of_a_step():
    winners = FOUND_BY_HAND.winners
    assert len(winners) == 5 * len(CELLS)
    assert winners["optimizer"].tolist() == ["sgd"] * 15 + ["adam"] * 15
    np.testing.assert_allclose(winners["step_seconds"], SECONDS)


def test_the_line_gives_the_critical_batch_size():
    for name in ("sgd", "adam"):
        fit, perfect, _ = FOUND_BY_HAND.scaling[name]
        assert fit.b_crit.value == pytest.approx(B_CRIT, rel=0.2)
        assert fit.b_crit.low < B_CRIT < fit.b_crit.high
        assert perfect == (1, 16)


def test_the_best_batch_size_has_the_least_cost_and_is_none_where_all_miss():
    expected = {"steps": 256, "examples": 1, "seconds": 256}
    assert best_batch_sizes(FOUND_BY_HAND.cells, "sgd") == expected
    missed = findings(table(reaches=False), STUDY)
    assert best_batch_sizes(missed.cells, "adam") == dict.fromkeys(COSTS)
    assert np.isinf(missed.cells[["steps", "steps_low", "steps_high", "first_crossing"]]).all(axis=None)
    assert np.isfinite(missed.cells["learning_rate"]).all(), "the one that ended best"
    assert missed.scaling["sgd"].fit.verdict == TOO_FEW_SIZES
    equal = FOUND_BY_HAND.cells.assign(steps=7.0)
    assert best_batch_sizes(equal, "adam")["steps"] == 256, "the largest of equals"


def test_a_study_is_read_by_its_own_definition_unless_told_otherwise():
    assert FOUND_BY_HAND.definition == definition_of(STUDY, ROWS) == OWN
    assert repr(to_json(findings(ROWS, STUDY, OWN))) == repr(to_json(FOUND_BY_HAND))


@pytest.mark.parametrize(
    "asked", [OWN._replace(target=0.85), OWN._replace(smoothing=1.0), OWN._replace(target=0.8, every=2)]
)
def test_another_definition_is_read_from_the_histories(asked):
    read = redefined(ROWS, STUDY, asked)
    assert read.trials.drop(columns="steps_to_target").equals(
        histories_of(ROWS, STUDY).trials.drop(columns="steps_to_target")
    )
    steps = dict(zip(read.trials["trial"], read.trials["steps_to_target"]))
    for name, own in ROWS.sort_values("step").groupby("trial"):
        step, score = own["step"].to_numpy(float), own["validation_accuracy"].to_numpy(float)
        assert steps[name] == crossing.steps_to_target(step, score, asked), name
    found = findings(ROWS, STUDY, asked)
    assert found.definition == asked
    assert (found.cells["steps"] < FOUND_BY_HAND.cells["steps"]).all()
    again = findings(read, STUDY, asked)
    assert repr(to_json(again)) == repr(to_json(found))


@pytest.mark.parametrize(
    "asked",
    [OWN._replace(target=0.95), OWN._replace(smoothing=1.5), OWN._replace(every=2), OWN._replace(target=math.nan)],
)
def test_what_the_trials_ended_before_is_refused(asked):
    for read in (redefined, findings):
        with pytest.raises(ValueError, match="can't be read from trials that ended at 0.9 .* run a study of it"):
            read(*((ROWS, STUDY, asked)))
    with pytest.raises(ValueError, match="can't be read"):
        criticals(ROWS, STUDY, {asked: 0})


def test_less_is_harder_where_less_is_better():
    asked = plan.changed(STUDY, {}, {"target": 50.0, "optimizers": ("sgd",)})
    rows = table(asked, facts=REAL)
    assert score_of(asked, rows) == "validation_rmse"
    own = definition_of(asked, rows)
    assert own == (50.0, True, 1.25, 1)
    with pytest.raises(ValueError, match="give one that is met sooner"):
        findings(rows, asked, own._replace(target=49.0))
    easier = findings(rows, asked, own._replace(target=60.0)).cells["steps"]
    found = findings(rows, asked)
    assert (easier < found.cells["steps"]).all()
    assert found.scaling["sgd"].fit.b_crit.value == pytest.approx(B_CRIT, rel=0.2)


def test_the_first_crossing_is_a_column_beside():
    first = findings(ROWS, STUDY, OWN._replace(smoothing=1.0))
    assert CELLS["first_crossing"].tolist() == first.cells["steps"].tolist() == first.cells["first_crossing"].tolist()
    assert (CELLS["first_crossing"] < CELLS["steps"]).all()
    easier = findings(ROWS, STUDY, OWN._replace(target=0.85))
    assert (easier.cells["first_crossing"] < CELLS["first_crossing"].to_numpy()).all(), "of the target that was asked"


def test_the_critical_batch_size_by_several_definitions_is_that_by_each():
    asked = {OWN: 50, OWN._replace(target=0.85): 0, OWN._replace(target=0.88, smoothing=1.0, every=2): 0}
    together = criticals(ROWS, STUDY, asked)
    for (definition, resamples), fits in zip(asked.items(), together, strict=True):
        assert repr(criticals(ROWS, STUDY, {definition: resamples})[0]) == repr(fits)
        whole = findings(ROWS, STUDY, definition).scaling
        for name, fit in fits.items():
            assert fit.b_crit.value == whole[name].fit.b_crit.value
            assert math.isfinite(fit.b_crit.high) == (resamples > 0)


def test_the_family_is_all_pairs_at_the_ends_of_the_batch_sizes():
    asked = plan.changed(STUDY, {}, {"optimizers": ("adam", "momentum", "sgd")})
    pairs = findings(table(asked), asked).differences
    names = [("sgd", "momentum"), ("sgd", "adam"), ("momentum", "adam")]
    expected = [(what, *two) for what in ("steps at B = 256", "examples at B = 1") for two in names]
    assert [(pair.quantity, pair.first, pair.second) for pair in pairs] == expected
    for pair, ratio in zip(pairs, [1 / 0.7, 2, 1.4] * 2):
        assert pair.ratio.low < ratio < pair.ratio.high
        assert pair.ratio.value == pytest.approx(ratio, rel=0.15)
        assert pair.verdict == family.SECOND_LESS


@pytest.mark.slow
def test_optimizers_that_need_the_same_are_told_apart_in_few_studies():
    apart = 0
    for seed in range(8):
        asked = dataclasses.replace(alike(), seed=seed)
        found = findings(table(asked), asked, resamples=200)
        apart += any(pair.verdict != family.NOT_TOLD_APART for pair in found.differences)
        for pair in found.differences:
            assert pair.least_ratio > 1
            assert pair.ratio.low < 1 < pair.ratio.high or pair.verdict != family.NOT_TOLD_APART
    assert apart <= 2, "by chance in one study of twenty"


def test_at_one_batch_size_steps_and_examples_are_one_comparison():
    asked = plan.changed(STUDY, {}, {"batch_sizes": (16,)})
    (pair,) = findings(table(asked), asked).differences
    assert pair.quantity == "steps at B = 16"


def test_where_one_misses_the_target_there_is_no_comparison_but_a_place_in_the_family():
    rows = ROWS.copy()
    missed = (rows["optimizer"] == "adam") & (rows["batch_size"] == 256)
    rows.loc[missed, "steps_to_target"] = INF
    rows.loc[missed, "validation_accuracy"] = 0.5
    steps, examples = findings(rows, STUDY).differences
    assert (steps.verdict, examples.verdict) == (family.NOT_REACHED, family.SECOND_LESS)


def test_the_best_rate_grows_by_the_rule_that_it_follows_up_to_the_critical_batch_size():
    asked = plan.changed(STUDY, {}, {"batch_sizes": (1, 4, 16, 64, 512), "optimizers": ("sgd",)})
    exponent = findings(table(asked), asked).scaling["sgd"].exponent
    assert exponent.sizes == (1, 4, 16, 64)
    assert exponent.estimate.low < 0.5 < exponent.estimate.high < exponent.estimate.low + 0.3
    assert exponent.rules == ("square-root",)
    few = FOUND_BY_HAND.scaling["sgd"].exponent
    assert (few.sizes, few.missing) == ((1, 16), 1)


def test_of_a_search_the_steps_are_those_of_the_best_point_and_hold_its_seeds_alone():
    search = {"method": "halton", "points": 30, "seeds": 1, "optimizers": ("sgd",), "batch_sizes": (1, 4, 16, 64)}
    asked = plan.changed(STUDY, {}, search)
    rows = table(asked)
    found = findings(rows, asked)
    for (_, size), best in found.best.items():
        own = where(found.winners, batch_size=size)
        steps = own["steps_to_target"].to_numpy(float)
        assert (best.steps, best.holds, best.valley) == (np.median(steps), FOUND, None)
        assert best.rate == own["learning_rate"].iloc[0]
        assert {*best.samples} <= {*steps}
    assert (found.cells["learning_rate_low"] == 0).all()
    assert np.isinf(found.cells["learning_rate_high"]).all()
    exponent = found.scaling["sgd"].exponent
    assert (exponent.missing, exponent.estimate.low, exponent.estimate.high) == (0, -INF, INF), "not of zero width"


def test_an_optimum_at_an_end_of_its_space_is_said():
    space = {"sgd": {"learning_rate": Space(low=0.002, high=0.012, scale="linear")}}  # which is not widened
    asked = replace(STUDY, optimizers=("sgd",), batch_sizes=(1,), spaces=space)
    assert findings(table(asked), asked).cells["at_end"].tolist() == ["high"]
    assert set(CELLS["at_end"]) == {""}


def test_a_valley_may_be_of_another_hyper_parameter():
    space = {"momentum": {"learning_rate": Space(choices=(0.02,)), "momentum": Space(low=0.5, high=0.99, scale="log")}}
    asked = replace(STUDY, optimizers=("momentum",), batch_sizes=(1, 4, 16), spaces=space)
    found = findings(table(asked), asked)
    assert {best.valley.name for best in found.best.values() if best.valley} == {"momentum"}
    assert {best.rate for best in found.best.values()} == {0.02}
    assert found.scaling["momentum"].exponent.estimate.high == INF, "no rate was fitted"


def test_seconds_are_compared_at_each_batch_size_in_one_family():
    pairs = seconds_apart(FOUND_BY_HAND)
    assert [pair.quantity for pair in pairs] == [f"seconds at B = {size}" for size in SIZES]
    assert {pair.verdict for pair in pairs} == {family.SECOND_LESS}
    slow = FOUND_BY_HAND._replace(cells=FOUND_BY_HAND.cells.assign(step_seconds=[1.0] * 3 + [4.0] * 3))
    assert {pair.verdict for pair in seconds_apart(slow)} == {family.FIRST_LESS}


def test_optimizers_come_in_the_order_of_their_table():
    asked = plan.changed(STUDY, {}, {"optimizers": ("adam", "sgd")})
    found = findings(table(asked), asked)
    assert list(found.scaling) == list(dict.fromkeys(found.cells["optimizer"])) == ["sgd", "adam"]
    assert ordered(["adam", "sgd", "adam"]) == ["sgd", "adam"]


def noisy() -> tuple[plan.Study, pandas.DataFrame]:
    """A study that measured the noise scale, which varies by a factor from seed to seed."""
    asked = plan.changed(STUDY, {}, {"noise_scale": True})
    rows = table(asked)
    factor = 1 + rows["seed"] % 3
    return asked, rows.assign(noise_trace=rows["noise_trace"] * factor, noise_scale=rows["noise_scale"] * factor)


def test_a_cell_has_the_noise_scale_of_its_runs_with_an_interval_over_the_seeds():
    asked, rows = noisy()
    found = findings(rows, asked)
    for _, cell in found.cells.iterrows():
        own = rows.query("phase == 'winners' and optimizer == @cell.optimizer and batch_size == @cell.batch_size")
        columns = ("step", "noise_trace", "noise_squared_norm")
        each = [
            noise.progress_average(*(run[column].to_numpy(float) for column in columns), float(cell["batch_size"]))
            for _, run in own.groupby("seed")
        ]
        expected = noise.over_seeds(each)
        assert cell[["noise_scale", "noise_scale_low", "noise_scale_high"]].tolist() == pytest.approx(list(expected))
        assert expected.low < expected.value < expected.high
    sizes = found.cells.query("optimizer == 'sgd'")["noise_scale"]
    assert noise_scales(found.cells)["sgd"] == np.median(sizes)
    assert repr(found.scaling) == repr(FOUND_BY_HAND.scaling), "what is measured changes nothing else"


def test_what_was_not_measured_is_not_there():
    assert FOUND_BY_HAND.cells["noise_scale"].isna().all()
    assert noise_scales(FOUND_BY_HAND.cells) == {}
    asked, rows = noisy()
    rows.loc[rows["optimizer"] == "sgd", ["noise_trace", "noise_squared_norm", "noise_scale"]] = math.nan
    assert list(noise_scales(findings(rows, asked).cells)) == ["adam"]


@pytest.mark.parametrize("rows", [pandas.DataFrame(), ROWS.query("phase == 'tuning'")])
def test_a_study_without_winners_says_so(rows):
    with pytest.raises(ValueError, match="no winner yet; let it run on"):
        findings(rows, STUDY)


def test_a_study_in_progress_speaks_of_the_cells_that_have_winners():
    there = ROWS.query("phase == 'tuning' or batch_size == 256")
    found = findings(there, STUDY)
    assert found.cells["batch_size"].tolist() == [256, 256]
    assert found.cells["trials"].tolist() == [28, 28]
    assert [pair.quantity for pair in found.differences] == ["steps at B = 256"]
    assert found.scaling["sgd"].fit.verdict == TOO_FEW_SIZES
    one = findings(there.query("optimizer == 'sgd'"), STUDY)
    assert one.differences == []
