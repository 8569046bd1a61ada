"""Where a device says that a target is met: at the very number at which the metrics on the host say it."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax import losses, stopping
from mlp_jax.losses import ClassificationSums, RegressionSums

_meets = jax.jit(stopping.meets)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    count=st.integers(0, 2**31 - 1) | st.integers(0, 300),
    target=st.none() | st.floats(-0.5, 1.5) | st.fractions(0, 1, max_denominator=300).map(float),
    near=st.integers(-2, 2),
    errors=st.integers(0, 2**31 - 1),
    loss=st.sampled_from([0.0, np.nan, np.inf]) | st.just(1.0),
)
def test_errors_are_within_the_limit_where_the_accuracy_meets_the_target(count, target, near, errors, loss) -> None:
    limit = stopping.limit("cross_entropy", count, target)
    for number in (min(errors, count), int(limit) + near):
        if 0 <= number <= count:
            sums = ClassificationSums(jnp.int32(count), jnp.float32(loss), jnp.int32(number))
            expected = target is not None and losses.metrics(sums)["accuracy"] >= target
            assert bool(_meets(sums, limit)) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    count=st.integers(0, 2**31 - 1) | st.integers(0, 300),
    target=st.none() | st.floats(-1, 1e12, allow_subnormal=False),
    target_scale=st.just(1.0) | st.floats(1e-3, 1e3),
    steps=st.integers(-2, 2),
    squared=st.floats(0, width=32, allow_subnormal=False) | st.just(np.nan),
)
def test_squares_are_within_the_limit_where_the_rmse_meets_the_target(
    count, target, target_scale, steps, squared
) -> None:
    limit = stopping.limit("squared", count, target, target_scale)
    assert limit.dtype == np.float32
    near = limit
    for _ in range(abs(steps)):
        near = np.nextafter(near, np.float32(np.inf if steps > 0 else -1))
    for number in (np.float32(squared), near):
        number = np.float32(abs(number))
        if number == 0 or not number < np.finfo(np.float32).tiny:  # a device may take what is smaller for 0
            sums = RegressionSums(jnp.int32(count), number / 2, number, number, number, number)
            expected = target is not None and losses.metrics(sums, target_scale)["rmse"] <= target
            assert bool(_meets(sums, limit)) == expected


def test_limits_that_can_be_said_by_heart() -> None:
    assert stopping.limit("cross_entropy", 100, 0.95) == 5
    assert stopping.limit("cross_entropy", 2**25 + 1, 0.0) == 2**25 + 1  # not a float32
    assert stopping.limit("cross_entropy", 100, 1.0) == 0
    assert stopping.limit("absolute", 4, 3.0) == 36
    assert stopping.limit("absolute", 4, 0.0) == 0
    nothing = [stopping.limit(loss, 100, target) for loss in ("cross_entropy", "squared") for target in (None, np.nan)]
    assert [*nothing, stopping.limit("cross_entropy", 100, 1.01), stopping.limit("squared", 4, -1.0)] == [-1] * 6
    with jax.enable_x64(True):
        assert stopping.limit("squared", 3, 0.1).dtype == np.float64
