"""Compile training for a device that need not be here: does it fit, what does a step launch and move, what limits it.

Invariant: counts, bytes and memory are facts of the compiled program; seconds are an estimate from the maker's data of
the device, and are called an estimate.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import checks, sampling, tables, trial
from mlp_jax.bench import ceilings
from mlp_jax.checks import Count
from mlp_jax.machine import devices, hlo
from mlp_jax.machine.accelerators import Accelerator
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.hlo import Instruction, Module
from mlp_jax.model import Network
from mlp_jax.rows import Data, shape
from mlp_jax.study import cells
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import COARSE
from mlp_jax.training import config as configs
from mlp_jax.training import placement, population, task
from mlp_jax.training.engine import Engine, steps_at_once
from mlp_jax.trial import Cell

LAUNCH, WAIT = 2e-6, 15e-6  # seconds of a GPU's smallest kernel in a row of them, and of its host's look at a condition
POINTS = 240  # evaluations, as a study has them


class Step(NamedTuple):
    """What one step of all trials on a device takes, counted in the compiled text.

    Work that is done once for a block of steps is divided by their number. `waits` counts how often the host of a GPU
    waits for it; `loops` counts the loops inside a step.
    """

    kernels: float
    bytes: float
    waits: float | None
    cycles: float
    loops: int
    collectives: int


class Program(NamedTuple):
    """The compiled training of a cell: its lanes, how many run at once, its bytes with the data, how many trials fit.

    There are fewer lanes than trials were asked for if that many do not fit. `seconds` is the estimate for a
    trial-step, `limit` what limits it; both are unknown, and so is `step`, if no data of the device are known.
    """

    cell: Cell
    asked: int
    lanes: int
    at_once: int
    bytes: int
    fit: int | None
    step: Step | None
    floor: float
    seconds: float | None
    limit: str

    @property
    def bytes_per_trial_step(self) -> float | None:
        """The bytes of the device's memory that a step of one trial reads and writes."""
        return None if self.step is None else self.step.bytes / self.at_once


class On(NamedTuple):
    """The device to compile for, its `known` data, and a function that is told what comes next."""

    device: Any
    known: Accelerator | None
    say: Callable[[str], None] = lambda _: None


def of_study(on: On, study: Study, trials: int | None = None) -> list[Program]:
    """Compile the training of each cell of a study, by default for as many trials as its first round has.

    Raises:
        ValueError: the study does not fit its data, or not even one trial fits the device.
    """
    count = COARSE if trials is None else checks.value("trials", trials, Count)
    dataset, made = configs.load_data(study.workload), []
    cells.check(study, dataset)
    for cell in cells.of(study, cells.facts(study, dataset)):
        on.say(f"{cell.optimizer}, batch size {cell.batch_size:,}")
        asked = task.resolve(cell.config, dataset)
        data = {name: shape(asked.cell.network, dataset, getattr(dataset, name)) for name in asked.splits}

        def make(trials: int, cell: StudyCell = cell) -> tuple[Engine, Any]:
            return population.compile_ahead(cell.config, cell.space, trials, dataset, (1, 1), [on.device])

        made.append(found(on.known, make, count, data))
    return made


def of_network(
    on: On, widths: Sequence[int], names: Sequence[str], sizes: Sequence[int | str], trials: int, examples: int
) -> list[Program]:
    """Compile the training of a network with each named optimizer at each batch size, on rows of bytes.

    Raises:
        ValueError: there are fewer than two widths, a value is not allowed, or not even one trial fits the device.
    """
    if len(widths) < 2:
        raise ValueError(f"widths {list(widths)} are no network; give inputs, hidden layers and outputs, at least two")
    whole = {name: checks.value(name, value, Count) for name, value in {"trials": trials, "examples": examples}.items()}
    network, mesh = (
        Network(inputs=widths[0], hidden=tuple(widths[1:-1]), outputs=widths[-1]),
        devices.mesh((1, 1), [on.device]),
    )
    data, made = rows(network, whole["examples"]), []
    for name, size in itertools.product(names, sizes):
        on.say(f"{name}, batch size {size}")
        cell = Cell(network=network, optimizer=name, batch_size=examples if size == "full" else int(size))
        sampling.check_size(cell.batch_size, examples)

        def make(trials: int, cell: Cell = cell) -> tuple[Engine, Any]:
            engine = Engine(cell, mesh, placement.block("auto", mesh, cell, trials))
            return engine, engine.compile(Clock(), data, trial.complete(cell), engine.lanes(trials), POINTS)

        made.append(found(on.known, make, trials, data))
    return made


def rows(network: Network, examples: int) -> dict[str, Data]:
    """Return the shapes of `examples` rows of bytes for training, and of a ninth as many for validation."""
    real = jax.ShapeDtypeStruct((), jnp.result_type(float))

    def of(count: int) -> Data:
        x = jax.ShapeDtypeStruct((count, network.inputs), np.uint8)
        return Data(x, jax.ShapeDtypeStruct((count,), np.int32), real, real)  # pyright: ignore[reportArgumentType]

    return {"train": of(examples), "validation": of(max(1, examples // 9))}


def found(
    known: Accelerator | None, make: Callable[[int], tuple[Engine, Any]], trials: int, data: Mapping[str, Data]
) -> Program:
    """Compile training by `make` for `trials` trials, and return what it takes on a device with the `known` data.

    If so many do not fit, half as many are tried, and so on.

    Raises:
        ValueError: not even one trial fits.
    """
    asked = trials
    while True:
        try:
            engine, compiled = make(trials)
            break
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if trials == 1:
                raise ValueError(f"not even one trial fits: {str(error).splitlines()[0]}") from error
            trials = -(-trials // 2)
    cell, lanes = engine.cell, engine.lanes(trials)
    at_once = 1 if engine.block is None else engine.block or lanes
    taken, (held, _) = placement.program_bytes(compiled), trial.needed_bytes(cell, trial.complete(cell))
    x = data["train"].x
    floor = 2 * held + min(cell.batch_size, x.shape[0]) * x.shape[1] * x.dtype.itemsize
    head = Program(cell, asked, lanes, at_once, taken, None, None, floor, None, "–")
    if known is None:
        return head
    free = devices.MEMORY_SHARE * known.memory - placement.data_bytes(data)
    fit = placement.holding(engine, compiled, lanes, data, free)
    step = of_step(Module(compiled.as_text()), steps_at_once(cell, engine.mesh))
    step = step if known.platform == "cuda" else step._replace(waits=None)
    needs = seconds(step, at_once * ceilings.flops(ceilings.products(cell.network, cell.batch_size)), known)
    limit = max(needs, key=lambda name: needs[name])
    total = needs.pop("host", 0.0) + max(needs.values())
    return head._replace(fit=fit, step=step, seconds=total / at_once, limit=limit)


def seconds(step: Step, flops: float, known: Accelerator) -> dict[str, float]:
    """Estimate the seconds that a step takes for each resource it needs: memory, products, kernels, host."""
    needs = {"memory": step.bytes / known.bytes_per_second, "products": flops / known.flops_per_second}
    if known.platform == "cuda":
        return needs | {"kernels": step.kernels * LAUNCH, "host": (step.waits or 0) * WAIT}
    return needs | ({"cycles": step.cycles / known.hertz} if known.hertz else {})


def of_step(module: Module, steps: int) -> Step:
    """Return what one step takes, if `steps` of them make a block.

    Raises:
        ValueError: the text has no step.
    """
    loop, around = _loops(module)
    body = module.body(loop)

    def each(of: hlo.Count) -> float:
        own = module.within(loop, of) / (loop.turns or 1)
        if steps == 1 or around is None:
            return own
        return own + (module.total(module.body(around), of) - module.within(loop, of)) / steps

    unknown = 1.0 if loop.turns is None else 1 / steps  # the host looks after each step, or else after each block
    inside = list(module.inside(body))
    return Step(
        kernels=each(hlo.launched),
        bytes=each(module.moved),
        waits=each(hlo.waits) + unknown,
        cycles=each(hlo.cycles),
        loops=sum(one.opcode == "while" for one in inside),
        collectives=sum(one.collective for one in inside),
    )


def _loops(module: Module) -> tuple[Instruction, Instruction | None]:
    """Return the loop over steps, which is the innermost loop around a step, and the loop around it, if any."""
    there = [each for each in module.loops() if module.mentions(module.body(each), trial.STEP)]
    there = [each for each in there if trial.STEP not in each.rest]
    if not there:
        raise ValueError("the compiled text has no loop over steps; compile mlp_jax's own `advance`")
    return there[-1], there[-2] if len(there) > 1 else None


def table(programs: Iterable[Program], title: str) -> str:
    """Return the programs as text, a row for each."""
    heads = (
        "network", "optimizer", "B", "trials", "at once", "MB", "most trials", "kernels a step", "host waits a step",
        "MB a trial-step", "of the floor", "est. µs a trial-step", "limited by",
    )  # fmt: skip
    return "\n".join([title, tables.text(heads, map(_row, programs))])


def to_json(program: Program) -> dict[str, Any]:
    """Return a program as plain values; None stands for unknown."""
    cell, step = program.cell, program.step
    named = {"network": list(cell.network.widths), "optimizer": cell.optimizer, "batch_size": cell.batch_size}
    said = {
        "trials": program.asked,
        "compiled": program.lanes,
        "at_once": program.at_once,
        "bytes": program.bytes,
        "most_trials": program.fit,
        "fits": None if program.fit is None else program.fit >= program.asked,
        "kernels_per_step": step and step.kernels,
        "host_waits_per_step": step and step.waits,
        "loops_in_a_step": step and step.loops,
        "bytes_per_trial_step": program.bytes_per_trial_step,
        "floor_bytes_per_trial_step": program.floor,
        "estimated_seconds_per_trial_step": program.seconds,
        "limited_by": None if program.seconds is None else program.limit,
    }
    return named | said


def _row(program: Program) -> tuple[str, ...]:
    cell, step, moved = program.cell, program.step, program.bytes_per_trial_step
    named = ("-".join(map(str, cell.network.widths)), cell.optimizer, f"{cell.batch_size:,}", f"{program.asked:,}")
    fit = "–" if program.fit is None else f"{program.fit:,}"
    head = (*named, f"{program.at_once:,}", f"{program.bytes / 1e6:,.1f}", fit)
    if step is None or not moved or program.seconds is None:
        return (*head, "–", "–", "–", "–", "–", program.limit)
    waits = "–" if step.waits is None else f"{step.waits:.3f}"
    counts = f"{step.kernels:.1f}", waits, f"{moved / 1e6:.3f}", f"{program.floor / moved:.0%}"
    return (*head, *counts, f"{1e6 * program.seconds:.2f}", program.limit)
