"""The compiled programs of a cell: trials start, go on to the next look, evaluated on the way, and are measured.

Invariant: a program computes for each trial what `mlp_jax.trial` computes for it alone. A trial that has ended (not
finite, target met) or is not running keeps its state, and costs nothing where trials are taken in turn. Devices along
the data axis hold the same trials and share their rows; all of them know the sums over all rows, so they take the
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
STEPS, INDICES = 32, 2**16  # of a block on an accelerator, whose loops of unknown length are driven by the host
LEAST_POINTS = 64  # the room for points is a power of two of at least this, so that few programs differ in it


class Engine(NamedTuple):
    """The programs of one cell over `mesh`; arguments and results have a leading axis of lanes, sharded over it.

    `block` is how many trials a device takes at once: None is one, in a loop of its own that ends with it; 0 is all.
    `splits` are evaluated on the way; the first of them is monitored, `by_loss` where the target is a loss.
    """

    cell: Cell
    mesh: Mesh
    block: int | None
    splits: tuple[str, ...] = ("validation",)
    by_loss: bool = False

    @property
    def shards(self) -> int:
        """How many parts the trials are divided into."""
        return self.mesh.shape["trial"]

    def lanes(self, trials: int) -> int:
        """Return how many lanes so many trials take: the next number that the devices and blocks divide."""
        multiple = self.shards * (self.block or 1)
        return -(-trials // multiple) * multiple

    @property
    def compilations(self) -> int:
        """How many training programs have been compiled, one for each number of lanes."""
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
        """Return lanes of these states, with room for what will be found at so many points."""
        return Lanes(states, *self.put(self._nothing(len(states.step), points)))

    def compile(self, clock: Clock, data: dict[str, Data], hyper: Iterable[str], lanes: int, points: int) -> Any:
        """Compile `advance` for so many lanes, ahead of its first call, and return that; `data` may be shapes.

        Args:
            hyper: the names of the hyper-parameters.
            points: how many there are, at most.
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
        """Compile the programs besides `advance`, and return them by name; `data` is one split, or its shapes."""
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
        """Return what is known of lanes before anything was found, all but the states, on the host."""
        size = max(LEAST_POINTS, 1 << (points - 1).bit_length())
        kinds = losses.nothing(self.cell.loss)
        sums = {split: jax.tree.map(lambda leaf: np.zeros((lanes, size), leaf.dtype), kinds) for split in self.splits}
        real = jnp.result_type(float)
        return sums, np.zeros((lanes, size), real), np.zeros(lanes, np.int32), np.full(lanes, -1, np.int32)

    def _used(self, data: dict[str, Data]) -> dict[str, Data]:
        """The splits that training looks at."""
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
        """Take the trials that run to the end of a look; donates `lanes`. Its time counts as `part`."""
        return self._advance(part, clock, look, self._used(data), hyper, seeds, running, lanes)

    def evaluate(self, clock: Clock, data: Data, params: PyTree, active: Bool[Array, " lanes"]) -> Sums:
        """Return the sums of `trial.evaluate` for the active trials, and anything for the others."""
        return self._of(_evaluate)("evaluation", clock, data, params, active)

    def noise(
        self, clock: Clock, data: Data, hyper: Mapping[str, Array], params: PyTree, active: Bool[Array, " lanes"]
    ):
        """Return what `trial.noise` measures for the active trials, and anything for the others."""
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

        # lax.map would put the new states where no pages are yet: a quarter of a call of 256 trials of 784-256-128-10
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
    """Return the program of a measurement of `one` trial, given the data, what is the trial's, and whether to do it."""

    def measure(data: Data, *of_trials: Any) -> Any:
        def asked(*of_trial: Any) -> Any:
            *given, active = of_trial
            if block is not None:  # a condition would become a choice there, and copy the data for each trial
                return one(data, *given)
            nothing = zeros(jax.eval_shape(one, data, *given))
            return jax.lax.cond(active, lambda: one(data, *given), lambda: nothing)

        return mapped(asked, block, *of_trials)

    def sharded(data: Data, *of_trials: Any) -> Any:
        specs = (EVERYWHERE, *(EACH for _ in of_trials))
        return jax.shard_map(measure, mesh=mesh, in_specs=specs, out_specs=EACH, check_vma=False)(data, *of_trials)

    return jax.jit(sharded)


def program(function: Callable, mesh: Mesh, *specs: PartitionSpec, donate: tuple[int, ...] = ()) -> Callable:
    """Return the program of a function whose arguments lie as `specs` say; its results have an axis of trials."""
    sharded = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=EACH, check_vma=False)
    return jax.jit(sharded, donate_argnums=donate)


def on_cpu(mesh: Mesh) -> bool:
    """Tell whether the devices are CPU cores."""
    return mesh.devices.flat[0].platform == "cpu"


def steps_at_once(cell: Cell, mesh: Mesh) -> int:
    """Return how many steps a block has: one on a CPU, whose loops may be of any length at no cost."""
    return 1 if on_cpu(mesh) else max(1, min(STEPS, INDICES // cell.batch_size))


def mapped(function: Callable, block: int | None, *arguments: Any) -> Any:
    """Apply `function` of one trial to each of a device's trials: in turn, or `block` (0: all) at once."""
    if block == 0:
        return jax.vmap(function)(*arguments)
    return jax.lax.map(lambda of_one: function(*of_one), arguments, batch_size=block)


def _shapes(sharding: NamedSharding, values: PyTree) -> PyTree:
    """Return the shapes of arrays, put where they will be."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), values)
