"""The programs of a cell: compiled once and ahead of time, each trial as it is alone, wherever it is placed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from mlp_jax import stopping, trial
from mlp_jax.data import Dataset
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.model import Network
from mlp_jax.rows import place, shape
from mlp_jax.training import config, engine
from mlp_jax.training.engine import Engine
from mlp_jax.training.look import Look
from mlp_jax.trial import Cell

SPLITS = ("train", "validation")


def cell_of(width: int) -> Cell:
    return Cell(network=Network(inputs=4, hidden=(width,), outputs=3), batch_size=8)


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return config.load_data(config.Config(dataset="iris"))


def mesh(count: int) -> Mesh:
    return devices.mesh(there=jax.devices()[:count])


def looks(begin: int, until: int, first: int, due: int, points=()) -> Look:
    room = np.full(engine.LEAST_POINTS, 2**31 - 1, np.int32)
    room[: len(points)] = points
    numbers = (np.int32(value) for value in (begin, until, first, due))
    windows = np.arange(engine.LEAST_POINTS, dtype=np.int32)
    limits = np.full(engine.LEAST_POINTS, stopping.limit("cross_entropy", 1, None))
    return Look(*numbers, room, windows >= 0, windows, limits)


def begun(programs: Engine, dataset: Dataset, running: np.ndarray) -> tuple:
    """Return what `advance` takes, for as many trials as `running` has entries, of different rates."""
    data = {name: place(programs.cell.network, dataset, getattr(dataset, name)) for name in SPLITS}
    size = len(running)
    hyper = {name: np.full(size, value, np.float32) for name, value in trial.complete(programs.cell).items()}
    hyper["learning_rate"] = np.linspace(0.01, 0.2, size, dtype=np.float32)
    hyper, seeds, running = programs.put((hyper, np.arange(size, dtype=np.uint32) // 2, running))
    lanes = programs.room(programs.start(Clock(), hyper, seeds), 3)
    return programs.put_everywhere(data), hyper, seeds, running, lanes


RUNNING = np.array([True, False, True, False, False, True, True, True])


@pytest.fixture(scope="module")
def alone(iris) -> list:
    """The states of the trials that run after nine steps, each trained alone, and the sums of an evaluation there."""
    programs, begin = Engine(cell_of(5), mesh(1), None), jax.jit(trial.start, static_argnums=0)
    data, hyper, seeds, *_ = begun(programs, iris, RUNNING)
    found = []
    for lane in range(len(RUNNING)):
        own, seed = jax.tree.map(lambda leaf, lane=lane: jnp.asarray(np.asarray(leaf)[lane]), (hyper, seeds))
        state = begin(programs.cell, own, seed)
        if RUNNING[lane]:
            state = trial.advance(programs.cell, own, seed, data["train"], state, jnp.int32(9))
        found.append((state, trial.evaluate(programs.cell, state.params, data["validation"])))
    return jax.device_get(found)


@pytest.mark.parametrize(
    ("count", "block", "steps"),
    [
        (2, 2, 4),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, None, 4), (1, None, 1), (2, 0, 1), (1, 4, 1))),
    ],
)
def test_trials_that_run_are_each_what_they_are_alone_and_others_keep_their_state(
    iris, alone, monkeypatch, count, block, steps
):
    """With a known number of steps as accelerators take them, and one at a time as a CPU does."""
    monkeypatch.setattr(engine, "steps_at_once", lambda cell, mesh: steps)
    programs = Engine(cell_of(5), mesh(count), block)
    data, hyper, seeds, runs, lanes = begun(programs, iris, RUNNING)
    lanes = programs.advance("training", Clock(), looks(0, 9, 0, 2, [0, 6]), data, hyper, seeds, runs, lanes)
    found = programs.evaluate(Clock(), data["validation"], lanes.state.params, runs)
    lanes, found = jax.device_get((lanes, found))
    assert lanes.seen.tolist() == (2 * RUNNING).tolist()
    for lane, (state, sums) in enumerate(alone):
        for ours, theirs in zip(jax.tree.leaves(lanes.state), jax.tree.leaves(state), strict=True):
            np.testing.assert_allclose(ours[lane], theirs, rtol=1e-4, atol=1e-6)
        if RUNNING[lane]:
            assert found.loss[lane] == pytest.approx(sums.loss, rel=1e-4)


@pytest.mark.parametrize("block", [None, *(pytest.param(block, marks=pytest.mark.slow) for block in (0, 2))])
def test_what_is_compiled_ahead_is_what_the_first_call_needs(iris, compilations, block):
    programs = Engine(cell_of(6), mesh(2), block, ("validation",))
    arguments = begun(programs, iris, np.ones(4, bool))
    hyper, data = list(arguments[1]), {name: shape(programs.cell.network, iris, getattr(iris, name)) for name in SPLITS}
    ahead = lambda: programs.compile(Clock(), data, hyper, 4, 3)
    assert compilations(ahead) == 1
    first = lambda: programs.advance("training", Clock(), looks(0, 2, 0, 1, [0]), *arguments)
    assert compilations(first) == 0
    assert compilations(ahead) == 0
    assert programs.compilations == 1


def test_more_points_take_another_program_only_beyond_the_next_power_of_two(iris):
    programs = Engine(cell_of(7), mesh(1), None)
    states = begun(programs, iris, np.ones(2, bool))[-1].state
    rooms = [programs.room(states, points).batch_loss.shape for points in (1, 64, 65, 128, 129)]
    assert rooms == [(2, 64), (2, 64), (2, 128), (2, 128), (2, 256)]


def test_mapped_trials_are_moved_where_they_are(iris):
    """A call that made room for the new states would spend a quarter of its time on that."""
    programs = Engine(cell_of(101), mesh(1), None)
    arguments = begun(programs, iris, np.ones(50, bool))
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(arguments[-1].state))
    programs.advance("training", Clock(), looks(0, 1, 0, 0), *arguments)
    (program,) = programs._advance.compiled.values()
    memory = program.memory_analysis()
    assert memory.alias_size_in_bytes >= held
    assert memory.temp_size_in_bytes < held / 4


@pytest.mark.parametrize(
    ("count", "block", "expected"),
    [(1, None, [1, 5, 8]), (2, None, [2, 6, 8]), (2, 0, [2, 6, 8]), (2, 4, [8, 8, 8]), (3, 2, [6, 6, 12])],
)
def test_lanes_are_the_next_number_that_devices_and_blocks_divide(count, block, expected):
    programs = Engine(cell_of(5), mesh(count), block)
    assert [programs.lanes(trials) for trials in (1, 5, 8)] == expected


def test_a_block_of_steps_has_at_most_so_many_indices(monkeypatch):
    sizes = lambda: [
        engine.steps_at_once(Cell(network=cell_of(5).network, batch_size=size), mesh(1)) for size in (1, 2**14, 2**20)
    ]
    assert sizes() == [1, 1, 1]
    monkeypatch.setattr(engine, "on_cpu", lambda mesh: False)
    assert sizes() == [32, 4, 1]
