"""Whole studies of workloads whose truth is known: how often the intervals hold it, and what is withheld."""

from typing import NamedTuple

import numpy as np
import pytest
from simulated import SIZES, Workload

from mlp_jax.analysis import bootstrap, critical_batch_size, family, power_law, selftest, testbed

PLAIN = Workload(100, 0.2)
WORKLOADS = {
    "small B_crit": Workload(20, 0.25),
    "large B_crit": Workload(300, 0.25),
    "quiet": Workload(100, 0.1),
    "noisy": Workload(100, 0.4),
    "flat": Workload(100, 0.2, bend=0.8),
    "steep": Workload(100, 0.2, bend=8.0),
    "a cliff above the best rate": Workload(100, 0.2, cliff=1.6),
    "straight below the best rate": Workload(100, 0.2, straight=True),
    "straight, with a cliff": Workload(60, 0.2, cliff=1.8, straight=True),
}


class Shares(NamedTuple):
    """In how many percent of the studies the intervals hold the truth, and in how many B_crit is given."""

    steps: float
    s_min: float
    e_min: float
    b_crit: float
    exponent: float
    given: float
    ratio: float


def shares(workload: Workload, studies: int, resamples: int = 200) -> Shares:
    """Run the studies of one workload."""
    true = {"s_min": workload.s_min, "e_min": workload.s_min * workload.b_crit, "b_crit": workload.b_crit}
    held: dict[str, list[bool]] = {name: [] for name in ("steps", *true, "exponent", "given")}
    ratios = []
    for seed in range(studies):
        cells = workload.study(seed, resamples)
        for cell, size in zip(cells, SIZES):
            low, high = bootstrap.percentiles(cell.samples_steps, 0.95)
            held["steps"].append(low <= workload.cell(size).steps <= high)
        steps, rates = (np.array([getattr(cell, name) for cell in cells]) for name in ("steps", "rate"))
        joined = bootstrap.joined([cell.samples_steps for cell in cells], seed)
        fit = critical_batch_size.fit_samples(SIZES, steps, joined)
        held["given"].append(np.isfinite(fit.b_crit.value))
        fit = critical_batch_size.fit_samples(SIZES, steps, joined, allowed=np.inf)
        for name, value in true.items():
            held[name].append(getattr(fit, name).low <= value <= getattr(fit, name).high)
        ratios.append(fit.b_crit.high / fit.b_crit.low)
        joined = bootstrap.joined([cell.samples_rate for cell in cells], seed)
        found = power_law.fit_samples(SIZES, rates, joined, fit.b_crit.value)
        if not found.missing:
            held["exponent"].append(found.estimate.low <= workload.exponent <= found.estimate.high)
    percent = {name: 100 * float(np.mean(values)) if values else np.nan for name, values in held.items()}
    return Shares(**percent, ratio=float(np.median(ratios)))


def test_intervals_hold_the_truth_of_a_plain_workload():
    """16 studies, 80 cells: a 95 % interval that misses more than 4 of 16 does so once in 1,000 times by chance."""
    found = shares(PLAIN, 16, 80)
    assert min(found.steps, found.s_min, found.e_min, found.b_crit, found.exponent) >= 75
    assert found.given == 100
    assert found.ratio < 1.8


def test_no_critical_batch_size_is_given_where_the_line_does_not_fit():
    bowed = Workload(100, 0.1, bow=0.5)
    assert shares(bowed, 3, 30).given == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_intervals_hold_the_truth_of_every_workload(name):
    """80 studies: 95 % hold it; fewer than 88 % are seen once in 100 times by chance."""
    found = shares(WORKLOADS[name], 80)
    print(name, found)
    assert min(found.steps, found.s_min, found.e_min, found.b_crit) >= 88
    assert not found.exponent < 88


@pytest.mark.slow
def test_intervals_hold_the_truth_of_the_shipped_table():
    score = selftest.score(testbed.shipped(), 40, resamples=300)
    for of_one in score["optimizers"].values():
        assert min(of_one[name] for name in ("steps", "s_min", "e_min", "b_crit")) >= 85
        assert of_one["equals_called_different"] <= 6
    assert min(share["held"] for pair in score["differences"].values() for share in pair.values()) >= 85


@pytest.mark.slow
def test_the_short_form_of_the_self_test_says_the_same_twice():
    tables = {name: table for name, table in testbed.shipped().items() if name != "rmsprop"}
    one, other = (selftest.score(tables, 4, resamples=50) for _ in range(2))
    assert one == other
    assert set(one["optimizers"]) == {"momentum", "sgd"}
    assert one["trials_per_cell"] == 28


def test_the_truth_of_a_table_is_the_bottom_of_its_curve():
    """A table of a curve that is known, with noise of many seeds and a cliff."""
    rng = np.random.default_rng(0)
    rates = 10 ** np.linspace(-3, 1, 49)
    cells = [PLAIN.cell(size)._replace(cliff=2.0) for size in SIZES]
    steps = np.stack([np.stack([cell.run(rates, rng) for _ in range(200)], axis=1) for cell in cells])
    found = testbed.truth(testbed.Table(SIZES, rates, steps))
    np.testing.assert_allclose(found.steps, [cell.steps for cell in cells], rtol=0.04)
    np.testing.assert_allclose(np.log10(found.rates), np.log10([cell.rate for cell in cells]), atol=0.12)
    assert found.line.b_crit.value == pytest.approx(100, rel=0.06)


def test_where_half_the_seeds_miss_at_every_rate_there_is_no_bottom():
    """One rate alone has a finite median: nothing near it says where the valley lies."""
    rates, steps = 10 ** np.linspace(-3, 0, 31), np.full((31, 8), np.inf)
    steps[10:20, :3], steps[15, :5] = 100.0, 400.0
    found = testbed.truth(testbed.Table(np.array([8.0]), rates, steps[None]))
    assert (found.steps.tolist(), np.isnan(found.rates).all()) == ([np.inf], True)


def test_a_table_in_which_nothing_reaches_the_target_has_no_truth_and_no_answer():
    table = testbed.Table(SIZES, 10 ** np.linspace(-3, 1, 49), np.full((5, 49, 4), np.inf))
    assert np.isinf(testbed.truth(table).steps).all()
    study = testbed.studies(table, 1, resamples=10)[0]
    assert np.isinf([cell.steps for cell in study.cells]).all()
    assert study.fit.missed == tuple(SIZES)
    assert family.difference((np.inf, np.full(10, np.inf)), (1.0, np.ones(10)))[1] == np.inf


def test_too_few_studies_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        selftest.score(testbed.shipped(), 3)
