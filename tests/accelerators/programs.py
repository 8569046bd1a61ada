"""Compile all programs of a cell for a device that is not here, and print what the texts say, as JSON.

    python tests/accelerators/programs.py h100

A process of its own: a compiler must be told which devices there are before JAX starts.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from mlp_jax import trial
from mlp_jax.bench import compiled
from mlp_jax.losses import LOSSES
from mlp_jax.machine import accelerators, devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.hlo import Module
from mlp_jax.model import Network
from mlp_jax.optimizers import OPTIMIZERS, REGULARIZERS
from mlp_jax.training import placement
from mlp_jax.training.engine import Engine, steps_at_once
from mlp_jax.trial import Cell

EXAMPLES, POINTS, MANY = 5400, 50, 256
CELL = Cell(network=Network(inputs=784, hidden=(64,), outputs=10))
SMALL = Cell(network=Network(inputs=16, hidden=(8,), outputs=3))
MNIST = Cell(network=Network(inputs=784, hidden=(256, 128), outputs=10))
OUTPUTS = {"binary_cross_entropy": "sigmoid", "squared": "identity", "absolute": "identity"}
ADVANCES = {  # name: cell, devices along trials and rows, block, lanes
    "alone": (CELL, (1, 1), 0, 1),
    "mapped": (CELL, (1, 1), None, 4),
    "in blocks": (CELL, (1, 1), 2, 4),
    "together": (CELL, (1, 1), 0, MANY),
    "sharing rows": (replace(CELL, batch_size=1024), (2, 2), 0, 4),
    "in pieces": (replace(CELL, batch_size=2048), (1, 1), 0, 4),
    "full gradient": (replace(SMALL, batch_size=EXAMPLES), (1, 1), 0, 4),
    "replacement": (replace(SMALL, sampling="replacement"), (1, 1), 0, 4),
    "mnist": (MNIST, (1, 1), "auto", MANY),
}
ADVANCES |= {name: (replace(SMALL, optimizer=name), (1, 1), 0, 4) for name in OPTIMIZERS}
ADVANCES |= {
    loss: (Cell(network=replace(SMALL.network, output=OUTPUTS[loss], outputs=1), loss=loss), (1, 1), 0, 4)
    for loss in LOSSES
    if loss in OUTPUTS  # the others have the usual one
}


def advance(cell: Cell, shape: tuple[int, int], block: Any, lanes: int, there: list) -> dict[str, Any]:
    mesh = devices.mesh(shape, there[: shape[0] * shape[1]])
    block = placement.block(block, mesh, cell, lanes) if block == "auto" else block
    engine, hyper = Engine(cell, mesh, block), trial.complete(cell)
    smoothed = cell.loss == "cross_entropy" and cell.optimizer == "momentum"
    regular = {name: 0.1 for name in REGULARIZERS if smoothed or name == "l2"} if cell.network.inputs == 16 else {}
    lanes = engine.lanes(lanes)
    made = engine.compile(Clock(), rows(cell), {**hyper, **regular}, lanes, POINTS)
    module = Module(made.as_text())
    step, own = compiled.of_step(module, steps_at_once(cell, mesh)), engine.block or lanes // mesh.shape["trial"]
    own = 1 if engine.block is None else own
    states = lanes // mesh.shape["trial"] * trial.needed_bytes(cell, hyper)[0]
    every = sum(each.collective for each in module.inside(module.entry))
    return {
        **memory(made, lanes // mesh.shape["trial"]),
        **step._asdict(),
        "steps": steps_at_once(cell, mesh),
        "donated": made.memory_analysis().alias_size_in_bytes / states,
        "bytes_per_trial_step": step.bytes / own,
        "collectives_beside": every - step.collectives,
        "block": engine.block,
    }


def memory(made: Any, trials: int) -> dict[str, float]:
    return {"temporary": made.memory_analysis().temp_size_in_bytes / trials, "whole": placement.program_bytes(made)}


def rows(cell: Cell) -> dict[str, Any]:
    """The shapes of the data, with targets as the loss wants them."""
    data, real = compiled.rows(cell.network, EXAMPLES), np.float32
    if cell.loss in ("squared", "absolute"):
        targets = lambda part: jax.ShapeDtypeStruct((part.x.shape[0], cell.network.outputs), real)
        data = {name: part._replace(y=targets(part)) for name, part in data.items()}
    return data


def rest(there: list) -> dict[str, Any]:
    engine = Engine(CELL, devices.mesh((1, 1), there[:1]), 0)
    made = engine.compile_rest(Clock(), rows(CELL)["train"], trial.complete(CELL), MANY)
    collectives = lambda module: sum(each.collective for each in module.inside(module.entry))
    return {
        name: memory(each, MANY) | {"collectives_beside": collectives(Module(each.as_text()))}
        for name, each in made.items()
    }


def main(name: str) -> None:
    there = list(accelerators.absent(name))
    found = {called: advance(*asked, there) for called, asked in ADVANCES.items()} | rest(there)
    free = (found["mnist"]["whole"] - placement.data_bytes(rows(MNIST))) / devices.MEMORY_SHARE
    devices.free_memory = lambda _: free
    mesh = devices.mesh((1, 1), there[:1])
    engine = Engine(MNIST, mesh, placement.block("auto", mesh, MNIST, MANY))
    fitting = placement.compiled_fitting(engine, trial.complete(MNIST), rows(MNIST), POINTS)
    print(json.dumps({"programs": found, "fitting": fitting, "many": MANY, "probed": placement.PROBED}))


if __name__ == "__main__":
    main(sys.argv[1])
