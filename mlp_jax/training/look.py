"""What trials do between two looks of the host, as a pure function: steps, evaluations, tests of target and failure.

Invariant: it computes for each trial what `mlp_jax.trial` computes for it alone, however many trials run together, and
however training is divided into looks. A trial that has ended keeps its state.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from mlp_jax import stopping, trial
from mlp_jax.losses import Sums
from mlp_jax.rows import Data
from mlp_jax.trial import Cell, TrialState


class Look(NamedTuple):
    """What the trials on the devices do until the host looks again: train from step `begin` to `until`, and evaluate.

    Trials are evaluated at those of the steps `points[first:due]` that are `wanted`. The target is met at point number
    k if the monitored split's sums over the n evaluations at the points `windows[k]` to k are within `limits[n - 1]`
    (see `stopping.limit`).
    """

    begin: ArrayLike
    until: ArrayLike
    first: ArrayLike
    due: ArrayLike
    points: Array | np.ndarray
    wanted: Array | np.ndarray
    windows: Array | np.ndarray
    limits: Array | np.ndarray


class Lanes(NamedTuple):
    """The trials on the devices, one in each lane: their states, and their sums at each point.

    `seen` is the number of the first point that a trial has not reached, `met` the number of the point at which it met
    the target (−1: none so far). `state.failed` may also be the step of an evaluation whose loss was not finite.
    """

    state: TrialState
    sums: dict[str, Sums]
    batch_loss: Float[Array, "lanes points"]
    seen: Int[Array, " lanes"]
    met: Int[Array, " lanes"]


def to_look(
    cell: Cell,
    splits: tuple[str, ...],
    by_loss: bool,
    axis: str | None,
    steps: int,
    several: bool,
    look: Look,
    data: dict[str, Data],
    hyper: dict[str, Array],
    seed: Array,
    running: Array,
    lanes: Lanes,
) -> Lanes:
    """Advance one trial, or several in step, to the end of a look; the target is about the first of `splits`."""
    each = jax.vmap if several else lambda function: function
    alive = lambda lanes: running & (lanes.state.failed < 0) & (lanes.met < 0)
    of_params = lambda params: {split: trial.evaluate(cell, params, data[split], axis) for split in splits}
    measure = each(lambda state: of_params(trial.found(cell, state)))
    walk = _in_blocks_of_steps if several or steps > 1 else _to_step

    def turn(carry: tuple) -> tuple:
        number, step, lanes = carry
        due = number < look.due
        end = jnp.where(due, look.points[number], look.until)
        on = alive(lanes)
        state = walk(cell, axis, steps, each, data["train"], hyper, seed, on, lanes.state, step, end)
        lanes = lanes._replace(state=state)
        now = alive(lanes) & due & look.wanted[number]
        nothing = zeros(jax.eval_shape(measure, state))
        found = jax.lax.cond(jnp.any(now), lambda: measure(state), lambda: nothing)
        return number + 1, end, _noted(splits[0], by_loss, look, lanes, number, end, found, now)

    def going(carry: tuple) -> Bool[Array, ""]:
        number, step, lanes = carry
        return ((number < look.due) | (step < look.until)) & jnp.any(alive(lanes))

    return jax.lax.while_loop(going, turn, (look.first, look.begin, lanes))[2]


def _noted(
    monitor: str,
    by_loss: bool,
    look: Look,
    lanes: Lanes,
    number: Array,
    step: Array,
    found: dict[str, Sums],
    now: Array,
) -> Lanes:
    """Store the sums at a point for the trials that have reached it, and which of them end there."""
    put = lambda room, value: jax.lax.dynamic_update_index_in_dim(
        room, jnp.where(now, value, jax.lax.dynamic_index_in_dim(room, number, -1, keepdims=False)), number, -1
    )
    finite, sums = jnp.isfinite(found[monitor].loss), jax.tree.map(put, lanes.sums, found)
    met = finite & _met(sums[monitor], number, look, by_loss)
    state = lanes.state._replace(failed=jnp.where(now & ~finite, step, lanes.state.failed))
    return Lanes(
        state,
        sums,
        put(lanes.batch_loss, lanes.state.loss),
        jnp.where(now, number + 1, lanes.seen),
        jnp.where(now & met, number, lanes.met),
    )


def _met(sums: Sums, number: Array, look: Look, by_loss: bool) -> Bool[Array, "*lanes"]:
    """Tell whether the sums over a point's window meet the target."""
    place = jnp.arange(sums.n.shape[-1])
    window = (place >= look.windows[number]) & (place <= number)
    near = jnp.broadcast_to(window, sums.n.shape) & (sums.n > 0)
    together = jax.tree.map(lambda leaf: jnp.sum(jnp.where(near, leaf, 0), axis=-1, dtype=leaf.dtype), sums)
    return stopping.meets(together, look.limits[jnp.sum(near, axis=-1) - 1], by_loss)


def _to_step(cell, axis, _, each, data, hyper, seed, on, state: TrialState, begin, end) -> TrialState:
    """Advance one running trial from step `begin` to `end`, in a loop that ends early if the trial does."""
    return trial.steps(cell, hyper, seed, data, state, end - begin, axis)


def _in_blocks_of_steps(cell, axis, steps, each, data, hyper, seed, on, state: TrialState, begin, end) -> TrialState:
    """Advance trials from step `begin` to `end` in blocks of equally many steps; surplus steps change nothing.

    The indices of a block are drawn together, since drawing needs a loop of unknown length.
    """
    of_one = lambda seed, step: trial.draw(cell, seed, step, data.x.shape[0], ahead=steps > 1)
    draw = jax.vmap(of_one, in_axes=(0, None)) if seed.ndim else of_one
    move = each(lambda hyper, seed, state, index: trial.step(cell, hyper, seed, data, state, axis, index=index))

    def block(number, state: TrialState) -> TrialState:
        first = begin + number * steps
        indices = jax.vmap(lambda step: draw(seed, step))(first + jnp.arange(steps))

        def one(i, state: TrialState) -> TrialState:
            index = jax.tree.map(lambda all_: all_[i], indices)
            takes = on & (state.failed < 0) & (first + i < end)
            return jax.tree.map(partial(_where, takes), move(hyper, seed, state, index), state)

        return jax.lax.fori_loop(0, steps, one, state)

    return jax.lax.fori_loop(0, -(-(end - begin) // steps), block, state)


def zeros(shapes: PyTree) -> PyTree:
    """Return arrays of zeros of these shapes."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _where(mask: Bool[Array, "*lanes"], chosen: Array, other: Array) -> Array:
    return jnp.where(mask.reshape(mask.shape + (1,) * (chosen.ndim - mask.ndim)), chosen, other)
