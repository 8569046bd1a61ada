"""Types that hold every value, and what rounding to 32 bits would spoil."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlp_jax.data.scaling import compact, rounded, white

TYPES = st.sampled_from([np.int64, np.uint8, np.int32, np.float64, np.float32, bool])


@given(TYPES.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=2))))
def test_compact_keeps_every_value(x):
    small = compact(x)
    assert small.dtype in (np.uint8, np.float32, np.float64)
    np.testing.assert_array_equal(small.astype(np.float64), x.astype(np.float64))


@given(st.floats(-1e12, 1e12), st.floats(1e-3, 1e6))
def test_rounding_never_costs_more_than_a_millionth_of_the_spread(offset, spread):
    x = offset + spread * np.random.default_rng(0).normal(size=(50, 1))
    error = abs(rounded(x).astype(np.float64) - x).max()
    assert error <= 1e-6 * np.ptp(x)


def test_white_is_255_unless_all_is_dark():
    assert [white(np.array(values)) for values in ([0, 255], [128], [16, 3], [0, 1], [0])] == [255, 255, 16, 1, 1]
