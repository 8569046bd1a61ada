"""Steps to target against a loop over looks, and what makes the definition stable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_jax.analysis import crossing
from mlp_jax.analysis.crossing import Definition

ACCURACY = Definition(target=0.9, less_is_better=False)


def by_hand(steps, scores, definition: Definition) -> float:
    """The definition as it is said, look by look."""
    seen = []
    for step, score in list(zip(steps, scores))[:: definition.every]:
        if not np.isfinite(score):
            return np.inf
        seen.append((step, score))
        near = [value for at, value in seen if at > step / definition.smoothing]
        if definition.smoothing > 1 and len(near) < 5:
            near = [value for _, value in seen[-5:]]
        if definition.smoothing == 1:
            near = [score]
        mean = np.mean(near)
        if mean <= definition.target + 1e-12 if definition.less_is_better else mean >= definition.target - 1e-12:
            return step
    return np.inf


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 1.1, 1.25, 2.0]),
    st.integers(1, 4),
    st.booleans(),
    st.integers(1, 120),
)
def test_it_is_the_definition_look_by_look(seed, smoothing, every, less_is_better, looks):
    rng = np.random.default_rng(seed)
    steps = np.unique(np.rint(np.geomspace(1, 5_000, looks)))
    scores = np.round(np.linspace(0.3, 1, len(steps)) + rng.normal(0, 0.1, len(steps)), 2)
    scores = -scores if less_is_better else scores
    scores = np.where(rng.random(len(steps)) < 0.003, np.nan, scores)
    definition = Definition(-0.9 if less_is_better else 0.9, less_is_better, smoothing, every)
    assert crossing.steps_to_target(steps, scores, definition) == by_hand(steps, scores, definition)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.25]), st.integers(1, 3), st.integers(0, 40))
def test_many_trials_are_read_as_each_alone_wherever_they_ended(seed, smoothing, every, looks):
    rng = np.random.default_rng(seed)
    steps = np.arange(looks) ** 2
    scores = np.round(np.linspace(0.3, 1, looks) + rng.normal(0, 0.1, (5, looks)), 2)
    ends = rng.integers(0, looks + 1, 5)
    padded = np.where(np.arange(looks) < ends[:, None], scores, np.nan)
    definition = ACCURACY._replace(smoothing=smoothing, every=every)
    alone = [crossing.steps_to_target(steps[:end], row[:end], definition) for row, end in zip(scores, ends)]
    assert crossing.steps_to_targets(steps, padded, definition).tolist() == alone


def test_a_first_crossing_falls_with_every_look_more_and_the_mean_over_a_window_does_not():
    crossings = {1.0: [], 1.25: []}
    for smoothing, found in crossings.items():
        for every in (8, 1):  # 120 looks and 960
            ends = []
            for seed in range(200):
                rng = np.random.default_rng(seed)
                steps = np.unique(np.rint(np.geomspace(100, 100_000, 960)))
                scores = 1 - 0.5 * (100 / steps) ** 0.3 + rng.normal(0, 0.02, len(steps))
                ends.append(crossing.steps_to_target(steps, scores, Definition(0.9, False, smoothing, every)))
            found.append(np.median(ends))
    assert crossings[1.0][1] < 0.8 * crossings[1.0][0]
    assert abs(np.log(crossings[1.25][1] / crossings[1.25][0])) < 0.06


def test_a_look_that_is_not_finite_ends_the_trial_and_no_look_is_a_miss():
    steps = np.arange(1.0, 9.0)
    scores = np.array([0.1, 0.2, np.nan, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert crossing.steps_to_target(steps, scores, ACCURACY) == np.inf
    assert crossing.steps_to_target(steps[:0], scores[:0], ACCURACY) == np.inf


@pytest.mark.parametrize("smoothing", [0.9, 0.0, np.nan])
def test_a_smoothing_below_1_is_refused(smoothing):
    with pytest.raises(ValueError, match="give a number of at least 1"):
        crossing.windows(np.arange(3.0), smoothing)
