"""The valley where most trials miss by chance; what a good valley gives is tested with `response`, which fits it."""

import numpy as np
import pytest

from mlp_jax.analysis import valley


def test_where_most_trials_miss_by_chance_the_bottom_is_the_least_running_median():
    """As for sign_sgd at a small batch size.

    A trial that misses between two that do not was counted as 4 times the base, which was then the base, and so on: the
    steps to target came to 64 times the running median.
    """
    miss = np.inf
    steps = [miss, miss, 3335, 4206, 2802, 1866, 2495, 2644, 1761, miss, miss, 1107, miss, miss, miss, 1480, miss, 1243]
    steps = np.array([*steps, miss, miss])
    found = valley.fit(np.linspace(-5, -1, steps.size)[None], np.log(steps)[None])
    assert np.exp(found.height) == pytest.approx(1480)
    assert found.place == found.low == found.high == found.turn == np.linspace(-5, -1, steps.size)[16]


def test_the_rows_beside_it_are_what_they_are_alone():
    rng = np.random.default_rng(0)
    place = np.tile(np.linspace(-3, 1, 22), (40, 1))
    height = (place + 1) ** 2 + rng.normal(0, 0.3, place.shape) + 5
    height[rng.random(place.shape) < np.linspace(0, 0.9, 40)[:, None]] = np.inf
    together = valley.fit(place, height)
    for row in range(40):
        alone = valley.fit(place[row : row + 1], height[row : row + 1])
        for ours, theirs in zip(together, alone):
            np.testing.assert_allclose(ours[row], theirs[0], rtol=1e-9, equal_nan=True)
