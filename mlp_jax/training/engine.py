"""Where trials are computed: sharded over a mesh, one after another or several at once on each device.

Invariant: a program here computes for each trial what `mlp_jax.trial` computes for it alone; a trial that is not
active costs nothing where trials are mapped, and keeps its state everywhere. Devices along the data axis hold the same
trials and share their rows; all of them know the sums over all rows, so they take the same turns.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree, UInt32

from mlp_jax import losses, trial
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import Program
from mlp_jax.training import meshes
from mlp_jax.trial import Cell, Data, TrialState

PLACEMENTS = ("auto", "map", "vmap")
EACH, EVERYWHERE = PartitionSpec("trial"), PartitionSpec()


class Programs(NamedTuple):
    """The programs of one cell; arguments and results have a leading axis of trials, sharded over that of `mesh`.

    `block` is how many trials a device takes at once: None is one, in a loop of its own that ends with it; 0 is all.
    """

    cell: Cell
    mesh: Mesh
    block: int | None

    @property
    def shards(self) -> int:
        """How many parts the trials are divided into."""
        return self.mesh.shape["trial"]

    @property
    def multiple(self) -> int:
        """What the number of trials must be a multiple of."""
        return self.shards * (self.block or 1)

    @property
    def compilations(self) -> int:
        """How many training programs have been compiled, one for each number of trials."""
        return len(_advance(*self).compiled)

    def put(self, values: PyTree) -> PyTree:
        """Shard arrays over the devices by their leading axis."""
        return jax.device_put(values, NamedSharding(self.mesh, EACH))

    def put_everywhere(self, values: PyTree) -> PyTree:
        """Copy arrays to every device."""
        return meshes.put_everywhere(self.mesh, values)

    def start(self, clock: Clock, hyper: dict[str, Array], seeds: UInt32[Array, " trials"]) -> TrialState:
        """Return the states before the first step."""
        return _start(self.cell.starting, self.mesh, self.block)("training", clock, hyper, seeds)

    def advance(
        self,
        clock: Clock,
        data: Data,
        hyper: dict[str, Array],
        seeds: UInt32[Array, " trials"],
        states: TrialState,
        num_steps: Int[Array, " trials"],
    ) -> TrialState:
        """Take num_steps steps, 0 or one other number for all; donates `states`.

        A trial that fails stops; where several are taken at once its parameters stay non-finite instead.
        """
        return _advance(*self)("training", clock, data, hyper, seeds, states, num_steps)

    def evaluate(self, clock: Clock, data: Data, params: PyTree, active: Bool[Array, " trials"]) -> losses.Sums:
        """Return the sums of `trial.evaluate` for the active trials, and anything for the others."""
        return _evaluate(self.cell.evaluating, self.mesh, self.block)("evaluation", clock, data, params, active)


@lru_cache(maxsize=256)
def _start(cell: Cell, mesh: Mesh, block: int | None) -> Program:
    return _program(lambda *arguments: _mapped(partial(trial.start, cell), block, *arguments), mesh, EACH, EACH)


@lru_cache(maxsize=256)
def _advance(cell: Cell, mesh: Mesh, block: int | None) -> Program:
    axis = meshes.data_axis(mesh)

    def alone(data: Data, hyper: dict, seeds: Array, states: TrialState, num_steps: Array) -> TrialState:
        def turn(i, states: TrialState) -> TrialState:
            take = partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
            own_hyper, seed, state, num = jax.tree.map(take, (hyper, seeds, states, num_steps))
            moved = trial.steps(cell, own_hyper, seed, data, state, num, axis)
            return jax.tree.map(partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0), states, moved)

        # lax.map would put the new states where no pages are yet: a quarter of a call of 256 trials of 784-256-128-10
        return jax.lax.fori_loop(0, num_steps.shape[0], turn, states)

    def together(data: Data, hyper: dict, seeds: Array, states: TrialState, num_steps: Array) -> TrialState:
        one_step = jax.vmap(lambda hyper, seed, state: trial.step(cell, hyper, seed, data, state, axis))
        moved = jax.lax.fori_loop(0, jnp.max(num_steps), lambda _, states: one_step(hyper, seeds, states), states)
        return jax.tree.map(partial(_where, num_steps > 0), moved, states)

    def advance(data: Data, *of_trials: Any) -> TrialState:
        if block is None:
            return alone(data, *of_trials)
        return _in_blocks(partial(together, data), block, *of_trials)

    return _program(advance, mesh, EVERYWHERE, EACH, EACH, EACH, EACH, donate=(3,))


@lru_cache(maxsize=256)
def _evaluate(cell: Cell, mesh: Mesh, block: int | None) -> Program:
    axis = meshes.data_axis(mesh)

    def evaluate(data: Data, params: PyTree, active: Array) -> losses.Sums:
        def one(params: PyTree, active: Array) -> losses.Sums:
            shapes = jax.eval_shape(partial(trial.evaluate, cell), params, data)
            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            return jax.lax.cond(active, lambda: trial.evaluate(cell, params, data, axis), lambda: nothing)

        return _mapped(one, block, params, active)

    return _program(evaluate, mesh, EVERYWHERE, EACH, EACH)


def _program(function: Callable, mesh: Mesh, *specs: PartitionSpec, donate: tuple[int, ...] = ()) -> Program:
    sharded = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=EACH, check_vma=False)
    return Program(jax.jit(sharded, donate_argnums=donate))


def on_cpu(mesh: Mesh) -> bool:
    """Tell whether the devices are CPU cores."""
    return mesh.devices.flat[0].platform == "cpu"


def block(placement: str | int, mesh: Mesh) -> int | None:
    """Return the block that `placement` means: map, vmap, a number of trials, or auto (map on CPU, vmap elsewhere).

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(placement, int) and placement >= 1:
        return None if placement == 1 else placement
    if placement not in PLACEMENTS:
        raise ValueError(f"unknown placement {placement!r}; choose {', '.join(PLACEMENTS)} or a number of at least 1")
    return None if placement == "map" or (placement == "auto" and on_cpu(mesh)) else 0


def fitting(programs: Programs, hyper: Mapping[str, object], data_bytes: int) -> int:
    """Return how many trials fit on the devices at once beside the data; states count twice, programs may copy them.

    Raises:
        ValueError: not even one does.
    """
    held, working = trial.needed_bytes(programs.cell, hyper)
    free = devices.free_memory(programs.mesh.devices.flat[0])
    together = programs.block == 0
    each = 2 * held + (working if together else 0)
    shared = data_bytes + (0 if together else working * (programs.block or 1))
    devices.check_memory(each + shared, programs.mesh.devices.flat[0])
    return int((devices.MEMORY_SHARE * free - shared) // each) * programs.shards


def _mapped(function: Callable, block: int | None, *arguments: Any) -> Any:
    """Apply `function` of one trial to each of a device's trials: in turn, or `block` (0: all) at once."""
    if block is None:
        return jax.lax.map(lambda of_one: function(*of_one), arguments)
    return _in_blocks(jax.vmap(function), block, *arguments)


def _in_blocks(function: Callable, block: int, *arguments: Any) -> Any:
    """Apply `function` of `block` (0: all) trials to a device's trials, whose number `block` divides."""
    if block == 0:
        return function(*arguments)
    split = jax.tree.map(lambda leaf: leaf.reshape(-1, block, *leaf.shape[1:]), arguments)
    done = jax.lax.map(lambda of_some: function(*of_some), split)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), done)


def _where(mask: Bool[Array, " trials"], chosen: Array, other: Array) -> Array:
    return jnp.where(mask.reshape(-1, *(1,) * (chosen.ndim - 1)), chosen, other)
