"""The sweep of learning rates: its quick form, and what is made of the errors."""

import json

import numpy as np
import pytest


@pytest.fixture
def module(load_script):
    return load_script("experiments/learning_rates.py")


@pytest.mark.slow
def test_every_optimizer_has_its_best_rate_and_the_figure_is_drawn(module, capsys, tmp_path):
    options = module.Options(quick=True, figure=tmp_path / "rates.svg", out=tmp_path, json=True)
    module.main(options)
    found = json.loads(capsys.readouterr().out)["optimizers"]
    assert [each["optimizer"] for each in found] == list(module.OPTIMIZERS)
    for each in found:
        assert 1e-4 < each["rate"] < 10
        assert 0 < each["error"]["low"] <= each["error"]["value"] <= each["error"]["high"] < 20
        assert all(cost["value"] > -2 for cost in each["costs"].values())
        assert each["costs"]["1/100"]["low"] > 10
    assert "<svg" in options.figure.read_text()


def test_one_part_of_the_seeds_chooses_and_the_other_measures_paired(module):
    rates = np.array([0.01, 0.1, 1.0])
    choosing = np.array([[30.0, 5.0, 6.0]])
    fresh = np.array([[20.0, 6.0, 4.0], [22.0, 7.0, np.nan]])
    found = module.judge("sgd", rates, choosing, fresh)
    assert found["rate"] == 0.1  # though 1.0 is better with a fresh seed
    assert found["error"] == {"value": 6.5, "low": 6.0, "high": 7.0}
    assert set(found["costs"]) == {"1/10", "10"}
    assert found["costs"]["1/10"] == {"value": 14.5, "low": 14.0, "high": 15.0, "not_finite": 0}
    assert found["costs"]["10"] == {"value": 40.5, "low": -2.0, "high": 83.0, "not_finite": 1}
    _, rate, error, *costs = module.row(found)
    assert (rate, error) == ("0.1", "6.5 [6.0, 7.0]")
    assert costs == ["–", "14.5 [14.0, 15.0]", "–", "–", "40.5 [−2.0, 83.0] ↑"]


def test_a_seed_that_chooses_needs_another_that_measures(module, tmp_path):
    with pytest.raises(ValueError, match="seeds 1 is not allowed; give at least 2"):
        module.main(module.Options(seeds=1, out=tmp_path))
