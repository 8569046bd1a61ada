"""Search spaces: scales, ends and choices for any bounds; points that are even, determined, and as many as asked."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_jax.study import spaces
from mlp_jax.study.spaces import Space

PLACES = np.linspace(0, 1, 11)
BOUNDS = {
    "linear": st.floats(-1e6, 1e6),
    "log": st.floats(1e-9, 1e9),
    "log_complement": st.floats(-10, 1 - 1e-9),
}
TWO = {"learning_rate": Space(low=1e-3, high=1.0), "momentum": Space(low=0.5, high=0.99, scale="log_complement")}


@st.composite
def ranges(draw) -> dict:
    scale = draw(st.sampled_from(spaces.SCALES))
    low, high = sorted(draw(st.lists(BOUNDS[scale], min_size=2, max_size=2, unique=True)))
    return {"low": low, "high": high, "scale": scale}


@given(ranges())
def test_a_range_goes_from_low_to_high_and_never_outside(fields):
    space = Space(**fields)
    values = space.at(PLACES)
    assert space.ends == (space.low, space.high)
    np.testing.assert_allclose(values[[0, -1]], space.ends, rtol=1e-6, atol=1e-9)
    assert (np.diff(values) >= 0).all()
    assert space.low <= values.min() <= values.max() <= space.high


def test_each_scale_spreads_its_own_measure_evenly():
    linear, log = Space(low=-1, high=3, scale="linear").at(PLACES), Space(low=1e-3, high=10.0).at(PLACES)
    complement = Space(low=0.0, high=0.999, scale="log_complement").at(PLACES)
    for even in (linear, np.log(log), np.log(1 - complement)):
        np.testing.assert_allclose(np.diff(even), (even[-1] - even[0]) / 10)
    np.testing.assert_allclose(complement[[0, 5, -1]], [0, 1 - math.sqrt(1e-3), 0.999])


@given(st.lists(st.integers(-5, 5) | st.floats(-5, 5), min_size=1, max_size=6))
def test_choices_have_equal_shares_of_the_places_in_their_order(choices):
    space = Space(choices=tuple(choices))
    middles = (np.arange(len(choices)) + 0.5) / len(choices)
    np.testing.assert_array_equal(space.at(middles), choices)
    np.testing.assert_array_equal(space.at(np.array([0.0, 1.0])), [choices[0], choices[-1]])
    assert space.ends == (min(choices), max(choices))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "low 2.0 is not below high 1.0; swap them"),
        ({"low": 1.0, "high": 1.0}, "low 1.0 is not below high 1.0"),
        ({"low": math.nan, "high": 1.0}, "is not below"),
        ({"low": 1.0, "high": 2.0, "choices": (1.0,)}, "low and high, or choices; give one of the two"),
        ({}, "give one of the two"),
        ({"low": 1.0}, "give one of the two"),
        ({"high": 1.0, "choices": (1.0,)}, "give one of the two"),
        ({"low": 0.0, "high": 1.0}, "a log scale can't go from 0.0 to 1.0"),
        ({"low": -1.0, "high": 1.0}, "a log scale can't go"),
        ({"low": 1.0, "high": math.inf}, "a log scale can't go"),
        ({"low": -math.inf, "high": 1.0, "scale": "linear"}, "a linear scale can't go"),
        ({"low": 0.5, "high": 1.0, "scale": "log_complement"}, "a log_complement scale can't go from 0.5 to 1.0"),
        ({"low": 1.0, "high": 2.0, "scale": "lgo"}, "unknown scale 'lgo'; choose one of linear, log"),
    ],
)
def test_spaces_that_are_not_allowed(fields, message):
    with pytest.raises(ValueError, match=message):
        Space(**fields)


@settings(deadline=None)  # the first call loads scipy
@given(st.integers(1, 40), st.sampled_from(["halton", "sobol"]), st.integers(0, 2**31))
def test_points_are_as_many_as_asked_and_determined_by_the_seed(count, method, seed):
    points, again = (spaces.points(TWO, count, method, seed) for _ in range(2))
    for name, space in TWO.items():
        assert points[name].shape == (count,)
        assert space.low <= points[name].min() <= points[name].max() <= space.high
        np.testing.assert_array_equal(points[name], again[name])
    other = spaces.points(TWO, count, method, seed + 1)
    assert not np.array_equal(points["learning_rate"], other["learning_rate"])


@pytest.mark.parametrize("method", spaces.METHODS)
def test_the_order_of_the_spaces_changes_no_point(method):
    turned = spaces.points(dict(reversed(TWO.items())), 9, method)
    assert turned.keys() == TWO.keys()
    for name, values in spaces.points(TWO, 9, method).items():
        np.testing.assert_array_equal(turned[name], values)


@pytest.mark.parametrize(("method", "count", "bins"), [("halton", 16, 8), ("sobol", 16, 16), ("grid", 16, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_points_cover_each_space_evenly(method, count, bins, seed):
    unit = {name: Space(low=0.0, high=1.0, scale="linear") for name in "ab"}
    for values in spaces.points(unit, count, method, seed).values():
        hits, _ = np.histogram(values, bins=bins, range=(0, 1))
        assert hits.min() >= 1


@given(st.integers(1, 200), st.integers(1, 3))
def test_a_grid_is_the_largest_full_one_within_the_count(count, dimensions):
    unit = {name: Space(low=0.0, high=1.0, scale="linear") for name in "abc"[:dimensions]}
    points = np.stack(list(spaces.points(unit, count, "grid").values()), axis=-1)
    side = len(np.unique(points[:, 0]))
    assert side**dimensions == len(points) == len(np.unique(points, axis=0)) <= count < (side + 1) ** dimensions
    if side > 1:
        assert {0.0, 1.0} <= set(points[:, 0])


def test_fixed_spaces_take_no_dimension_of_the_points():
    fixed = {"momentum": Space(choices=(0.9,))}
    rate = {"learning_rate": TWO["learning_rate"]}
    both = spaces.points(rate | fixed, 8)
    np.testing.assert_array_equal(both["learning_rate"], spaces.points(rate, 8)["learning_rate"])
    np.testing.assert_array_equal(both["momentum"], np.full(8, 0.9))
    np.testing.assert_array_equal(spaces.points(fixed, 8)["momentum"], [0.9])


@pytest.mark.parametrize("method", spaces.METHODS)
def test_points_of_a_whole_number_are_whole_and_within_the_space(method):
    space = Space(low=0, high=50, scale="linear")
    found = spaces.points(
        {"warmup_steps": space, "learning_rate": TWO["learning_rate"]}, 16, method, whole=("warmup_steps",)
    )
    steps = found["warmup_steps"]
    np.testing.assert_array_equal(steps, np.rint(steps))
    assert 0 <= steps.min() < 13 < 37 < steps.max() <= 50
    assert len(np.unique(found["learning_rate"])) in (4, 16)


@pytest.mark.parametrize(
    ("count", "method", "message"), [(0, "halton", "0 points are not allowed"), (3, "haltn", "unknown method 'haltn'")]
)
def test_points_that_are_not_allowed(count, method, message):
    with pytest.raises(ValueError, match=message):
        spaces.points(TWO, count, method)


@pytest.mark.parametrize("end", [10**300, 10**39])
def test_ends_may_be_large_whole_numbers(end):
    assert Space(low=1, high=end, scale="log").ends == (1, end)
