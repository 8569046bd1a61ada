"""Families of comparisons: Holm's by hand, SciPy's normal distribution, and chance itself."""

import numpy as np
import pytest
import scipy.stats

from mlp_jax.analysis import family

INF = np.inf


def measured(value: float, spread: float = 0.1, seed: int = 0) -> family.Measured:
    return value, value * np.exp(np.random.default_rng(seed).normal(0, spread, 1000))


def test_holm_by_hand():
    assert family.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert family.holm([0.9, 0.5]) == [1, 1]
    assert family.holm([]) == []


def test_a_pair_by_itself_is_a_test_by_the_normal_distribution():
    (pair,) = family.compare({"steps": {"a": measured(120.0, seed=1), "b": measured(100.0, seed=2)}})
    middle, spread = family.difference(measured(120.0, seed=1), measured(100.0, seed=2))
    assert spread == pytest.approx(0.1 * np.sqrt(2), rel=0.05)
    assert pair.p == pytest.approx(2 * scipy.stats.norm.sf(middle / spread))
    low, high = np.exp(scipy.stats.norm.interval(0.95, middle, spread))
    assert pair.ratio == pytest.approx((1.2, low, high))
    assert pair.verdict == family.NOT_TOLD_APART
    power = scipy.stats.norm.sf(1.959964, np.log(pair.least_ratio) / spread)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_both_directions_say_the_same():
    a, b = measured(100.0, seed=1), measured(50.0, seed=2)
    (one,), (other,) = family.compare({"steps": {"a": a, "b": b}}), family.compare({"steps": {"b": b, "a": a}})
    assert (one.verdict, other.verdict) == (family.SECOND_LESS, family.FIRST_LESS)
    assert one.ratio.value == pytest.approx(1 / other.ratio.value)
    assert one.p == pytest.approx(other.p)
    assert one.ratio.low == pytest.approx(1 / other.ratio.high)


def test_the_family_counts_every_pair_also_those_that_could_not_be_made():
    found = family.compare(
        {
            "examples": {"a": measured(1.0, seed=1), "b": measured(1.3, seed=2), "c": (INF, np.full(1000, INF))},
            "steps": {"a": measured(1.0, seed=1), "b": measured(1.0, seed=2), "c": measured(1.0, seed=3)},
        }
    )
    _, spread = family.difference(measured(1.0, seed=1), measured(1.3, seed=2))
    assert [(pair.quantity, pair.first, pair.second) for pair in found] == [
        (what, *pair) for what in ("examples", "steps") for pair in ("ab", "ac", "bc")
    ]
    assert found[0].p == pytest.approx(6 * 2 * scipy.stats.norm.sf(np.log(1.3) / spread))
    for pair in found[1:3]:
        assert (pair.verdict, pair.p, pair.ratio[1:]) == (family.NOT_REACHED, 1, (0, INF))


def test_an_interval_and_its_verdict_never_contradict_each_other():
    for seed in range(40):
        of = {name: measured(value, seed=9 * seed + k) for k, (name, value) in enumerate(zip("abc", (1, 1.45, 2)))}
        for pair in family.compare({"steps": of}):
            told = pair.verdict != family.NOT_TOLD_APART
            assert told == (pair.p <= 0.05)
            assert told == (pair.ratio.low >= 1 or pair.ratio.high <= 1)


def test_equals_are_called_different_in_one_family_of_twenty():
    """300 families of 12 comparisons of equals: 5 % is 15; at most 25, and at least 2, or it is no test."""
    rng, wrong = np.random.default_rng(0), 0
    noise = np.exp(rng.normal(0, 0.1, (8, 400)))
    for _ in range(300):
        values = np.exp(rng.normal(0, 0.1, 8))
        cells = [(value, value * one) for value, one in zip(values, noise)]
        found = family.compare({"E": dict(zip("abcd", cells[:4])), "S": dict(zip("abcd", cells[4:]))})
        wrong += any(pair.verdict != family.NOT_TOLD_APART for pair in found)
    assert 2 <= wrong <= 25


def test_samples_of_one_seed_are_not_taken_for_pairs():
    """Two cells with the very same samples are independent all the same: their difference has a spread."""
    same = measured(100.0)
    assert family.difference(same, same)[1] == pytest.approx(0.1 * np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("options", [{"level": 95.0}, {"power": 1.0}])
def test_bad_levels_are_explained(options):
    with pytest.raises(ValueError, match="between 0 and 1"):
        family.compare({"steps": {"a": measured(1.0), "b": measured(2.0)}}, **options)
