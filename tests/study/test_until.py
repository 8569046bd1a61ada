"""Rounds that are added until intervals are narrow: to whom, how often, and what is said of it."""

import math

import numpy as np
import pandas
import pytest

from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.critical_batch_size import FITTED, NO_PLATEAU, Fit, Range
from mlp_jax.analysis.crossing import Definition
from mlp_jax.analysis.power_law import Exponent
from mlp_jax.study import until
from mlp_jax.study.evidence import Findings, Scaling
from mlp_jax.study.plan import Study

STUDY = Study(optimizers=("sgd", "adam"), batch_sizes=(8, 64, 512))
NONE = Exponent(Estimate(np.nan, -math.inf, math.inf), (), 3, ())


def found(ratios: dict[str, float]) -> Findings:
    """Findings whose intervals of B_crit have these ratios of their ends."""
    scaling = {}
    for name, ratio in ratios.items():
        b_crit = (
            Estimate(100.0, 100 / ratio**0.5, 100 * ratio**0.5) if ratio < math.inf else Estimate(9.0, 3.0, math.inf)
        )
        verdict = FITTED if ratio < math.inf else NO_PLATEAU
        scaling[name] = Scaling(Fit(Estimate(1, 1, 1), Estimate(1, 1, 1), b_crit, 0.01, (), verdict), Range(8, 8), NONE)
    cells = pandas.DataFrame({"trials": [28, 34]})
    return Findings(pandas.DataFrame(), cells, {}, scaling, [], Definition(0.95, False))


def studies(ratio, asked: list[Study]):
    """What runs a study whose intervals are as wide as `ratio` of the optimizer and its rounds says."""

    def find(study: Study) -> Findings:
        asked.append(study)
        return found({name: ratio(name, study.rounds_of(name)) for name in study.optimizers})

    return find


def test_an_optimizer_gets_another_round_only_while_its_interval_is_too_wide():
    asked: list[Study] = []
    reached = until.reach(STUDY, 1.75, 7, studies(lambda name, n: 1.7 if name == "sgd" or n >= 4 else 2.5, asked))
    assert [(study.rounds_of("sgd"), study.rounds_of("adam")) for study in asked] == [(2, 2), (2, 3), (2, 4)]
    assert reached is not None
    assert (reached.looks, reached.missed) == (3, [])
    assert reached.study == asked[-1]
    assert "B_crit within a factor of 1.75: sgd (1.70), adam (1.70), after 3 looks and 62 trials" in until.said(reached)


@pytest.mark.parametrize(("most", "rounds"), [(7, 7), (3, 3), (1, 1)])
def test_there_are_six_looks_at_most_and_no_more_rounds_than_asked(most, rounds):
    asked: list[Study] = []
    reached = until.reach(STUDY, 1.75, most, studies(lambda *_: math.inf, asked))
    assert reached is not None
    assert len(asked) == reached.looks == max(1, most - 1)
    assert asked[-1].rounds == rounds
    assert reached.missed == ["sgd", "adam"]
    assert f"not within it: adam ({NO_PLATEAU}; {rounds} rounds)" in until.said(reached)


def test_an_interrupt_ends_it():
    assert until.reach(STUDY, 1.75, 7, lambda _: None) is None


@pytest.mark.parametrize("width", [1.0, 0.9, -2.0, math.inf, math.nan])
def test_a_width_that_can_not_be_is_refused(width):
    with pytest.raises(ValueError, match="is not allowed; give a ratio of the ends of an interval, above 1"):
        until.check(STUDY, width)


def test_a_search_has_no_rounds_to_add():
    with pytest.raises(ValueError, match="method halton has none; choose method rounds"):
        until.check(Study(method="halton"), 1.75)
