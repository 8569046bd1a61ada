"""The compiled programs of a cell: start trials, advance them to the next look with evaluations, and measure them.

Invariant: a program computes for each trial what `mlp_jax.trial` computes for it alone. A trial that has ended (not
finite, target met) or is not running keeps its state, and costs no time if trials run one after another. Devices along
the data axis hold the same trials and share the rows; each of them knows the sums over all rows, so that all take the
same turns.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, PyTree, UInt32

from mlp_jax import losses, optimizers, stopping, trial
from mlp_jax.losses import Sums
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import Program, shared
from mlp_jax.training import meshes
from mlp_jax.training.look import Lanes, Look, to_look, zeros
from mlp_jax.trial import Cell, Data, TrialState

EACH, EVERYWHERE = PartitionSpec("trial"), PartitionSpec()
STEPS, INDICES = 32, 2**16  # in a block on an accelerator, where the host drives loops of unknown length
LEAST_POINTS = 64  # room for points is a power of two, at least this, so that fewer programs are needed


class Engine(NamedTuple):
    """The programs of one cell over `mesh`; arguments and results have a leading axis of lanes, sharded over it.

    `block` is the number of trials that a device runs at once: None means one at a time, in a loop that ends with the
    trial; 0 means all. `splits` are evaluated during training; the first one is monitored, by its loss if `by_loss`.
    """

    cell: Cell
    mesh: Mesh
    block: int | None
    splits: tuple[str, ...] = ("validation",)
    by_loss: bool = False

    @property
    def shards(self) -> int:
        """The number of parts into which the trials are divided."""
        return self.mesh.shape["trial"]

    def lanes(self, trials: int) -> int:
        """Return the number of lanes for so many trials: the next multiple of devices times block."""
        multiple = self.shards * (self.block or 1)
        return -(-trials // multiple) * multiple

    @property
    def compilations(self) -> int:
        """The number of training programs compiled so far, one for each number of lanes."""
        return len(self._advance.compiled)

    def put(self, values: PyTree) -> PyTree:
        """Shard arrays over the devices by their leading axis."""
        return jax.device_put(values, NamedSharding(self.mesh, EACH))

    def put_everywhere(self, values: PyTree) -> PyTree:
        """Copy arrays to every device."""
        return jax.device_put(values, NamedSharding(self.mesh, EVERYWHERE))

    def start(self, clock: Clock, hyper: dict[str, Array], seeds: UInt32[Array, " lanes"]) -> TrialState:
        """Return the states before the first step."""
        return self._start("training", clock, hyper, seeds)

    def room(self, states: TrialState, points: int) -> Lanes:
        """Return lanes with these states, and room for the results at `points` points."""
        return Lanes(states, *self.put(self._nothing(len(states.step), points)))

    def compile(self, clock: Clock, data: dict[str, Data], hyper: Iterable[str], lanes: int, points: int) -> Any:
        """Compile `advance` for so many lanes before its first call, and return the compiled function.

        Args:
            data: the splits, or their shapes.
            hyper: the names of the hyper-parameters.
            points: the largest number of points.
        """
        of_lanes, everywhere = (NamedSharding(self.mesh, place) for place in (EACH, EVERYWHERE))
        real = jnp.result_type(float)
        columns = {name: np.zeros(lanes, real) for name in hyper}
        seeds, running = np.zeros(lanes, np.uint32), np.zeros(lanes, bool)
        start = jax.vmap(partial(trial.start, self.cell.starting))
        nothing = self._nothing(lanes, points)
        empty = Lanes(jax.eval_shape(start, columns, seeds), *nothing)
        whole, size = np.int32(0), nothing[1].shape[1]
        room, kind = np.zeros(size, np.int32), stopping.limit(self.cell.loss, 1, None, by_loss=self.by_loss).dtype
        look = Look(whole, whole, whole, whole, room, room.astype(bool), room, room.astype(kind))
        placed = _shapes(of_lanes, (columns, seeds, running, empty))
        return self._advance.compile(clock, look, _shapes(everywhere, self._used(data)), *placed)

    def compile_rest(self, clock: Clock, data: Data, hyper: Iterable[str], lanes: int) -> dict[str, Any]:
        """Compile the programs other than `advance`, and return them by name; `data` is one split, or its shapes."""
        of_lanes, everywhere = (NamedSharding(self.mesh, place) for place in (EACH, EVERYWHERE))
        column = np.zeros(lanes, jnp.result_type(float))
        columns, seeds, active = dict.fromkeys(hyper, column), np.zeros(lanes, np.uint32), np.zeros(lanes, bool)
        params = jax.eval_shape(jax.vmap(partial(trial.start, self.cell.starting)), columns, seeds).params
        columns, regularizers = _shapes(of_lanes, (columns, dict.fromkeys(optimizers.REGULARIZERS, column)))
        seeds, params, active = _shapes(of_lanes, (seeds, params, active))
        data = _shapes(everywhere, data)
        return {
            "start": self._start.compile(clock, columns, seeds),
            "evaluate": self._of(_evaluate).compile(clock, data, params, active),
            "noise": self._of(_noise).compile(clock, data, regularizers, params, active),
        }

    def _nothing(self, lanes: int, points: int) -> tuple:
        """Return the fields of Lanes after the states, as they are before any evaluation, on the host."""
        size = max(LEAST_POINTS, 1 << (points - 1).bit_length())
        kinds = losses.nothing(self.cell.loss)
        sums = {split: jax.tree.map(lambda leaf: np.zeros((lanes, size), leaf.dtype), kinds) for split in self.splits}
        real = jnp.result_type(float)
        return sums, np.zeros((lanes, size), real), np.zeros(lanes, np.int32), np.full(lanes, -1, np.int32)

    def _used(self, data: dict[str, Data]) -> dict[str, Data]:
        """Return the splits that training reads."""
        return {split: data[split] for split in dict.fromkeys(("train", *self.splits))}

    def advance(
        self,
        part: str,
        clock: Clock,
        look: Look,
        data: dict[str, Data],
        hyper: dict[str, Array],
        seeds: UInt32[Array, " lanes"],
        running: Bool[Array, " lanes"],
        lanes: Lanes,
    ) -> Lanes:
        """Advance the running trials to the end of a look; donates `lanes`. The time counts as `part`."""
        return self._advance(part, clock, look, self._used(data), hyper, seeds, running, lanes)

    def evaluate(self, clock: Clock, data: Data, params: PyTree, active: Bool[Array, " lanes"]) -> Sums:
        """Return the sums of `trial.evaluate` for the active trials; those of other trials are meaningless."""
        return self._of(_evaluate)("evaluation", clock, data, params, active)

    def noise(
        self, clock: Clock, data: Data, hyper: Mapping[str, Array], params: PyTree, active: Bool[Array, " lanes"]
    ):
        """Return the measurements of `trial.noise` for the active trials; those of other trials are meaningless."""
        zeros = jnp.zeros_like(params[0].W[:, 0, 0])
        regularizers = {name: hyper.get(name, zeros) for name in optimizers.REGULARIZERS}
        return self._of(_noise)("evaluation", clock, data, regularizers, params, active)

    @property
    def _start(self) -> Program:
        return shared(_start, self.cell.starting, self.mesh, self.block)

    @property
    def _advance(self) -> Program:
        steps = steps_at_once(self.cell, self.mesh)
        return shared(_advance, self.cell, self.mesh, self.block, self.splits, self.by_loss, steps)

    def _of(self, measurement: Callable) -> Program:
        return shared(measurement, self.cell.evaluating, self.mesh, self.block)


def _start(cell: Cell, mesh: Mesh, block: int | None) -> Callable:
    return program(lambda *of_trials: mapped(partial(trial.start, cell), block, *of_trials), mesh, EACH, EACH)


def _advance(cell: Cell, mesh: Mesh, block: int | None, splits: tuple[str, ...], by_loss: bool, steps: int) -> Callable:
    walk = partial(to_look, cell, splits, by_loss, meshes.data_axis(mesh), steps, block is not None)

    def advance(look: Look, data: dict, hyper: dict, seeds: Array, running: Array, lanes: Lanes) -> Lanes:
        if block == 0:
            return walk(look, data, hyper, seeds, running, lanes)
        size = block or 1
        runs = running.reshape(-1, size).any(axis=1)
        order = jnp.nonzero(runs, size=runs.shape[0])[0].astype(jnp.int32)

        # lax.map would write new states into fresh pages: a quarter of a call's time for 256 trials of 784-256-128-10
        def turn(number, lanes: Lanes) -> Lanes:
            begin = order[number] * size
            cut = partial(jax.lax.dynamic_slice_in_dim, start_index=begin, slice_size=size)
            take = cut if block else (lambda leaf: cut(leaf)[0])
            moved = walk(look, data, *jax.tree.map(take, (hyper, seeds, running, lanes)))
            back = moved if block else jax.tree.map(lambda leaf: leaf[None], moved)
            return jax.tree.map(partial(jax.lax.dynamic_update_slice_in_dim, start_index=begin, axis=0), lanes, back)

        return jax.lax.fori_loop(0, jnp.sum(runs, dtype=jnp.int32), turn, lanes)

    return program(advance, mesh, EVERYWHERE, EVERYWHERE, EACH, EACH, EACH, EACH, donate=(5,))


def _evaluate(cell: Cell, mesh: Mesh, block: int | None) -> Callable:
    one = lambda data, params: trial.evaluate(cell, params, data, meshes.data_axis(mesh))
    return _measure(one, mesh, block)


def _noise(cell: Cell, mesh: Mesh, block: int | None) -> Callable:
    return _measure(lambda data, regularizers, params: trial.noise(cell, regularizers, params, data), mesh, block)


def _measure(one: Callable, mesh: Mesh, block: int | None) -> Callable:
    """Return a program that applies the measurement `one` to each active trial: data, its arguments, whether active."""

    def measure(data: Data, *of_trials: Any) -> Any:
        def asked(*of_trial: Any) -> Any:
            *given, active = of_trial
            if block is not None:  # vmap would turn a condition into a choice, and copy the data for each trial
                return one(data, *given)
            nothing = zeros(jax.eval_shape(one, data, *given))
            return jax.lax.cond(active, lambda: one(data, *given), lambda: nothing)

        return mapped(asked, block, *of_trials)

    def sharded(data: Data, *of_trials: Any) -> Any:
        specs = (EVERYWHERE, *(EACH for _ in of_trials))
        return jax.shard_map(measure, mesh=mesh, in_specs=specs, out_specs=EACH, check_vma=False)(data, *of_trials)

    return jax.jit(sharded)


def program(function: Callable, mesh: Mesh, *specs: PartitionSpec, donate: tuple[int, ...] = ()) -> Callable:
    """Return the program of a function whose arguments are sharded by `specs`; its results have an axis of trials."""
    sharded = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=EACH, check_vma=False)
    return jax.jit(sharded, donate_argnums=donate)


def on_cpu(mesh: Mesh) -> bool:
    """Tell whether the devices are CPU cores."""
    return mesh.devices.flat[0].platform == "cpu"


def steps_at_once(cell: Cell, mesh: Mesh) -> int:
    """Return the number of steps in a block: one on a CPU, where loops of unknown length cost nothing."""
    return 1 if on_cpu(mesh) else max(1, min(STEPS, INDICES // cell.batch_size))


def mapped(function: Callable, block: int | None, *arguments: Any) -> Any:
    """Apply a `function` of one trial to each of a device's trials: one by one, or `block` (0: all) at once."""
    if block == 0:
        return jax.vmap(function)(*arguments)
    return jax.lax.map(lambda of_one: function(*of_one), arguments, batch_size=block)


def _shapes(sharding: NamedSharding, values: PyTree) -> PyTree:
    """Return the shapes of arrays, with the sharding that the arrays will have."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), values)
