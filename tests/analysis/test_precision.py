"""Forecasts against closed forms and against more trials themselves."""

import numpy as np
import pytest

from mlp_jax.analysis import family, precision

SIZES = np.array([1.0, 8.0, 64.0, 512.0])
STEPS = 50 + 5000 / SIZES
INF = np.inf


def samples(spread: float, seed: int = 0) -> np.ndarray:
    return STEPS * np.exp(np.random.default_rng(seed).normal(0, spread, (1000, 4)))


def test_four_times_the_trials_halve_the_spread():
    shrunk = precision.shrunk(samples(0.2), 4.0)
    np.testing.assert_allclose(np.std(np.log(shrunk), axis=0), np.std(np.log(samples(0.2)), axis=0) / 2)
    np.testing.assert_allclose(np.median(shrunk, axis=0), np.median(samples(0.2), axis=0), rtol=1e-5)
    ours, theirs = (precision.ends(SIZES, STEPS, of, 1.0) for of in (shrunk, samples(0.1, 1)))
    assert ours == pytest.approx(theirs, rel=0.05)


def test_what_is_foretold_for_a_width_gives_that_width():
    trials = precision.trials_for_ends(SIZES, STEPS, samples(0.2), 28, 1.6)
    assert precision.ends(SIZES, STEPS, samples(0.2), trials / 28) <= 1.6
    assert precision.ends(SIZES, STEPS, samples(0.2), (trials - 1) / 28) > 1.6


def test_a_width_below_the_floor_is_out_of_reach():
    assert precision.trials_for_ends(SIZES, STEPS, samples(0.2), 28, 1.2) == INF


def test_a_ratio_that_is_seen_with_so_many_trials_is_seen():
    """In 1,000 draws of a true ratio of 1.5 with the trials foretold, 80 % are told apart, within 4 %."""
    rng, cell = np.random.default_rng(0), lambda value, spread: (value, value * np.exp(rng.normal(0, spread, 4000)))
    trials = precision.trials_for_ratio(cell(1.0, 0.2), cell(1.0, 0.2), 1000, 1.5)
    spread = 0.2 * np.sqrt(1000 / trials)
    samples = np.exp(rng.normal(0, spread, 4000))
    draws = [((a, a * samples), (b, b * samples)) for a, b in np.exp(rng.normal([np.log(1.5), 0], spread, (1000, 2)))]
    told = [abs(middle) > 1.96 * of for middle, of in (family.difference(*pair) for pair in draws)]
    assert np.mean(told) == pytest.approx(0.8, abs=0.04)


def test_more_comparisons_take_more_trials_and_a_miss_takes_no_number_of_them():
    a, b = (1.0, samples(0.1)[:, 0]), (1.0, samples(0.1, 1)[:, 0])
    numbers = [precision.trials_for_ratio(a, b, 28, 1.4, comparisons=count) for count in (1, 12)]
    assert numbers[0] < numbers[1]
    assert precision.trials_for_ratio(a, (INF, np.full(1000, INF)), 28, 1.4) == INF
    missed = np.where(np.arange(4) < 2, STEPS, INF)
    assert precision.trials_for_ends(SIZES, missed, np.where(np.isinf(missed), INF, samples(0.1)), 28, 2.0) == INF


@pytest.mark.parametrize("wished", [1.0, 0.9, np.nan])
def test_a_ratio_that_is_none_is_refused(wished):
    with pytest.raises(ValueError, match="above 1"):
        precision.trials_for_ends(SIZES, STEPS, samples(0.1), 28, wished)
