"""How much is measured: from one example to many, and the quick form asks less of everything."""

import dataclasses

import pytest

from mlp_jax.bench.effort import FULL, NETWORKS, QUICK, Effort
from mlp_jax.training.timetable import GLANCE

EACH = [field.name for field in dataclasses.fields(Effort) if field.name != "seeds"]


@pytest.mark.parametrize("effort", [FULL, QUICK])
def test_batch_sizes_begin_at_one_and_grow(effort: Effort) -> None:
    assert effort.batch_sizes[0] == 1
    assert list(effort.batch_sizes) == sorted(set(effort.batch_sizes))
    assert list(effort.trials) == sorted(set(effort.trials))
    assert effort.seeds >= 5, "a comparison paired by seed needs five"
    assert effort.rounds % 2, "the median is a time that was taken"


@pytest.mark.parametrize("name", EACH)
def test_the_quick_form_asks_less(name: str) -> None:
    full, quick = getattr(FULL, name), getattr(QUICK, name)
    size = lambda value: (len(value), max(value)) if isinstance(value, tuple) else (value, value)
    assert all(less < more for less, more in zip(size(quick), size(full)))


def test_batch_sizes_are_powers_of_four_up_to_what_a_mnist_holds() -> None:
    assert all(b == 4 * a for a, b in zip(FULL.batch_sizes, FULL.batch_sizes[1:]))
    assert 60_000 <= FULL.batch_sizes[-1] < 70_000


def test_a_call_of_trials_lasts_as_long_as_one_of_training() -> None:
    assert FULL.call_seconds == GLANCE


def test_the_networks_are_those_of_digits_and_of_mnist() -> None:
    assert {name: (network.inputs, network.outputs) for name, network in NETWORKS.items()} == {
        "small": (64, 10),
        "wide": (784, 10),
    }


def test_an_effort_is_settled_when_it_is_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        QUICK.rounds = 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        Effort((1,), (1,), 1, 1.0, 1.0, 1, 1, 1)  # pyright: ignore[reportCallIssue]
