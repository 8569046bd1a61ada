"""The valley's bottom against curves that are known, whatever the units, the order and the scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Cell, search

from mlp_jax.analysis import response, valley

ENDS = (1e-3, 1e1)
INF = np.inf


def trials(seed: int = 0, spread: float = 0.2, count: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Steps of trials about a valley whose bottom is 100 steps at a rate of 0.1."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-2, 0, count)
    return rate, 100 * np.exp(2 * np.log10(rate / 0.1) ** 2) * rng.lognormal(0, spread, count)


def alike(one: response.Response, other: response.Response, steps: float = 1, rate: float = 1) -> None:
    """Check that `one` is `other` in units that are so many times smaller."""
    np.testing.assert_allclose(one.steps, steps * other.steps, rtol=1e-6)
    np.testing.assert_allclose(one.rate, rate * other.rate, rtol=1e-6)
    np.testing.assert_allclose(one.samples_steps, steps * other.samples_steps, rtol=1e-5)
    np.testing.assert_allclose(one.samples_rate, rate * other.samples_rate, rtol=1e-5)
    assert one.at_end == other.at_end


def test_a_parabola_without_noise_gives_its_bottom_back():
    found = response.fit(*trials(spread=0), ENDS, resamples=50)
    assert (found.steps, found.rate) == pytest.approx((100, 0.1), rel=5e-3)
    assert found.curve == pytest.approx((np.log(100) + 2, 4, 2), rel=0.05)
    np.testing.assert_allclose(found.curve.steps(np.array([-1.0])), 100, rtol=5e-3)
    np.testing.assert_allclose(found.samples_steps, 100, rtol=0.03)
    assert found.at_end == ""


def test_the_parabola_is_numpy_s_where_no_trial_is_an_outlier(monkeypatch):
    """Huber's weights are all 1 for errors that are all alike; without the held curvature it is least squares."""
    monkeypatch.setattr(valley, "TRUST", 0.0)
    place = np.linspace(-1, 1, 30)
    height = 1 + 0.3 * place + 2 * place**2 + 0.1 * (-1) ** np.arange(30)
    ours = valley.huber(place[None], height[None], np.ones((1, 30)))[0]
    np.testing.assert_allclose(ours, np.polyfit(place, height, 2)[::-1], rtol=1e-6)


def test_each_row_is_fitted_as_if_it_were_alone():
    rng = np.random.default_rng(1)
    place, height = rng.uniform(-2, 0, (20, 28)), rng.normal(5, 1, (20, 28))
    height = np.where(rng.random((20, 28)) < 0.3, INF, height)
    together = valley.fit(place, height)
    for k in range(20):
        for one, all_of_them in zip(valley.fit(place[k : k + 1], height[k : k + 1]), together):
            np.testing.assert_allclose(one[0], all_of_them[k], rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.floats(1e-3, 1e3), rate=st.floats(1e-3, 1e3), missed=st.floats(0, 0.8))
def test_units_and_order_change_nothing(seed, steps, rate, missed):
    rng = np.random.default_rng(seed)
    rates, taken = trials(seed)
    taken = np.where(rng.random(28) < missed, INF, taken)
    base = response.fit(rates, taken, ENDS, resamples=20)
    shuffled = rng.permutation(28)
    alike(response.fit(rates[shuffled], taken[shuffled], ENDS, resamples=20), base)
    alike(response.fit(rates, steps * taken, ENDS, resamples=20), base, steps=steps)
    scaled = response.fit(rate * rates, taken, (rate * ENDS[0], rate * ENDS[1]), resamples=20)
    alike(scaled, base, rate=rate)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.one_of(st.floats(1, 1e6), st.just(INF)), min_size=1, max_size=12), seed=st.integers(0, 10**6))
def test_any_trials_have_an_answer_within_what_was_tried(steps, seed):
    taken = np.array(steps)
    rates = 10 ** np.random.default_rng(seed).uniform(-3, 1, taken.size)
    found = response.fit(rates, taken, ENDS, resamples=30)
    if np.isinf(taken).all():
        assert np.isinf(found.steps)
        assert np.isnan(found.rate)
        assert np.isinf(found.samples_steps).all()
        return
    assert np.isfinite(found.steps)
    assert rates[np.isfinite(taken)].min() * (1 - 1e-9) <= found.rate <= rates[np.isfinite(taken)].max() * (1 + 1e-9)
    assert found.window[0] <= found.rate * (1 + 1e-9)
    assert found.rate <= found.window[1] * (1 + 1e-9)
    assert ((ENDS[0] <= response.next_rates(found, 6)) & (response.next_rates(found, 6) <= ENDS[1])).all()


def test_a_cliff_stays_outside():
    """Rates of 0.2 and more fail or need ten times as many steps: the bottom is where it was."""
    rates, taken = trials(spread=0.05, count=60)
    cliff = np.where(rates > 0.3, INF, np.where(rates > 0.2, 10 * taken, taken))
    assert response.fit(rates, cliff, ENDS).steps == pytest.approx(100, rel=0.06)


def test_a_lucky_trial_is_not_the_bottom():
    rates, taken = trials(spread=0.05)
    taken[np.abs(np.log10(rates) + 1).argmin()] = 20
    assert response.fit(rates, taken, ENDS).steps == pytest.approx(100, rel=0.08)


def test_one_trial_in_time_is_the_bottom():
    found = response.fit(np.array([0.01, 0.1, 1.0]), np.array([INF, 50.0, INF]), ENDS)
    assert (found.steps, found.rate, found.window) == (pytest.approx(50), pytest.approx(0.1), pytest.approx((0.1, 0.1)))
    assert np.isin(np.round(found.samples_steps, 6), [50, INF]).all()
    assert np.isinf(found.samples_steps).any()


@pytest.mark.parametrize(("ends", "side"), [((0.1, 10), "low"), ((1e-3, 0.1), "high"), (ENDS, "")])
def test_a_bottom_at_an_end_of_the_space_is_said_to_be(ends, side):
    rates, taken = trials(spread=0.1, count=60)
    within = (rates >= ends[0]) & (rates <= ends[1])
    assert response.fit(rates[within], taken[within], ends).at_end == side


def test_a_cliff_inside_the_space_is_no_end_of_it():
    rates, taken = trials(spread=0.1, count=60)
    assert response.fit(rates, np.where(rates > 0.1, INF, taken), ENDS).at_end == ""


def test_one_minus_the_value_is_the_coordinate_of_a_momentum():
    rates, taken = trials()
    found = response.fit(1 - rates, taken, (0.0, 1 - 1e-3), scale="log_complement", resamples=30)
    base = response.fit(rates, taken, (1e-3, 1.0), resamples=30)
    assert (found.steps, 1 - found.rate) == pytest.approx((base.steps, base.rate))
    turned = response.fit(rates[rates > 0.1], taken[rates > 0.1], (0.1, 10.0), resamples=5)
    high = response.fit(1 - rates[rates > 0.1], taken[rates > 0.1], (-9.0, 0.9), scale="log_complement", resamples=5)
    assert (turned.at_end, high.at_end) == ("low", "high")


def test_a_linear_scale_finds_the_bottom_of_a_linear_parabola():
    value = np.linspace(0, 10, 40)
    found = response.fit(value, 100 * np.exp((value - 4) ** 2 / 8), (0.0, 10.0), scale="linear", resamples=5)
    assert (found.steps, found.rate) == pytest.approx((100, 4), rel=0.02)


@pytest.mark.parametrize("scale", ["log", "linear", "log_complement"])
def test_two_coarse_grids_half_a_step_apart_make_one_even_grid(scale):
    first, second = (response.coarse(0.1, 0.9, 10, 0.3 + k / 2, scale=scale) for k in (0, 1))
    place = response.Scale(scale, 0.1, 0.9).coordinate(np.sort(np.append(first, second)))
    np.testing.assert_allclose(np.abs(np.diff(place)), np.abs(np.diff(place))[0], rtol=1e-9)
    assert ((first >= 0.1) & (first <= 0.9)).all()


def test_next_rates_lie_around_the_bottom_and_not_wider_than_asked():
    found = response.fit(*trials(), ENDS, resamples=5)
    place = np.log10(response.next_rates(found, 6) / found.rate)
    np.testing.assert_allclose(np.diff(place), np.diff(place)[0], rtol=1e-9)
    assert place[0] == pytest.approx(-place[-1])
    assert 0.25 * 5 / 6 - 1e-9 <= place[-1] <= 0.5 * 5 / 6 + 1e-9


def test_next_rates_go_on_past_the_last_trial_in_time_but_not_past_the_next_one():
    """Steps fall up to a cliff: the fit ends before it, the search looks on towards it."""
    rates = 10 ** np.linspace(-3, 0.5, 15)
    found = response.fit(rates, np.where(rates > 0.1, INF, 1 / rates), ENDS, resamples=5)
    assert found.rate == pytest.approx(found.window[1])
    beyond = rates[rates > found.window[1] * (1 + 1e-9)].min()
    assert np.log10(found.rate) < found.turn <= np.log10(beyond) + 1e-9
    assert response.next_rates(found, 6).max() > beyond


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: response.fit(np.zeros(0), np.zeros(0), ENDS), "do not pair"),
        (lambda: response.fit(np.array([0.1]), np.array([0.0]), ENDS), "not positive"),
        (lambda: response.fit(np.array([0.1]), np.array([np.nan]), ENDS), "not positive"),
        (lambda: response.fit(np.array([-0.1]), np.array([1.0]), ENDS), "positive numbers"),
        (lambda: response.fit(np.array([1.0]), np.array([1.0]), (0.5, 1.0), scale="log_complement"), "below 1"),
        (lambda: response.fit(np.array([0.1]), np.array([1.0]), (1.0, 1.0)), "no width"),
        (lambda: response.fit(np.array([0.1]), np.array([1.0]), ENDS, scale="cubic"), "unknown scale"),
        (lambda: response.coarse(1.0, 10.0, 0, 0.5), "at least 1"),
        (lambda: response.next_rates(response.fit(np.array([0.1]), np.array([INF]), ENDS), 6), "after a trial has met"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("spread", [0.1, 0.25, 0.4])
def test_the_interval_holds_the_bottom_of_a_simulated_cell(spread):
    """40 searches: at least 34 of them hold the steps, and at least 33 the rate."""
    cell, rng = Cell(steps=100, rate=0.1, spread=spread), np.random.default_rng(3)
    found = [response.fit(*search(cell, rng), ENDS, resamples=100, seed=k) for k in range(40)]
    steps = [response.interval(one.steps, one.samples_steps) for one in found]
    rates = [response.interval(one.rate, one.samples_rate) for one in found]
    assert sum(one.low <= 100 <= one.high for one in steps) >= 34
    assert sum(one.low <= 0.1 <= one.high for one in rates) >= 33
