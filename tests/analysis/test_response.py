"""The valley's bottom against curves that are known, whatever the units, the order and the scale."""

import numpy as np
import pytest

from mlp_jax.analysis import response

ENDS = (1e-3, 1e1)


def trials(seed: int = 0, spread: float = 0.2, count: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Steps of trials about a valley whose bottom is 100 steps at a rate of 0.1."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-2, 0, count)
    return rate, 100 * np.exp(2 * np.log10(rate / 0.1) ** 2) * rng.lognormal(0, spread, count)


def test_a_parabola_without_noise_gives_its_bottom_back():
    found = response.fit(*trials(spread=0), ENDS, resamples=50)
    assert (found.steps, found.rate) == pytest.approx((100, 0.1), rel=5e-3)
    assert found.curve == pytest.approx((np.log(100) + 2, 4, 2), rel=0.05)
    np.testing.assert_allclose(found.samples_steps, 100, rtol=0.03)
    assert found.at_end == ""
