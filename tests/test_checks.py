"""Values that are refused in one sentence, and values that pass as plain ones of Python."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import checks
from mlp_jax.checks import Count, Positive, Seed, Steps

Size = Count | Literal["full"]
Budget = Steps | Mapping[str, Steps]
NAN, INF = math.nan, math.inf


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A field of every kind."""

    flag: bool = False
    size: Size = 32
    widths: tuple[Count, ...] = ()
    rate: float | None = None
    seconds: Positive | None = None
    budget: Budget = 9
    kind: Literal["auto", "unit"] = "auto"
    name: str = "digits"

    def __post_init__(self) -> None:
        checks.fields(self, size="batch size", widths="width", budget="budget of")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flag": "no"}, "flag 'no' is not allowed; give true or false"),
        ({"flag": 1}, "flag 1 is not allowed; give true or false"),
        ({"size": True}, "batch size True is not allowed; give a whole number of at least 1, or full"),
        ({"size": 2.5}, "batch size 2.5 is not allowed; give a whole number of at least 1, or full"),
        ({"size": "half"}, "batch size 'half' is not allowed; give a whole number of at least 1, or full"),
        ({"size": None}, "batch size None is not allowed; give a whole number of at least 1, or full"),
        ({"widths": 128}, "widths 128 is not allowed; give a list, each entry a whole number of at least 1"),
        ({"widths": "12"}, "widths '12' is not allowed; give a list, each entry a whole number of at least 1"),
        ({"widths": {1: 2}}, "widths {1: 2} is not allowed; give a list, each entry a whole number of at least 1"),
        ({"widths": (3, 0)}, "width 0 is not allowed; give a whole number of at least 1"),
        ({"widths": np.zeros((1, 2))}, "width array([0., 0.]) is not allowed; give a whole number of at least 1"),
        ({"rate": "0.1"}, "rate '0.1' is not allowed; give a number"),
        ({"rate": True}, "rate True is not allowed; give a number"),
        ({"seconds": 0}, "seconds 0 is not allowed; give a positive number"),
        ({"seconds": np.float64(-1)}, "seconds -1.0 is not allowed; give a positive number"),
        ({"budget": {"8": 2.5}}, "budget of 8 2.5 is not allowed; give a whole number from 1 to 2**31 - 1"),
        ({"budget": {8: 2}}, "budget, the key 8 is not allowed; give text"),
        (
            {"budget": 2**31},
            "budget 2147483648 is not allowed; give a whole number from 1 to 2**31 - 1, or a table, each entry a whole "
            "number from 1 to 2**31 - 1",
        ),
        ({"kind": "unti"}, "unknown kind 'unti'; choose one of auto, unit"),
        ({"kind": ["unit"]}, "unknown kind ['unit']; choose one of auto, unit"),
        ({"name": b"digits"}, "name b'digits' is not allowed; give text"),
    ],
)
def test_a_field_of_another_kind_or_outside_its_domain_is_refused_in_one_sentence(fields, message):
    with pytest.raises(ValueError, match="^") as raised:
        Asked(**fields)
    assert str(raised.value) == message


def test_a_number_that_no_float_holds_and_a_long_value_are_one_short_line():
    for fields in ({"rate": 10**400}, {"name": ["a"] * 99}):
        with pytest.raises(ValueError, match="… is not allowed") as raised:
            Asked(**fields)
        assert len(str(raised.value)) < 150
        assert "\n" not in str(raised.value)


def test_what_passes_is_a_plain_value():
    asked = Asked(
        flag=np.bool_(True), size=np.int64(8), widths=np.array([4, 3]), rate=jnp.float32(0.5), seconds=2,
        budget={"8": np.int32(5)}, name=Path("a") / "b.csv",
    )  # fmt: skip
    assert asked == Asked(
        flag=True, size=8, widths=(4, 3), rate=0.5, seconds=2, budget={"8": 5}, name=str(Path("a") / "b.csv")
    )
    values = [asked.flag, asked.size, *asked.widths, asked.rate, asked.seconds, asked.budget, asked.name]
    assert [type(value) for value in values] == [bool, int, int, int, float, int, dict, str]
    assert Asked(widths=[1]).widths == Asked(widths=range(1, 2)).widths == (1,)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (checks.POSITIVE, (1e-300, 3), (0, -1.0, INF, NAN)),
        (checks.NON_NEGATIVE, (0, 1e300), (-1e-300, INF, NAN)),
        (checks.FRACTION, (0, 0.999), (-1e-9, 1, NAN)),
        (checks.RATIO, (1e-9, 1), (0, 1.001, NAN)),
        (checks.whole(2), (2, 3.0, 10**30), (1, 2.5, INF, NAN, True)),
        (checks.whole(0, bits=32), (0, 2**32 - 1), (-1, 2**32, NAN)),
    ],
)
def test_domains(domain, inside, outside):
    for value in inside:
        assert checks.value("rate", value, Annotated[float, domain]) == value
    for value in outside:
        with pytest.raises(ValueError, match=r"^rate .* is not allowed; give a .*number"):
            checks.value("rate", value, Annotated[float, domain])


def test_whole_numbers_may_be_floats_where_floats_are_asked_for():
    assert checks.value("seed", 3, Seed) == 3
    with pytest.raises(ValueError, match=r"^seed 3.0 is not allowed; give a whole number from 0 to 2\*\*32 - 1$"):
        checks.value("seed", 3.0, Seed)
    assert checks.value("anything", {"a": [1]}, Mapping[str, Any]) == {"a": [1]}


def test_choose_lists_what_there_is():
    assert checks.choose("colour", "red", ("red", "blue")) == "red"
    with pytest.raises(ValueError, match="^unknown colour 'rde'; choose one of blue, red$"):
        checks.choose("colour", "rde", {"red": 1, "blue": 2})
