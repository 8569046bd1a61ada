"""Fit estimators: epoch after epoch on the device, until the loss or a score no longer gets better.

Invariant: a fit is a pure function of the plan, the hyper-parameters, the seed and the data, and computes each step as
`mlp_jax.trial` does. Many fits are mapped over lanes, and each of them ends by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt32

from mlp_jax import losses, model, rows, sampling, trial
from mlp_jax.losses import Sums
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.programs import shared
from mlp_jax.model import Params
from mlp_jax.optimizers import Hyper
from mlp_jax.rows import Data
from mlp_jax.training import engine
from mlp_jax.training.placement import block
from mlp_jax.trial import Cell, TrialState


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides the program of a fit: its cell, whether rows are shuffled, whether held-out rows decide its end.

    `room` is the largest number of epochs whose losses are kept.
    """

    cell: Cell
    shuffled: bool
    early: bool
    room: int


Values = Any  # numbers, or arrays of them on the host or on the device


class Rules(NamedTuple):
    """When a fit ends: after `epochs`, or once more than `patience` epochs in a row have not improved by `tol`."""

    epochs: Values
    tol: Values
    patience: Values


class Part(NamedTuple):
    """The rows that train: the first `number` of `which`; with None all rows, each with its weight."""

    which: Array | np.ndarray | None
    number: Values


class Fit(NamedTuple):
    """The state of a fit: `best` is the least loss or the highest score, `stale` the number of epochs since then.

    `kept` holds the parameters of the highest score, or is an empty tuple if no rows are held out.
    """

    state: TrialState
    epoch: Int[Array, ""]
    best: Float[Array, ""]
    stale: Int[Array, ""]
    kept: Params
    losses: Float[Array, " room"]
    scores: Float[Array, " room"]

    def params(self, cell: Cell) -> Params:
        """Return the parameters that are the result of the fit."""
        return self.kept or trial.found(cell, self.state)


def begin(plan: Plan, state: TrialState) -> Fit:
    """Return a fit that starts from the parameters and the optimizer's state in `state`."""
    real, room = jnp.result_type(float), jnp.full(plan.room, jnp.nan)
    best = jnp.asarray(-jnp.inf if plan.early else jnp.inf, real)
    kept = trial.found(plan.cell, state) if plan.early else ()
    return Fit(state, jnp.int32(0), best, jnp.int32(0), kept, room, room if plan.early else room[:0])


def go_on(
    plan: Plan, rules: Rules, hyper: Hyper, seed: UInt32[Array, ""], data: Data, part: Part, held: Data | None, fit: Fit
) -> Fit:
    """Run a fit until the rules end it; `held` holds the rows that are scored."""
    goes = lambda fit: (fit.epoch < rules.epochs) & (fit.stale <= rules.patience) & (fit.state.failed < 0)

    def epoch(fit: Fit) -> Fit:
        state, loss = _epoch(plan, hyper, seed, data, part, fit.state)
        noted = fit._replace(state=state, epoch=fit.epoch + 1, losses=fit.losses.at[fit.epoch].set(loss))
        if held is None:
            stale = jnp.where(loss > fit.best - rules.tol, fit.stale + 1, 0)
            return noted._replace(best=jnp.minimum(fit.best, loss), stale=stale)
        params = trial.found(plan.cell, state)
        score = scored(sums(plan.cell, params, held))
        better = score > fit.best
        kept = jax.tree.map(partial(jnp.where, better), params, fit.kept)
        stale = jnp.where(score < fit.best + rules.tol, fit.stale + 1, 0)
        best = jnp.where(better, score, fit.best)
        return noted._replace(best=best, stale=stale, kept=kept, scores=fit.scores.at[fit.epoch].set(score))

    return jax.lax.while_loop(goes, epoch, fit)


def _epoch(
    plan: Plan, hyper: Hyper, seed: UInt32[Array, ""], data: Data, part: Part, state: TrialState
) -> tuple[TrialState, Float[Array, ""]]:
    """Take the steps of one epoch; return the state and the mean of the steps' losses."""
    size = plan.cell.batch_size
    steps = jnp.int32(1) if part.which is None else -(-jnp.asarray(part.number, jnp.int32) // size)
    end = state.step + steps

    def step(carried: tuple) -> tuple:
        state, total = carried
        index = None
        if part.which is not None:
            drawn = sampling.of_epochs(seed, state.step, part.number, len(part.which), size, plan.shuffled)
            index = part.which[drawn]
        state = trial.step(plan.cell, hyper, seed, data, state, index=index)
        return state, total + state.loss

    goes = lambda carried: (carried[0].step < end) & (carried[0].failed < 0)
    state, total = jax.lax.while_loop(goes, step, (state, jnp.zeros_like(state.loss)))
    return state, total / steps


def sums(cell: Cell, params: Params, data: Data) -> Sums:
    """Sum loss and metrics over `data`, each row multiplied by its weight."""
    shift = losses.middle(data.y[: trial.EVALUATION_ROWS]) if losses.is_regression(cell.loss) else 0.0

    def of_rows(x, y, counted):
        z = jax.vmap(partial(model.forward, cell.network, params))(x)
        return losses.sums(cell.network, cell.loss, z, y, counted, shift)

    return rows.summed(of_rows, data, trial.EVALUATION_ROWS, overlap=True)


def scored(sums: Any) -> Float[Array, "*lanes"]:
    """Return the accuracy, or R² over all outputs together: of equal targets 1 if all are met, otherwise 0."""
    if isinstance(sums, losses.ClassificationSums):
        return jnp.where(jnp.isfinite(sums.loss), 1 - sums.errors / sums.n, jnp.nan)
    variation = sums.y_squared - sums.y**2 / sums.n
    of_equals = jnp.where(sums.squared == 0, 1, 0 * sums.squared)  # NaN stays NaN
    return jnp.where(variation > 0, 1 - sums.squared / variation, of_equals)


class Many(NamedTuple):
    """The values of each of many fits; `fold` is the row of `Folds` that a fit uses."""

    rules: Rules
    hyper: Mapping[str, Any]
    seed: Any
    fold: Any


class Folds(NamedTuple):
    """The values of each fold, stacked: which rows train, targets, constants, weights.

    `held`, `tested` and `trained` have a 1 for each row that belongs to the set, otherwise 0: `held` are the rows that
    decide when a fit ends, `tested` and `trained` those on which it is scored.
    """

    part: Part
    y: Any
    center: Any
    scale: Any
    weight: Any
    held: Any
    tested: Any
    trained: Any


class Found(NamedTuple):
    """The results of many fits; `params` only if they were asked for."""

    tested: Sums
    trained: Sums | None
    epochs: Array
    failed: Array
    params: Params


def alone(
    plan: Plan, rules: Rules, hyper: Hyper, seed: int, data: Data, part: Part, held: Data | None, fit: Fit
) -> Fit:
    """Run one fit to its end in a compiled program, and return it on the host."""
    arguments = (_plain(rules), _plain(hyper), np.uint32(seed), data, part, held, fit)
    return jax.device_get(shared(_alone, plan)("training", Clock(), *arguments))


def start(cell: Cell, hyper: Hyper, seed: int) -> TrialState:
    """Return the first state, with weights drawn from the seed."""
    return shared(_start, cell.starting)("training", Clock(), _plain(hyper), np.uint32(seed))


def many(plan: Plan, mesh: Mesh, x: Array | np.ndarray, folds: Folds, lanes: Many, keep: bool) -> Found:
    """Run many fits to their ends in one compiled program over the devices of `mesh`, and return their results."""
    count = len(lanes.seed)
    lanes = jax.tree.map(lambda leaf: _padded(np.asarray(leaf), mesh.shape["trial"]), lanes)
    found = jax.device_get(shared(_many, plan, mesh, keep)("training", Clock(), x, folds, lanes))
    return jax.tree.map(lambda leaf: leaf[:count], found)


def _alone(plan: Plan) -> Callable:
    return jax.jit(partial(go_on, plan))


def _start(cell: Cell) -> Callable:
    return jax.jit(partial(trial.start, cell))


def _many(plan: Plan, mesh: Mesh, keep: bool) -> Callable:
    def one(x: Array, folds: Folds, lane: Many) -> Found:
        of = jax.tree.map(lambda leaf: leaf[lane.fold], folds)
        data = Data(x, of.y, of.center, of.scale, of.weight)
        held = None if of.held is None else data._replace(weight=of.held)
        start = begin(plan, trial.start(plan.cell, lane.hyper, lane.seed))
        fit = go_on(plan, lane.rules, lane.hyper, lane.seed, data, of.part, held, start)
        params = fit.params(plan.cell)
        over = lambda weight: sums(plan.cell, params, data._replace(weight=weight))
        trained = None if of.trained is None else over(of.trained)
        return Found(over(of.tested), trained, fit.epoch, fit.state.failed, params if keep else ())

    def each(x: Array, folds: Folds, lanes: Many) -> Found:
        trials = len(lanes.seed) * mesh.shape["trial"]
        return engine.mapped(partial(one, x, folds), block("auto", mesh, plan.cell, trials), lanes)

    everywhere, of_lanes = engine.EVERYWHERE, engine.EACH
    return engine.program(each, mesh, everywhere, everywhere, of_lanes)


def _padded(leaf: np.ndarray, multiple: int) -> np.ndarray:
    """Return `leaf` with its last entry repeated until its length is a multiple of `multiple`."""
    return np.concatenate([leaf, np.repeat(leaf[-1:], -len(leaf) % multiple, axis=0)])


def _plain(tree: Any) -> Any:
    """Return numbers as arrays of the default types, so that one program serves all fits."""
    real = np.dtype(jnp.result_type(float))
    kind = lambda leaf: np.int32 if isinstance(leaf, int) else real
    return jax.tree.map(lambda leaf: np.asarray(leaf, kind(leaf)), tree)
