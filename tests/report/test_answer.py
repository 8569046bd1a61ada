"""What a study found, in words: the numbers are those of the findings, and what was missed is said."""

import math

import numpy as np
from study_by_hand import REAL, STUDY, table

from mlp_jax.analysis import family
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import Pair
from mlp_jax.report import answer
from mlp_jax.study import plan
from mlp_jax.study.best import FITTED, FOUND
from mlp_jax.study.evidence import Findings, definition_of, findings, where
from mlp_jax.study.summary import interval, number

ROWS = table()
BY_HAND = findings(ROWS, STUDY)
NOISY = plan.changed(STUDY, {}, {"noise_scale": True})


def said(found: Findings, rows=ROWS, study: plan.Study = STUDY) -> list[str]:
    return [text.replace("\u00a0", " ") for text in answer.sentences(study, found, rows)]


def one(sentences: list[str], begins: str) -> str:
    (sentence,) = [each for each in sentences if each.startswith(begins)]
    return sentence


def test_the_soonest_is_said_for_every_cost_with_its_interval_and_the_definition():
    text = one(said(BY_HAND), "To reach validation accuracy 0.9, the fewest steps are adam’s at B = 256: ")
    for cost, size in (("steps", 256), ("examples", 1), ("seconds", 256)):
        best = BY_HAND.cells.loc[BY_HAND.cells[cost].idxmin()]
        assert (best["optimizer"], best["batch_size"]) == ("adam", size)
        ends = f"{number(best[cost])} [{number(best[f'{cost}_low'])}, {number(best[f'{cost}_high'])}]"
        assert f"the fewest {cost} are adam’s at B = {size}: {ends}" in text
    assert (
        "a target counts as met at the first step k at which the average of all evaluations since step k/1.25" in text
    )
    assert "at least five" in text


def test_the_critical_batch_size_is_said_with_its_misfit_and_how_far_examples_stay_few():
    text = one(said(BY_HAND), "The critical batch size E_min/S_min is ")
    for name, scaling in BY_HAND.scaling.items():
        misfit = f"(the line misses by {100 * scaling.fit.misfit:.0f} %)"
        assert f"{interval(scaling.fit.b_crit)} for {name} {misfit}" in text
        assert scaling.perfect.high == 16
    assert (
        "Of the sizes tried, examples to target stay within 1.5 times the fewest up to B = 16 for sgd and adam." in text
    )


def with_fit(found: Findings, name: str, **changes) -> Findings:
    scaling = found.scaling[name]
    return found._replace(scaling=found.scaling | {name: scaling._replace(fit=scaling.fit._replace(**changes))})


def test_an_optimizer_without_a_critical_batch_size_is_named_with_the_reason():
    found = with_fit(BY_HAND, "sgd", b_crit=Estimate(math.nan, 0, math.inf), verdict="the line is bent")
    text = one(said(found), "The critical batch size")
    assert "for adam (the line misses by" in text
    assert "; none for sgd (the line is bent)." in text
    none = with_fit(found, "adam", b_crit=Estimate(math.nan, 0, math.inf), verdict="too few sizes")
    assert one(said(none), "No critical batch size is given; none for sgd (the line is bent), adam (too few sizes).")


def pairs(quantity: str, names: list[tuple[str, str]], verdict: str, ratio: Estimate) -> list[Pair]:
    return [Pair(quantity, *two, ratio, 0.5, verdict, 1.4) for two in names]


TWO = [("sgd", "momentum"), ("sgd", "adam")]


def test_comparisons_are_said_by_quantity_with_their_ratios():
    steps, examples = BY_HAND.differences
    text = one(said(BY_HAND), "Among 2 comparisons (all pairs; Holm, 95 % for all together), ")
    for pair in (steps, examples):
        times = f"{number(pair.ratio.low)} to {number(pair.ratio.high)} times as many as adam"
        assert f"n {pair.quantity}: sgd takes {times}." in text


def test_what_is_not_told_apart_or_not_compared_is_named():
    apart = pairs("steps at B = 9", TWO[:1], family.FIRST_LESS, Estimate(0.5, 0.25, 0.8))
    equal = pairs("steps at B = 9", TWO[1:], family.NOT_TOLD_APART, Estimate(1.1, 0.9, 1.3))
    never = pairs("examples at B = 1", TWO, family.NOT_REACHED, Estimate(math.nan, 0, math.inf))
    text = one(said(BY_HAND._replace(differences=[*apart, *equal, *never])), "Among 4 comparisons")
    assert (
        "in steps at B = 9: momentum takes 1.25 to 4 times as many as sgd; not told apart: sgd and adam (ratio" in text
    )
    assert "(ratio between 0.9 and 1.3); a ratio below 1.4 could have been missed. In examples at B = 1: " in text
    assert "In examples at B = 1: not compared, as the target was not reached: sgd and momentum, sgd and adam." in text


def test_of_many_comparisons_six_are_named_and_the_others_counted():
    names = [("sgd", f"o{number}") for number in range(9)]
    many = pairs("steps at B = 9", names, family.SECOND_LESS, Estimate(2, 1.5, 3))
    text = one(said(BY_HAND._replace(differences=many)), "Among 9 comparisons")
    assert text.count("sgd takes") == 6
    assert "; and 3 more pairs in the table below." in text


def test_one_optimizer_has_nothing_to_be_compared_with():
    asked = plan.changed(STUDY, {}, {"optimizers": ("sgd",)})
    assert any("nothing to compare it with" in text for text in said(findings(table(asked), asked)))


def test_rates_are_said_up_to_the_critical_batch_size_or_what_is_lacking():
    assert one(said(BY_HAND), "How the best learning rate of sgd and adam grows is not said: that takes 3 batch sizes")
    asked = plan.changed(STUDY, {}, {"batch_sizes": (1, 4, 16, 64, 512)})
    found = findings(table(asked), asked)
    text = one(said(found), "Up to B_crit the best learning rate grows as ")
    for name, scaling in found.scaling.items():
        assert f"B^{interval(scaling.exponent.estimate)} for {name}, which agrees with the square-root rule" in text
    assert "not said" not in text


def test_rates_that_were_only_the_best_found_have_no_interval_and_agree_with_nothing():
    search = {"method": "halton", "points": 30, "seeds": 1, "optimizers": ("sgd",), "batch_sizes": (1, 4, 16, 64)}
    asked = plan.changed(STUDY, {}, search)
    sentences = said(findings(table(asked), asked), study=asked)
    text = one(sentences, "Up to B_crit the best learning rate grows as ")
    assert "for sgd (without an interval: the best rates found)" in text
    assert "agrees" not in text
    assert FOUND in one(sentences, "The 95 % intervals hold the luck of ")


def test_what_the_intervals_hold_and_what_not_is_said():
    text = one(said(BY_HAND), f"The 95 % intervals hold the luck of {FITTED}. They do not hold that of the split")
    assert "another definition of the target" in text
    assert not [sentence for sentence in said(BY_HAND) if "noise scale" in sentence]


def test_a_noise_scale_is_compared_with_the_critical_batch_size():
    rows = table(NOISY)
    rows.loc[(rows["optimizer"] == "sgd") & (rows["batch_size"] == 256), "noise_trace"] *= 3
    found = findings(rows, NOISY)
    b_crit = {name: scaling.fit.b_crit.value for name, scaling in found.scaling.items()}
    text = one(said(found), "The gradient noise scale, with each part of a run weighted by its progress, is ")
    assert f"25 (25 to 75) for sgd, a factor of {number(b_crit['sgd'] / 25)} below its B_crit; " in text
    assert f"200 (200 to 200) for adam, a factor of {number(200 / b_crit['adam'])} above its B_crit" in text
    assert "the median over the batch sizes" in text


def test_a_target_nobody_reaches_is_said_with_the_closest_and_what_to_do():
    rows = table(NOISY, reaches=False)
    found = findings(rows, NOISY)
    first, second, third, noise = said(found, rows, NOISY)
    assert first == (
        "Not reached: validation accuracy 0.9 was not met by any trial at any batch size within 100,000 steps or 300 "
        "epochs."
    )
    assert second.startswith("The closest was ")
    assert second.endswith("whose median validation error ended at 0.5.")
    assert "give a larger budget or a lower target" in third
    assert "25 (25 to 25) for sgd; 200 (200 to 200) for adam" in noise
    assert answer.missed(found) == "sgd at B = 1, 16, 256; adam at B = 1, 16, 256"
    assert answer.missed(BY_HAND) == ""


def test_of_a_target_that_few_trials_reach_it_is_not_said_that_none_did():
    search = {"method": "halton", "points": 4, "seeds": 1, "optimizers": ("sgd",), "batch_sizes": (16,)}
    asked = plan.changed(STUDY, {}, search)
    rows = table(asked)
    won = where(rows, phase="winners")
    missed = won.loc[won["seed"].isin(won["seed"].unique()[:3])].index
    rows.loc[missed, "steps_to_target"] = math.inf
    found = findings(rows, asked)
    met = int(np.isfinite(found.winners["steps_to_target"]).sum() + found.cells["reached"].sum())
    assert met > 2
    assert f"was not met by most fresh seeds of a winner ({met} trials did)" in said(found, rows, asked)[0]


def test_of_a_regression_the_error_must_be_allowed_to_be_higher():
    asked = plan.changed(STUDY, {}, {"target": 50.0, "optimizers": ("sgd",)})
    rows = table(asked, facts=REAL, reaches=False)
    sentences = said(findings(rows, asked), rows, asked)
    assert "validation RMSE 50 was not met" in sentences[0]
    assert "whose median validation RMSE ended at " in sentences[1]
    assert "a higher target" in sentences[2]


def test_budgets_and_targets_are_written_plainly():
    assert answer.max_steps(STUDY) == "100,000"
    each = plan.changed(STUDY, {}, {"max_steps": {"1": 9000, "16": 700, "256": 80}})
    assert answer.max_steps(each) == "80 to 9,000 (by batch size)"
    assert answer.target(STUDY, ROWS) == "validation accuracy 0.9"
    assert answer.target(STUDY, ROWS.head(0)) == "the target 0.9"
    assert answer.target(STUDY, ROWS, 0.8) == "validation accuracy 0.8"
    real = ROWS.rename(columns={"validation_error": "validation_rmse"})
    assert answer.target(plan.changed(STUDY, {}, {"target": 50.0}), real) == "validation RMSE 50"


def test_another_reading_than_the_studys_own_is_said():
    own = definition_of(STUDY, ROWS)
    assert answer.otherwise(STUDY, BY_HAND, ROWS) == ""
    easier = findings(ROWS, STUDY, own._replace(target=0.85))
    text = answer.otherwise(STUDY, easier, ROWS)
    assert text.startswith("Read otherwise than asked, from the same trials: to validation accuracy 0.85. ")
    assert "met at the first evaluation" not in text
    assert said(easier)[0].startswith("To reach validation accuracy 0.85, ")
    first = findings(ROWS, STUDY, own._replace(smoothing=1.0))
    assert "counts as met at the first evaluation that meets it" in answer.otherwise(STUDY, first, ROWS)
    assert "a target counts as met at the first evaluation that meets it" in said(first)[0]
