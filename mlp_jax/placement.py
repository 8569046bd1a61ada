"""Where trials are computed: sharded over a mesh, one after another or several at once on each device.

Invariant: a program here computes for each trial what `mlp_jax.trial` computes for it alone; a trial that is not
active costs nothing where trials are mapped, and keeps its state everywhere.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree, UInt32

from mlp_jax import devices, losses, trial
from mlp_jax.clocks import Clock
from mlp_jax.trial import Cell, Data, TrialState

# Parameters are copied on every step without it: it takes an eighth of the time of a step at batch size 1.
CPU_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}
PLACEMENTS = ("auto", "map", "vmap")


class Programs:
    """The compiled programs of one cell; arguments and results have a leading axis of trials, sharded over `mesh`.

    `block` is how many trials a device takes at once: None is one, in a loop of its own that ends with it; 0 is all.
    """

    def __init__(self, cell: Cell, mesh: Mesh, block: int | None) -> None:
        self.cell, self.mesh, self.block = cell, mesh, block
        self.compiled: dict[tuple, Callable] = {}
        each, everywhere = PartitionSpec("trial"), PartitionSpec()
        self._jitted = {
            "start": self._jit(self._start, each, each),
            "advance": self._jit(self._advance, everywhere, each, each, each, each, donate=(3,)),
            "evaluate": self._jit(self._evaluate, everywhere, each, each),
        }

    @property
    def multiple(self) -> int:
        """What the number of trials must be a multiple of."""
        return self.mesh.size * (self.block or 1)

    def put(self, values: PyTree) -> PyTree:
        """Shard arrays over the devices by their leading axis."""
        return jax.device_put(values, NamedSharding(self.mesh, PartitionSpec("trial")))

    def put_everywhere(self, values: PyTree) -> PyTree:
        """Copy arrays to every device."""
        return jax.device_put(values, NamedSharding(self.mesh, PartitionSpec()))

    def start(self, clock: Clock, hyper: dict[str, Array], seeds: UInt32[Array, " trials"]) -> TrialState:
        """Return the states before the first step."""
        return self._call("start", "training", clock, hyper, seeds)

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
        return self._call("advance", "training", clock, data, hyper, seeds, states, num_steps)

    def evaluate(self, clock: Clock, data: Data, params: PyTree, active: Bool[Array, " trials"]) -> losses.Sums:
        """Return the sums of `trial.evaluate` for the active trials, and anything for the others."""
        return self._call("evaluate", "evaluation", clock, data, params, active)

    def _call(self, name: str, part: str, clock: Clock, *arguments: Any) -> Any:
        """Run a program, compiled on its first use for these shapes, and await it."""
        key = (name, *((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arguments)))
        if key not in self.compiled:
            with clock("tracing"):
                lowered = self._jitted[name].trace(*arguments).lower()
            with clock("compilation"):
                self.compiled[key] = lowered.compile()
        with clock(part):
            return jax.block_until_ready(self.compiled[key](*arguments))

    def _jit(self, function: Callable, *specs: PartitionSpec, donate: tuple[int, ...] = ()) -> Any:
        each = PartitionSpec("trial")
        sharded = jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=each, check_vma=False)
        options = CPU_OPTIONS if on_cpu(self.mesh) else None
        return jax.jit(sharded, donate_argnums=donate, compiler_options=options)

    def _start(self, hyper: dict[str, Array], seeds: Array) -> TrialState:
        return _mapped(partial(trial.start, self.cell), self.block, hyper, seeds)

    def _advance(self, data: Data, hyper: dict, seeds: Array, states: TrialState, num_steps: Array) -> TrialState:
        if self.block is None:
            one = lambda hyper, seed, state, num: trial.steps(self.cell, hyper, seed, data, state, num)
            return _mapped(one, None, hyper, seeds, states, num_steps)
        return _in_blocks(partial(self._advance_together, data), self.block, hyper, seeds, states, num_steps)

    def _advance_together(self, data: Data, hyper: dict, seeds: Array, states: TrialState, num_steps: Array):
        one_step = jax.vmap(lambda hyper, seed, state: trial.step(self.cell, hyper, seed, data, state))
        moved = jax.lax.fori_loop(0, jnp.max(num_steps), lambda _, states: one_step(hyper, seeds, states), states)
        return jax.tree.map(partial(_where, num_steps > 0), moved, states)

    def _evaluate(self, data: Data, params: PyTree, active: Array) -> losses.Sums:
        def one(params: PyTree, active: Array) -> losses.Sums:
            shapes = jax.eval_shape(partial(trial.evaluate, self.cell), params, data)
            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            return jax.lax.cond(active, lambda: trial.evaluate(self.cell, params, data), lambda: nothing)

        return _mapped(one, self.block, params, active)


@lru_cache(maxsize=64)
def programs(cell: Cell, mesh: Mesh, block: int | None) -> Programs:
    """Return the programs of a cell; the same arguments give the same object, with what it has compiled."""
    return Programs(cell, mesh, block)


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
    return int((devices.MEMORY_SHARE * free - shared) // each) * programs.mesh.size


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
