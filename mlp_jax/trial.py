"""One trial as a pure function of (hyper-parameters, seed): start, step, advance, evaluate.

Invariant: the state after t steps depends on the cell, the hyper-parameters, the seed and the data alone, bit for bit
on one device, however the steps were divided between calls of `advance`.

Where a function takes an `axis` of a mesh, the devices along it share the rows: each gets the same arguments, sums over
its part of the rows, and returns the sum over all of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt32

from mlp_jax import checks, losses, model, noise_scale, optimizers, rows, sampling
from mlp_jax.checks import Count, choose
from mlp_jax.losses import Sums
from mlp_jax.model import Network, Params
from mlp_jax.optimizers import REGULARIZERS, Hyper
from mlp_jax.rows import Data

GRADIENT_ROWS = 512  # rows differentiated at once: their activations stay in the cache, and memory stays bounded
EVALUATION_ROWS = 1000
STEP = "one_step"  # what a compiled program's text calls a step
NOISE = ("noise_trace", "noise_squared_norm", "noise_scale")  # columns of a history


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All that decides which program a trial runs: its network, loss, optimizer, schedule, batch size and sampling.

    Trials of one cell share a compiled program; their hyper-parameters and seeds are values that go into it.

    >>> cell = Cell(network=Network(inputs=4, hidden=(8,), outputs=3), optimizer="adam", batch_size=16)
    >>> cell.loss, cell.schedule
    ('cross_entropy', 'constant')

    Raises:
        ValueError: a name is unknown, or the loss does not fit the network's output.
    """

    network: Network
    loss: str = "cross_entropy"
    optimizer: str = "momentum"
    schedule: str = "constant"
    batch_size: Count = 32
    sampling: str = "epochs"
    version: str = ""
    """Version of the optimizer, for one of your own a hash of its module; filled in if it is left out."""

    def __post_init__(self) -> None:
        checks.fields(self, batch_size="batch size")
        losses.check(self.network, self.loss)
        object.__setattr__(self, "version", self.version or optimizers.version(self.optimizer))
        choose("schedule", self.schedule, optimizers.SCHEDULES)
        choose("sampling", self.sampling, sampling.SAMPLINGS)

    @property
    def starting(self) -> "Cell":
        """The part of the cell that `start` depends on, so that all batch sizes share its program."""
        return Cell(network=self.network, loss=self.loss, optimizer=self.optimizer, schedule=self.schedule)

    @property
    def evaluating(self) -> "Cell":
        """The part of the cell that `evaluate` and `noise` depend on: all optimizers and batch sizes share theirs."""
        return Cell(network=self.network, loss=self.loss)


class TrialState(NamedTuple):
    """A trial between two steps.

    `step` counts updates; `loss` is the last mini-batch's, before its update; `failed` is the number of the step
    whose loss was not finite, −1 while there is none. A failed trial takes no further step.
    """

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    loss: Float[Array, ""]
    failed: Int[Array, ""]


def complete(cell: Cell, **given: float | None) -> dict[str, float]:
    """Return all hyper-parameters of a trial of `cell`: those that are given, and the defaults of the others.

    A hyper-parameter that is given as None gets its default.

    >>> cell = Cell(network=Network(inputs=4, outputs=3), optimizer="momentum")
    >>> complete(cell, learning_rate=0.5)
    {'learning_rate': 0.5, 'momentum': 0.9}

    Raises:
        ValueError: as `optimizers.complete`.
    """
    regular = {key: value for key in REGULARIZERS if (value := given.pop(key, None)) is not None}
    check_regularizers(regular)
    if "label_smoothing" in regular and losses.is_regression(cell.loss):
        raise ValueError(f"label_smoothing is for classes; loss {cell.loss!r} has none: leave it out")
    return optimizers.complete(cell.optimizer, cell.schedule, **given) | regular


def check_regularizers(given: Mapping[str, float | None]) -> None:
    """Raise a ValueError unless each of `given` that is not None is in its domain."""
    for key, value in given.items():
        if value is not None:
            optimizers.check_value(key, value, REGULARIZERS[key])


def needed_bytes(cell: Cell, hyper: Mapping[str, object]) -> tuple[int, int]:
    """Estimate how many bytes a trial keeps on its device between steps, and how many more a step or evaluation needs.

    A step needs room for the gradient and, for each row that is computed at once, the values of every layer forward and
    backward.
    """
    real = jnp.result_type(float)
    names = {name: jax.ShapeDtypeStruct((), real) for name in hyper}
    state = jax.eval_shape(partial(start, cell), names, jax.ShapeDtypeStruct((), jnp.uint32))
    size = lambda tree: sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    rows = max(min(cell.batch_size, 2 * GRADIENT_ROWS), EVALUATION_ROWS)
    return size(state), size(state.params) + 2 * rows * sum(cell.network.widths) * real.itemsize


def start(cell: Cell, hyper: Hyper, seed: UInt32[Array, ""]) -> TrialState:
    """Return the state before the first step; the seed alone decides the weights, whatever the optimizer and its rate.

    >>> cell = Cell(network=Network(inputs=4, hidden=(8,), outputs=3))
    >>> state = start(cell, complete(cell), jnp.uint32(0))
    >>> int(state.step), [layer.W.shape for layer in state.params]
    (0, [(8, 4), (3, 8)])
    """
    params = model.init(jax.random.key(seed), cell.network)
    opt_state = optimizers.build(cell.optimizer, cell.schedule, hyper).init(params)  # pyright: ignore[reportArgumentType]
    return TrialState(jnp.int32(0), params, opt_state, jnp.zeros(()), jnp.int32(-1))


def draw(
    cell: Cell, seed: UInt32[Array, ""], step: Int[Array, ""], n: int, ahead: bool = False
) -> Int[Array, " batch"] | None:
    """Return which of the `n` rows form the mini-batch of a step, or None if all of them do.

    Args:
        ahead: whether the mini-batches of many steps are drawn together; see `sampling.permute`.
    """
    if cell.batch_size == n and cell.sampling == "epochs":
        return None
    size, how = cell.batch_size, cell.sampling
    return sampling.minibatch(seed, step.astype(jnp.uint32), n=n, batch_size=size, sampling=how, ahead=ahead)


def step(
    cell: Cell,
    hyper: Hyper,
    seed: UInt32[Array, ""],
    data: Data,
    state: TrialState,
    axis: str | None = None,
    index: Int[Array, " batch"] | None = None,
) -> TrialState:
    """Take one iteration: draw a mini-batch, forward, backward, update.

    `index` is what `draw` returned for this step, if it was called before; mini-batches of many steps can be drawn at
    once.

    >>> from mlp_jax import load
    >>> dataset = load("iris")
    >>> cell = Cell(network=Network(inputs=4, hidden=(8,), outputs=3), batch_size=16)
    >>> data = rows.place(cell.network, dataset, dataset.train)
    >>> hyper, seed = complete(cell), jnp.uint32(0)
    >>> state = start(cell, hyper, seed)
    >>> int(step(cell, hyper, seed, data, state).step)
    1
    """
    with jax.named_scope(STEP):
        index = draw(cell, seed, state.step, data.x.shape[0]) if index is None else index
        loss, grads = gradient(cell, hyper, data, state.params, index, axis)
        of_cell = (cell.optimizer, cell.schedule, hyper)
        params, opt_state = optimizers.update(*of_cell, grads, state.opt_state, state.params, loss)
    failed = jnp.where((state.failed < 0) & ~jnp.isfinite(loss), state.step, state.failed)
    return TrialState(state.step + 1, params, opt_state, loss, failed)


def gradient(
    cell: Cell, hyper: Hyper, data: Data, params: Params, index: Int[Array, " batch"] | None, axis: str | None = None
) -> tuple[Float[Array, ""], Params]:
    """Return the mean loss over the rows `index` (None: all rows), plus its L2 regularisation, and the gradient.

    If the data have weights, each row's loss is multiplied by its weight, and the sum divided by the number of rows.
    More than GRADIENT_ROWS rows are differentiated piece by piece.
    """
    smoothing = hyper.get("label_smoothing", 0.0)

    def of_rows(x, y, mask):
        summed_loss = lambda params: losses.total(cell.network, cell.loss, params, x, y, smoothing, mask)
        return jax.value_and_grad(summed_loss)(params)

    total = data.x.shape[0] if index is None else index.shape[0]
    sums = rows.summed(of_rows, data, GRADIENT_ROWS, axis, index=index, whole=2)
    loss, grads = jax.tree.map(lambda value: value / total, sums)
    if "l2" in hyper:
        penalty, pull = jax.value_and_grad(losses.penalty)(params)
        loss, grads = jax.tree.map(lambda value, more: value + hyper["l2"] * more, (loss, grads), (penalty, pull))
    return loss, grads


def steps(
    cell: Cell,
    hyper: Hyper,
    seed: UInt32[Array, ""],
    data: Data,
    state: TrialState,
    num_steps: Int[Array, ""],
    axis: str | None = None,
) -> TrialState:
    """Take `num_steps` (traced) iterations, fewer when the trial fails; the function that `advance` compiles.

    >>> from mlp_jax import load
    >>> dataset = load("iris")
    >>> cell = Cell(network=Network(inputs=4, hidden=(8,), outputs=3), batch_size=16)
    >>> data = rows.place(cell.network, dataset, dataset.train)
    >>> hyper, seed = complete(cell), jnp.uint32(0)
    >>> state = advance(cell, hyper, seed, data, start(cell, hyper, seed), jnp.int32(100))
    >>> int(state.step)
    100
    """
    end = state.step + num_steps
    one = lambda state: step(cell, hyper, seed, data, state, axis)
    return jax.lax.while_loop(lambda state: (state.step < end) & (state.failed < 0), one, state)


def found(cell: Cell, state: TrialState) -> Params:
    """Return the parameters to evaluate, save and predict with; some optimizers take their gradients at others."""
    return optimizers.evaluated(cell.optimizer, state.opt_state, state.params)


advance = jax.jit(steps, static_argnums=0, donate_argnums=4)
"""`steps`, compiled once per cell and shape of the data; donates `state`."""


@partial(jax.jit, static_argnums=(0, 3))
def evaluate(cell: Cell, params: Params, data: Data, axis: str | None = None) -> Sums:
    """Sum the loss and the metrics over all rows of `data`; `losses.metrics` divides the sums.

    The rows are taken EVALUATION_ROWS at a time; each counts once, also where they do not divide evenly.

    >>> from mlp_jax import load
    >>> dataset = load("iris")
    >>> cell = Cell(network=Network(inputs=4, outputs=3, init="zeros"))
    >>> data = rows.place(cell.network, dataset, dataset.test)
    >>> params = start(cell, complete(cell), jnp.uint32(0)).params
    >>> int(evaluate(cell, params, data).n)
    30
    """
    shift = losses.middle(data.y[:EVALUATION_ROWS]) if losses.is_regression(cell.loss) else 0.0

    def of_rows(x, y, mask):
        z = jax.vmap(partial(model.forward, cell.network, params))(x)
        return losses.sums(cell.network, cell.loss, z, y, mask, shift)

    return rows.summed(of_rows, data._replace(weight=None), EVALUATION_ROWS, axis, overlap=True)


@partial(jax.jit, static_argnums=0)
def noise(cell: Cell, regularizers: Hyper, params: Params, data: Data) -> dict[str, Float[Array, ""]]:
    """Measure the gradient noise over all of `data`: trΣ, |G|² and their ratio, named as in NOISE.

    `regularizers` holds each of REGULARIZERS, 0 where there is none, so that all runs share one program.
    """
    l2, smoothing = regularizers["l2"], regularizers["label_smoothing"]
    found = noise_scale.exact(cell.network, cell.loss, params, data, l2=l2, label_smoothing=smoothing)
    return dict(zip(NOISE, (found.trace, found.squared_norm, found.b_simple)))
