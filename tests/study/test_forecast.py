"""What a precision takes: more trials for a narrower wish, out of reach where nothing is known, priced by the hour."""

import math

import pytest
from study_by_hand import EXAMPLES, STUDY, table

from mlp_jax.study import forecast, plan
from mlp_jax.study.evidence import findings

ROWS = table()
FOUND = findings(ROWS, STUDY)


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
