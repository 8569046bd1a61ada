"""What a precision takes: more trials for a narrower wish, out of reach where nothing is known, priced by the hour."""

import math

import numpy as np
import pytest
from study_by_hand import EXAMPLES, STUDY, table

from mlp_jax.analysis import bootstrap, critical_batch_size, precision, response, testbed
from mlp_jax.study import forecast, plan
from mlp_jax.study.evidence import findings

ROWS = table()
FOUND = findings(ROWS, STUDY)
MOST, WIDTH = 7, 1.75  # rounds of a drawn study, and the ratio of the ends of B_crit's interval that it is run for


def wished(**wishes) -> list[forecast.Forecast]:
    return forecast.wishes(FOUND, ROWS, **({"width": 1.75, "ratio": 1.5} | wishes))


def test_there_is_a_forecast_for_each_critical_batch_size_and_each_comparison():
    made = wished()
    assert len(made) == len(FOUND.scaling) + len(FOUND.differences)
    for one, (name, scaling) in zip(made, FOUND.scaling.items()):
        assert name in one.wish
        assert one.now == pytest.approx(scaling.fit.b_crit.high / scaling.fit.b_crit.low, rel=0.05)
    for one, pair in zip(made[len(FOUND.scaling) :], FOUND.differences):
        assert one.now == pair.least_ratio
        assert pair.quantity in one.wish


def test_what_is_there_takes_the_trials_that_are_there_and_less_takes_more():
    for now, one in zip(wished(), wished(width=1.5, ratio=1.2)):
        assert one.trials > now.trials
        assert one.seconds / one.trials == pytest.approx(now.seconds / now.trials)
    pair = FOUND.differences[0]
    (same,) = [
        one
        for one in wished(ratio=pair.least_ratio)
        if one.wish.startswith(f"{pair.first} and") and pair.quantity in one.wish
    ]
    assert same.trials == pytest.approx(same.trials_now, abs=1)


def test_a_batch_size_above_a_thousand_has_forecasts_too():
    asked = plan.changed(STUDY, {}, {"batch_sizes": (1, 16, 256, "full")})
    rows = table(asked)
    found = findings(rows, asked)
    assert any(pair.quantity.endswith(f"{EXAMPLES:,}") for pair in found.differences)
    assert len(forecast.wishes(found, rows, width=1.75, ratio=1.5)) == len(found.scaling) + len(found.differences)


def test_the_price_is_by_the_hour():
    for one, priced in zip(wished(), wished(price=7200.0)):
        assert one.cost is None
        assert priced.cost == pytest.approx(2 * one.seconds)


def test_what_is_out_of_reach_is_said():
    made = wished(width=1.0001)
    assert math.isinf(made[0].trials)
    text = forecast.text(made)
    assert "out of reach" in text
    assert forecast.to_json(made)["forecasts"][0]["trials"] is None


def test_forecasts_from_few_trials_are_cautioned():
    made = [one._replace(trials_now=16) for one in wished()]
    assert forecast.text(made).endswith("go on with --rounds 2, then plan again")
    assert "16 trials" in forecast.to_json(made)["caution"]
    enough = [one._replace(trials_now=22) for one in made]
    assert "rest on" not in forecast.text(enough)
    assert forecast.to_json(enough)["caution"] is None


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"width": 1.0}, "a ratio of 1.0 is not allowed"),
        ({"ratio": 0.5}, "a ratio of 0.5 is not allowed"),
        ({"price": -1.0}, "a price of -1.0 an hour is not allowed"),
        ({"price": math.nan}, "a price of nan an hour is not allowed"),
    ],
)
def test_bad_wishes_are_refused(wishes, message):
    with pytest.raises(ValueError, match=message):
        wished(**wishes)


def after(trials: list, table: testbed.Table, rounds: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the batch sizes, steps and samples of a drawn study's cells, had it ended after so many of its rounds."""
    ends, later = (float(table.rates[0]), float(table.rates[-1])), 6 * (MOST - rounds)
    upto = [(rates[: len(rates) - later], steps[: len(steps) - later]) for rates, steps in trials]
    cells = [response.fit(*of, ends, resamples=400, seed=seed + k) for k, of in enumerate(upto)]
    steps, samples = np.array([cell.steps for cell in cells]), [cell.samples_steps for cell in cells]
    there = np.isfinite(steps)
    return table.sizes[there], steps[there], bootstrap.joined(samples, seed)[:, there]


def narrow(sizes: np.ndarray, steps: np.ndarray, samples: np.ndarray) -> bool:
    found = critical_batch_size.fit_samples(sizes, steps, samples).b_crit
    return bool(np.isfinite(found.value) and 0 < found.high <= WIDTH * found.low)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["momentum", "sgd"])
def test_most_forecasts_are_within_a_third_of_what_a_study_then_takes(name):
    """Studies drawn from real trials: looked at after two rounds, then run until their interval is narrow enough."""
    table, off = testbed.shipped()[name], []
    for seed in range(30):
        trials = testbed.draw(table, testbed.Design(rounds=MOST), np.random.default_rng([1, seed]))
        needed = precision.trials_for_ends(*after(trials, table, 2, seed), 22, WIDTH)
        taken = next((r for r in range(2, MOST + 1) if narrow(*after(trials, table, r, seed))), None)
        if taken is not None and taken > 2 and math.isfinite(needed):
            off.append(math.log(forecast.likely(22, needed) / (10 + 6 * taken)))
    assert len(off) > 10
    assert np.mean(np.abs(off) < math.log(1.3)) >= 0.7
    assert abs(np.median(off)) < math.log(1.3)


def test_luck_is_taken_off_what_is_to_grow_and_what_may_shrink():
    assert forecast.likely(22, 22) == 22
    assert forecast.likely(22, 88) == math.ceil(22 * 4**forecast.KEPT) < 88
    assert 11 < forecast.likely(22, 11) < 22
    assert math.isinf(forecast.likely(22, math.inf))
