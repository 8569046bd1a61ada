"""Minimise a loss by its full gradient: fixed rate, line search, conjugate gradients, L-BFGS, in one table.

Invariant: every solver is an optax chain of a direction and a search along it. Every evaluation of the loss is counted,
so that one full gradient can be compared with one epoch of SGD. How a solver ends is a status, never an exception.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from mlp_jax import losses, rows
from mlp_jax.checks import choose
from mlp_jax.model import Network, Params
from mlp_jax.rows import Data

ROWS = 512  # rows evaluated at once: their activations stay in the cache, and memory stays bounded
SEARCH_STEPS = 30  # trial points along one direction
ROUNDING = 1e-6  # a float32 loss that rises by less than this share counts as unchanged


def mean_loss(
    network: Network, data: Data, loss: str = "cross_entropy", l2: float = 0.0
) -> Callable[[Params], Float[Array, ""]]:
    """Return the mean loss over all rows plus ½·l2·‖W‖² as a function of the parameters.

    Rows are evaluated ROWS at a time, and the gradient is summed piece by piece, so activations are not kept. The
    function is a pytree, so that its rows are arguments of a compiled program.

    Raises:
        ValueError: `loss` does not fit `network`.
    """
    losses.check(network, loss)
    return jax.tree_util.Partial(_MeanLoss(network, loss), data, jnp.asarray(l2, jnp.result_type(float)))


class Iterate(NamedTuple):
    """The state of a solver: `functions` counts losses alone, `gradients` counts losses with their gradient.

    `failures` counts the line searches in a row that failed.
    """

    params: PyTree
    loss: Float[Array, ""]
    gradient: PyTree
    opt_state: PyTree
    functions: Int[Array, ""]
    gradients: Int[Array, ""]
    failures: Int[Array, ""]


class History(NamedTuple):
    """One entry for each iterate, beginning with the start; the norm is that of the whole gradient (Euclidean)."""

    loss: Float[np.ndarray, " k"]
    gradient_norm: Float[np.ndarray, " k"]
    functions: Int[np.ndarray, " k"]
    gradients: Int[np.ndarray, " k"]

    @property
    def passes(self) -> Int[np.ndarray, " k"]:
        """Passes over the data: a loss alone counts as one, like a gradient, though it is about a third of the work."""
        return self.functions + self.gradients


class Solution(NamedTuple):
    """The last parameters; `status` is CONVERGED, BUDGET, LINE_SEARCH_FAILED or NON_FINITE."""

    params: PyTree
    status: str
    history: History


dot: Callable[[PyTree, PyTree], Any] = optax.tree.vdot

# β as numerator and denominator, from the gradient g, its change y, the gradient before and the direction before.
# They are written out, since optimistix 0.1.0 has the opposite sign in the last two, and treats a squared norm below
# float32's epsilon as 0.
CONJUGACY: dict[str, Callable[[PyTree, PyTree, PyTree, PyTree], tuple[Any, Any]]] = {
    "cg_fletcher_reeves": lambda g, y, before, d: (dot(g, g), dot(before, before)),
    "cg_polak_ribiere": lambda g, y, before, d: (jnp.maximum(dot(g, y), 0.0), dot(before, before)),  # PR+
    "cg_hestenes_stiefel": lambda g, y, before, d: (dot(g, y), dot(d, y)),
    "cg_dai_yuan": lambda g, y, before, d: (dot(g, g), dot(d, y)),
}


def conjugate_gradient(name: str) -> optax.GradientTransformation:
    """Turn gradients into directions d ← −g + βd, or −g if d would not descend; β is 0 at first (optimistix)."""
    import optimistix

    def beta(g: PyTree, before: PyTree, d: PyTree) -> Array:
        change = jax.tree.map(jnp.subtract, g, before)
        numerator, denominator = CONJUGACY[name](g, change, before, d)
        return jnp.where(denominator == 0, 0.0, numerator / jnp.where(denominator == 0, 1.0, denominator))

    descent: Any = optimistix.NonlinearCGDescent(beta)

    def update(updates, state, params=None):
        state = descent.query(params, optimistix.FunctionInfo.EvalGrad(jnp.zeros(()), updates), state)
        return state.y_diff, state

    return optax.GradientTransformation(lambda params: descent.init(params, None), update)


def _search(curvature: float, first_step: str) -> optax.GradientTransformationExtraArgs:
    """Return a line search for the strong Wolfe conditions: `curvature` is 0.9 for L-BFGS, 0.4 for CG as in SciPy.

    Nocedal & Wright (2006) give 0.1 for conjugate gradients; on MNIST 0.4 came further within 100 passes.
    """
    return optax.scale_by_zoom_linesearch(
        SEARCH_STEPS, curv_rtol=curvature, approx_dec_rtol=ROUNDING, initial_guess_strategy=first_step
    )


def _halving() -> optax.GradientTransformationExtraArgs:
    return optax.scale_by_backtracking_linesearch(
        SEARCH_STEPS, decrease_factor=0.5, increase_factor=2.0, max_learning_rate=math.inf
    )


SOLVERS: dict[str, Callable[[Any], optax.GradientTransformationExtraArgs]] = {
    "gradient_descent": lambda rate: optax.chain(optax.scale(-rate)),
    "gradient_descent_line_search": lambda rate: optax.chain(optax.scale(-1.0), _halving()),
    **{name: lambda rate, name=name: optax.chain(conjugate_gradient(name), _search(0.4, "keep")) for name in CONJUGACY},
    "lbfgs": lambda rate: optax.lbfgs(memory_size=10, linesearch=_search(0.9, "one")),
}


def solve(
    name: str,
    loss: Callable[[Any], Float[Array, ""]],
    params: PyTree,
    *,
    budget: int,
    tolerance: float = 1e-5,
    learning_rate: float | None = None,
) -> Solution:
    """Minimise `loss` from `params` with the solver `name` of SOLVERS.

    If a line search fails, it starts again along −g; if that fails too, the run ends.

    Args:
        loss: a pure function; it is compiled once, and a `mean_loss` once for its network and shape of rows.
        budget: passes over the data after which no new iteration begins; an iteration that has begun is finished.
        tolerance: the Euclidean norm of the gradient at or below which the solver has CONVERGED.
        learning_rate: the step of `gradient_descent`; the other solvers find their own.

    Raises:
        ValueError: the solver is unknown, or an argument is outside its range.
    """
    choose("solver", name, SOLVERS)
    _check(name, budget, tolerance, learning_rate)
    loss = jax.tree_util.Partial(loss) if jax.tree_util.all_leaves([loss]) else loss
    rate = jnp.asarray(0.0 if learning_rate is None else learning_rate, jnp.result_type(float))
    now = _start(name, loss, rate, params)
    rows = [_row(now)]
    while (status := _status(rows[-1], int(now.failures), budget, tolerance)) is None:
        now = _iterate(name, loss, rate, now)
        rows.append(_row(now))
    return Solution(now.params, status, History(*map(np.asarray, zip(*rows))))


@partial(jax.jit, static_argnums=0)
def _start(name: str, loss: Callable, rate: Float[Array, ""], params: PyTree) -> Iterate:
    value, gradient = jax.value_and_grad(loss)(params)
    zero = jnp.int32(0)
    return Iterate(params, value, gradient, SOLVERS[name](rate).init(params), zero, zero + 1, zero)


@partial(jax.jit, static_argnums=0)
def _iterate(name: str, loss: Callable, rate: Float[Array, ""], now: Iterate) -> Iterate:
    """Take one step; if the search finds no lower loss, stay and forget the earlier directions."""
    chain: Any = SOLVERS[name](rate)
    updates, opt_state = chain.update(
        now.gradient, now.opt_state, now.params, value=now.loss, grad=now.gradient, value_fn=loss
    )
    params, search = optax.apply_updates(now.params, updates), opt_state[-1]
    value, gradient, functions, gradients = _evaluated(loss, params, search)
    counts = now.functions + functions, now.gradients + gradients
    moved = Iterate(params, value, gradient, opt_state, *counts, jnp.int32(0))
    if isinstance(search, optax.EmptyState):  # a fixed rate searches nothing
        return moved
    stayed = Iterate(now.params, now.loss, now.gradient, chain.init(now.params), *counts, now.failures + 1)
    found = (search.learning_rate > 0) & (value <= now.loss + ROUNDING * jnp.abs(now.loss))
    return jax.tree.map(partial(jnp.where, found), moved, stayed)


def _evaluated(loss: Callable, params: PyTree, search: Any) -> tuple[Any, PyTree, Any, Any]:
    """Return loss and gradient at the chosen point, and how many losses and gradients were computed to find it."""
    if isinstance(search, optax.ScaleByZoomLinesearchState):  # it knows the gradient of each point that it tried
        return search.value, search.grad, 0, search.info.num_linesearch_steps
    trials = 0 if isinstance(search, optax.EmptyState) else search.info.num_linesearch_steps
    return *jax.value_and_grad(loss)(params), trials, 1


def _row(now: Iterate) -> tuple[float, float, int, int]:
    values = jax.device_get((now.loss, optax.tree.norm(now.gradient), now.functions, now.gradients))
    return tuple(value.item() for value in values)


def _status(row: tuple[float, float, int, int], failures: int, budget: int, tolerance: float) -> str | None:
    loss, norm, functions, gradients = row
    if not (math.isfinite(loss) and math.isfinite(norm)):
        return "NON_FINITE"
    if norm <= tolerance:
        return "CONVERGED"
    if failures > 1:
        return "LINE_SEARCH_FAILED"
    return "BUDGET" if functions + gradients >= budget else None


def _check(name: str, budget: int, tolerance: float, learning_rate: float | None) -> None:
    if budget < 1:
        raise ValueError(f"budget {budget!r} is not allowed; give a number of passes of at least 1")
    if not tolerance >= 0:
        raise ValueError(f"tolerance {tolerance!r} is not allowed; give a gradient norm of at least 0")
    if name != "gradient_descent" and learning_rate is not None:
        raise ValueError(f"solver {name!r} finds its own step; leave learning_rate out")
    if name == "gradient_descent" and (learning_rate is None or not math.isfinite(learning_rate)):
        raise ValueError(f"learning_rate {learning_rate!r} is not allowed; gradient_descent needs a finite number")


@dataclass(frozen=True)
class _MeanLoss:
    """The static part of a mean loss; two with equal fields are the same function, which is compiled once."""

    network: Network
    loss: str

    def __call__(self, data: Data, l2: Array, params: Params) -> Array:
        mean: Any = _mean(self, data, params)
        return mean + l2 * losses.penalty(params)

    def summed(self, x: Array, y: Array, mask: Array | None, params: Params) -> Array:
        return losses.total(self.network, self.loss, params, x, y, mask=mask)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mean(of: _MeanLoss, data: Data, params: Params) -> Any:
    return _over_pieces(data, of.summed, params)


def _mean_and_gradient(of: _MeanLoss, data: Data, params: Params) -> tuple[Array, Params]:
    return _over_pieces(data, jax.value_and_grad(of.summed, argnums=3), params)


_mean.defvjp(_mean_and_gradient, lambda of, gradient, outer: (None, jax.tree.map(lambda g: outer * g, gradient)))


def _over_pieces(data: Data, function: Callable, params: Params) -> Any:
    """Return the sum of `function` over pieces of the rows, divided by their number."""
    sums = rows.summed(lambda *of_rows: function(*of_rows, params), data, ROWS, overlap=True)
    return jax.tree.map(lambda part: part / len(data.x), sums)
