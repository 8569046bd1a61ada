"""When trials end: at a target that several evaluations meet together, and at a cutoff."""

import dataclasses
import math

import numpy as np
import pytest

from mlp_jax.analysis.crossing import Definition, steps_to_target
from mlp_jax.training.config import Config
from mlp_jax.training.population import train_many
from mlp_jax.training.trials import Cutoff, Status

SMOOTH = Config(
    dataset="iris", hidden=(8,), batch_size=8, epochs=60.0, evaluations=240, spacing="log", stop_at=0.9,
    stop_smoothing=1.25, validation=0.4,
)  # fmt: skip
RATES = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1e-5]


def met_by_history(trials) -> np.ndarray:
    """Steps to target as the trials' histories say them."""
    definition = Definition(SMOOTH.stop_at, less_is_better=trials.task.less_is_better, smoothing=SMOOTH.stop_smoothing)
    steps, scores = trials.points["step"], trials.points[trials.task.score]
    there = [~np.isnan(row) for row in steps]
    return np.array([steps_to_target(s[at], v[at], definition) for s, v, at in zip(steps, scores, there)])


@pytest.fixture(scope="module")
def smooth():
    return train_many(SMOOTH, {"learning_rate": RATES}, range(6), evaluation_share=1.0)


@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_a_smoothed_target_is_met_in_the_program_where_the_history_says_so(smooth, placement):
    trials = train_many(SMOOTH, {"learning_rate": RATES}, range(6), evaluation_share=1.0, placement=placement)
    np.testing.assert_array_equal(trials.steps_to_target, met_by_history(trials))
    np.testing.assert_array_equal(trials.steps_to_target, smooth.steps_to_target)
    assert len(np.unique(trials.steps_to_target)) > 3
    assert np.isinf(trials.steps_to_target).any()


def test_a_loss_is_a_target_too():
    config = dataclasses.replace(SMOOTH, stop_metric="loss", stop_at=0.4)
    trials = train_many(config, {"learning_rate": RATES}, range(6), evaluation_share=1.0)
    definition = Definition(0.4, less_is_better=True, smoothing=1.25)
    losses = trials.points["validation_loss"]
    met = [steps_to_target(s[~np.isnan(s)], v[~np.isnan(s)], definition) for s, v in zip(trials.points["step"], losses)]
    np.testing.assert_array_equal(trials.steps_to_target, met)
    assert np.isfinite(met).any()


def test_a_smoothed_target_does_not_depend_on_interruptions_or_on_the_order_of_groups(smooth, tmp_path):
    looks = iter([False] * 9 + [True])
    how = {"evaluation_share": 1.0, "out": tmp_path / "run", "trials_at_once": 4}
    broken = train_many(
        SMOOTH,
        {"learning_rate": RATES},
        range(6),
        **how,
        interrupted=lambda: next(looks),
        cutoff=Cutoff(math.inf, 50.0),
    )
    assert broken.interrupted
    whole = train_many(SMOOTH, {"learning_rate": RATES}, range(6), **how, resume=True)
    np.testing.assert_array_equal(whole.steps_to_target, smooth.steps_to_target)


@pytest.mark.parametrize("at_once", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (None, 1, 4))])
@pytest.mark.parametrize("cutoff", [Cutoff(math.inf, 2.0), Cutoff(60, 2.0), Cutoff(200.0)])
def test_a_cutoff_decides_what_is_left_whenever_it_is_noticed(smooth, cutoff, at_once):
    trials = train_many(
        SMOOTH, {"learning_rate": RATES}, range(6), evaluation_share=1.0, cutoff=cutoff, trials_at_once=at_once
    )
    within = smooth.steps_to_target <= (cutoff.steps if np.isfinite(cutoff.steps) else np.inf)
    end = cutoff.at(np.where(within, smooth.steps_to_target, np.inf))
    kept = np.where(smooth.steps_to_target <= end, smooth.steps_to_target, np.inf)
    np.testing.assert_array_equal(trials.steps_to_target, kept)
    assert set(trials.status[np.isinf(kept)]) <= {Status.INCOMPLETE, Status.INFEASIBLE}
    assert np.nanmax(trials.points["step"]) <= end
    for name, column in trials.points.items():
        if name not in ("training_seconds", "batch_loss"):
            expected = np.where(smooth.points["step"] <= end, smooth.points[name], np.nan)
            np.testing.assert_array_equal(column, expected, err_msg=name)
    assert (trials.steps <= end).all()
    last = [row[~np.isnan(row)][-1] for row in trials.points["validation_loss"]]
    np.testing.assert_array_equal(trials.metrics["validation_loss"], last)
