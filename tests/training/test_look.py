"""Looks against the same way by hand, step by step and evaluation by evaluation, however it is divided into looks."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import losses, stopping, trial
from mlp_jax.model import Network
from mlp_jax.rows import place
from mlp_jax.training import config, look
from mlp_jax.training.look import Lanes, Look
from mlp_jax.trial import Cell, TrialState

CELL = Cell(network=Network(inputs=4, hidden=(5,), outputs=3), batch_size=8)
SPLITS = ("validation", "train")
POINTS = np.array([0, 4, 5, 11, 18, 25], np.int32)
WANTED = np.array([True, True, False, True, True, True])
WINDOWS = {"alone": [0, 1, 2, 3, 4, 5], "together": [0, 0, 0, 1, 1, 2]}
TOTAL = 25
RATES, SEEDS = (1e-4, 1e40, 0.1, 1e-3), (0, 0, 1, 2)  # too slow, not finite after some steps, on target, too slow
TARGET = 0.7
WAYS = {"one": [25], "even": [9, 17, 25], "at the points": [0, 4, 5, 11, 18, 25], "steps": list(range(1, 26))}


class Found(NamedTuple):
    """A trial by hand: its state, the sums of its evaluations by the number of their point, and the one that met."""

    state: TrialState
    sums: dict[int, dict]
    batch_loss: dict[int, float]
    met: int


@pytest.fixture(scope="module", autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def data(_float64):
    dataset = config.load_data(config.Config(dataset="iris", validation=0.2))
    return {split: place(CELL.network, dataset, getattr(dataset, split)) for split in SPLITS}


def hyper(rates) -> dict[str, jax.Array]:
    return {"learning_rate": jnp.asarray(rates), "momentum": jnp.full(np.shape(rates), 0.9)}


@pytest.fixture(scope="module", params=WINDOWS)
def windows(request) -> np.ndarray:
    return np.array(WINDOWS[request.param], np.int32)


def limits(data) -> np.ndarray:
    count = len(data["validation"].y)
    return np.array([stopping.limit(CELL.loss, count * several, TARGET) for several in range(1, len(POINTS) + 1)])


def meets(sums: dict[int, dict], number: int, windows: np.ndarray) -> bool:
    """Tell whether the share of right answers in all evaluations of a window is at least the target."""
    near = [found["validation"] for at, found in sums.items() if windows[number] <= at <= number]
    return 1 - sum(int(each.errors) for each in near) / sum(int(each.n) for each in near) >= TARGET


def by_hand(data, rate: float, seed: int, windows: np.ndarray) -> Found:
    state, sums, batch_loss, met = trial.start(CELL, hyper(rate), jnp.uint32(seed)), {}, {}, -1
    for number, point in enumerate(POINTS.tolist()):
        state = trial.advance(CELL, hyper(rate), jnp.uint32(seed), data["train"], state, point - state.step)
        if state.failed >= 0:
            break
        if not WANTED[number]:
            continue
        sums[number] = {split: trial.evaluate(CELL, state.params, data[split]) for split in SPLITS}
        batch_loss[number] = float(state.loss)
        if not np.isfinite(sums[number]["validation"].loss):
            state = state._replace(failed=state.step)
            break
        if meets(sums, number, windows):
            met = number
            break
    return jax.device_get(Found(state, sums, batch_loss, met))


@pytest.fixture(scope="module")
def expected(data, windows) -> list[Found]:
    found = [by_hand(data, rate, seed, windows) for rate, seed in zip(RATES, SEEDS)]
    assert [one.met for one in found][:2] == [-1, -1]
    assert 0 < found[2].met < len(POINTS), "the target is met on the way"
    assert 1 < found[1].state.failed < TOTAL, "it fails on the way"
    assert [int(one.state.failed) for one in found][2:] == [-1, -1]
    return found


def start(rates, seeds, several: bool) -> Lanes:
    """Return lanes of trials that have not begun, with room for the points; of one trial without an axis of lanes."""
    kinds, shape = losses.nothing(CELL.loss), (len(POINTS),)
    states = [trial.start(CELL, hyper(rate), jnp.uint32(seed)) for rate, seed in zip(rates, seeds)]
    room = {split: jax.tree.map(lambda leaf: np.zeros(shape, leaf.dtype), kinds) for split in SPLITS}
    each = [Lanes(state, room, np.zeros(shape), np.int32(0), np.int32(-1)) for state in states]  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each) if several else each[0]


@pytest.fixture(scope="module")
def go(data, windows):
    """A function that takes trials through looks that end at `cuts`."""
    programs, bounds = {}, limits(data)

    def walk(lanes: Lanes, rates, seeds, running, several: bool, steps: int, cuts: list[int], given=data) -> Lanes:
        key = several, steps
        program = programs.setdefault(key, jax.jit(partial(look.to_look, CELL, SPLITS, False, None, steps, several)))
        of_trials = hyper(rates)
        begin = first = 0
        for until in cuts:
            due = int(np.searchsorted(POINTS, until, side="right"))
            numbers = (np.int32(value) for value in (begin, until, first, due))
            asked = Look(*numbers, POINTS, WANTED, windows, bounds)
            lanes = program(asked, given, of_trials, np.asarray(seeds, np.uint32), np.asarray(running), lanes)
            begin, first = until, due
        return jax.device_get(lanes)

    return walk


def assert_equal(lanes: Lanes, found: Found) -> None:
    for ours, theirs in zip(jax.tree.leaves(lanes.state), jax.tree.leaves(found.state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert int(lanes.met) == found.met
    assert int(lanes.seen) == max(found.sums, default=-1) + 1
    for number in range(len(POINTS)):
        nothing = {split: losses.nothing(CELL.loss) for split in SPLITS}
        for split, sums in found.sums.get(number, nothing).items():
            ours = jax.tree.map(lambda leaf, number=number: leaf[number], lanes.sums[split])
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), ours, sums)
        assert float(lanes.batch_loss[number]) == pytest.approx(found.batch_loss.get(number, 0.0), rel=1e-9)


@pytest.mark.parametrize("steps", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", WAYS)
def test_one_trial_is_what_it_is_by_hand(go, expected, way, steps):
    for rate, seed, found in zip(RATES, SEEDS, expected):
        lanes = go(start([rate], [seed], False), rate, seed, True, False, steps, WAYS[way])
        assert_equal(lanes, found)


@pytest.mark.parametrize("steps", [4, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (1, 32))])
@pytest.mark.parametrize("way", WAYS)
def test_several_in_step_are_each_what_it_is_by_hand_and_one_that_does_not_run_keeps_its_state(
    go, expected, way, steps
):
    before = start(RATES, SEEDS, True)
    running = [True, True, True, False]
    lanes = go(before, RATES, SEEDS, running, True, steps, WAYS[way])
    for row, found in enumerate(expected[:3]):
        assert_equal(jax.tree.map(lambda leaf, row=row: leaf[row], lanes), found)
    still = jax.tree.map(lambda leaf: leaf[3], (lanes, before))
    jax.tree.map(np.testing.assert_array_equal, *still)


@pytest.mark.parametrize("several", [False, True])
def test_an_evaluation_that_is_not_finite_is_a_failure_at_its_step(go, data, several):
    x = np.array(data["validation"].x)
    x[3] = np.nan
    spoilt = data | {"validation": data["validation"]._replace(x=x)}
    rates, seeds = ([1e-3], [5]) if several else (1e-3, 5)
    running = [True] if several else True
    lanes = go(start([1e-3], [5], several), rates, seeds, running, several, 1, [3, 25], spoilt)
    assert (int(lanes.state.failed.reshape(())), int(lanes.state.step.reshape(()))) == (0, 0)
    assert int(lanes.met.reshape(())) == -1
