"""How many trials a device takes at once, and how many its memory holds."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from mlp_jax import trial
from mlp_jax.machine import accelerators, devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.model import Network
from mlp_jax.rows import Data
from mlp_jax.training import placement
from mlp_jax.training.engine import Engine
from mlp_jax.trial import Cell

CELL = Cell(network=Network(inputs=4, hidden=(5,), outputs=3), batch_size=8)
MNIST = Cell(network=Network(inputs=784, hidden=(256, 128), outputs=10))


@dataclass(frozen=True)
class Pretended:
    """A device that says no more than what it is."""

    platform: str
    device_kind: str
    number: int


def mesh(count: int) -> Mesh:
    return devices.mesh(there=jax.devices()[:count])


def pretend(kind: str, count: int = 1) -> Mesh:
    platform = "tpu" if "TPU" in kind else "gpu"
    return devices.mesh(there=[Pretended(platform, kind, number) for number in range(count)])


def test_a_placement_means_a_block():
    for where, auto in ((mesh(1), None), (pretend("NVIDIA H100 80GB HBM3"), 0)):
        blocks = [placement.block(asked, where, CELL, 9) for asked in ("auto", "map", "vmap", 1, 2, 7)]
        assert blocks == [auto, None, 0, None, 2, 7]
    for wrong in ("pmap", 0, -1):
        with pytest.raises(ValueError, match=f"unknown placement {wrong!r}; choose auto, map, vmap or a number"):
            placement.block(wrong, mesh(1), CELL, 9)


@pytest.mark.parametrize("name", [name for name, each in accelerators.ACCELERATORS.items() if each.fast])
@pytest.mark.parametrize(("optimizer", "slots"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
@pytest.mark.parametrize("count", [1, 4])
def test_on_a_tpu_a_block_fills_the_chip_s_memory_and_no_more(name, optimizer, slots, count):
    where, known = pretend(accelerators.ACCELERATORS[name].kind, count), accelerators.ACCELERATORS[name]
    cell = Cell(network=MNIST.network, optimizer=optimizer)
    state = 4 * (1 + slots) * (785 * 256 + 257 * 128 + 129 * 10)
    most = int(0.7 * known.fast / state)
    for trials in (1, most // 2, most * count, most * count + 1, 256, 1000):
        block = placement.block("auto", where, cell, trials)
        each = -(-trials // count)
        assert block == 0 if each <= most else most / 2 < block <= most
        if block:  # few lanes are idle
            assert Engine(cell, where, block).lanes(trials) < trials + count * (-(-each // most) + 1)
    assert placement.block("vmap", where, cell, 1000) == 0


def test_networks_beyond_the_chip_s_memory_and_unknown_chips_take_all_at_once():
    wide = Cell(network=Network(inputs=784, hidden=(8192,), outputs=10))
    assert placement.block("auto", pretend("TPU v5 lite"), wide, 64) == 0
    assert placement.block("auto", pretend("TPU v99"), MNIST, 1000) == 0


@pytest.mark.parametrize(("count", "block"), [(1, None), (2, None), (2, 3), (2, 0)])
def test_as_many_fit_as_memory_holds_their_states_twice_and_what_their_steps_need(monkeypatch, count, block):
    programs, hyper = Engine(CELL, mesh(count), block), {"learning_rate": 0.1, "momentum": 0.9}
    held, working = trial.needed_bytes(programs.cell, hyper)
    at_once = {None: working, 3: 3 * working, 0: 7 * working}[block]
    needed = 1000 + 7 * 2 * held + at_once
    monkeypatch.setattr(devices, "free_memory", lambda _: needed / devices.MEMORY_SHARE + 1)
    assert placement.fitting(programs, hyper, 1000) == 7 * count
    monkeypatch.setattr(devices, "free_memory", lambda _: needed / devices.MEMORY_SHARE - 10)
    assert placement.fitting(programs, hyper, 1000) == 6 * count
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    with pytest.raises(ValueError, match="one trial needs .* with its data, and a device has 0 MiB free"):
        placement.fitting(programs, hyper, 1000)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.slow
def test_a_compiled_program_says_how_many_fit(monkeypatch, count):
    """What is left of a memory that just holds a larger program's trials is room for these, within 15 %."""
    programs, hyper = Engine(MNIST, mesh(count), 0), dict.fromkeys(trial.complete(MNIST), np.zeros(1))
    rows = lambda n: Data(np.zeros((n, 784), np.uint8), np.zeros(n, np.int32), np.float32(0), np.float32(1))  # pyright: ignore
    data = programs.put_everywhere({"train": rows(2000), "validation": rows(1000)})
    of_all = programs.compile(Clock(), data, hyper, 32 * count, 10)
    of_data = sum(leaf.nbytes for leaf in jax.tree.leaves(data))
    free = (placement.program_bytes(of_all) - of_data) / devices.MEMORY_SHARE
    monkeypatch.setattr(devices, "free_memory", lambda _: free)
    assert placement.compiled_fitting(programs, hyper, data, 10, 8 * count) == pytest.approx(32 * count, rel=0.15)
    monkeypatch.setattr(devices, "free_memory", lambda _: 1)
    assert placement.compiled_fitting(programs, hyper, data, 10, 8 * count) == count
