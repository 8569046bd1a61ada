"""The gradient noise scale B_simple = trΣ/|G|² of given parameters: exact, and estimated from batches of two sizes.

Invariant: trΣ and |G|² are kept apart until the end; averages are taken of each, never of their ratio.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from mlp_jax import losses, model
from mlp_jax.model import ACTIVATIONS, Layer, Network, Params

ROWS = 512  # examples differentiated at once by `exact`: memory is bounded by their activations


class NoiseScale(NamedTuple):
    """trΣ of the gradients of single examples and |G|² of their mean, both in (loss per parameter)²; or estimates."""

    trace: Float[Array, ""]
    squared_norm: Float[Array, ""]

    @property
    def b_simple(self) -> Float[Array, ""]:
        """Return trΣ/|G|², in examples: the batch size at which noise and gradient weigh the same."""
        return self.trace / self.squared_norm


class Average(NamedTuple):
    """Probes averaged: their number, the mean of (trΣ, |G|²), and the sum of outer products of deviations from it."""

    number: Float[Array, ""]
    mean: Float[Array, "2"]
    spread: Float[Array, "2 2"]


class Interval(NamedTuple):
    """B_simple (NaN if mean |G|² is not above 0) with its interval; `high` is inf where |G|² is not told from 0."""

    value: float
    low: float
    high: float


def factors(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, " inputs"],
    y: Num[Array, "*label"],
    label_smoothing: Float[Array, ""] | float = 0.0,
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return what enters each layer, a, and δ = ∂loss/∂z of each layer, for one example.

    They are the example's gradient: δ aᵀ in W and δ in b. δ is the derivative by a zero that is added to z.
    """

    def shifted(zeros: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        a = jnp.append(x, jnp.ones((), x.dtype)) if network.bias == "ones" else x
        entered, z = [a], a
        for layer, zero in zip(params, zeros):
            z = model.affine(layer, entered[-1]) + zero
            entered.append(ACTIVATIONS[network.activation](z))
        return losses.LOSSES[loss](network, z, y, label_smoothing), tuple(entered[:-1])

    zeros = tuple(jnp.zeros(layer.W.shape[0], layer.W.dtype) for layer in params)
    deltas, entered = jax.grad(shifted, has_aux=True)(zeros)
    return entered, deltas


@partial(jax.jit, static_argnums=(0, 1))
def squared_norms(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, "n inputs"],
    y: Num[Array, "n *label"],
    label_smoothing: Float[Array, ""] | float = 0.0,
) -> Float[Array, " n"]:
    """Return |g_i|² of each example: Σ over layers of (|a|² + 1)·|δ|², the 1 where the layer has a b (Goodfellow 2015).

    The feature of ones under `bias="ones"` is part of the first a.
    """
    entered, deltas = _all_factors(network, loss, params, x, y, label_smoothing)
    return _squared_norms(params, entered, deltas)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="rows")
def exact(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, "n inputs"],
    y: Num[Array, "n *label"],
    *,
    l2: Float[Array, ""] | float = 0.0,
    label_smoothing: Float[Array, ""] | float = 0.0,
    rows: int = ROWS,
) -> NoiseScale:
    """Return trΣ = mean |g_i|² − |mean g_i|² and |G|² over all rows of `x` (McCandlish et al. 2018, B_simple).

    `l2` is the factor of the penalty ½‖W‖² in the loss; it is part of G and the same for every example.

    Raises:
        ValueError: as `exact_by_pieces`.
    """

    def take(begin, size: int) -> tuple[Array, Array]:
        return jax.lax.dynamic_slice_in_dim(x, begin, size), jax.lax.dynamic_slice_in_dim(y, begin, size)

    return exact_by_pieces(network, loss, params, take, x.shape[0], l2, label_smoothing, rows)


def exact_by_pieces(
    network: Network,
    loss: str,
    params: Params,
    take: Callable[[Int[Array, ""] | int, int], tuple[Array, Array]],
    n: int,
    l2: Float[Array, ""] | float = 0.0,
    label_smoothing: Float[Array, ""] | float = 0.0,
    rows: int = ROWS,
) -> NoiseScale:
    """Return what `exact` does over `n` examples of which `take(begin, size)` gives x and y: they are never all there.

    One pass, `rows` examples at a time: their a and δ give the norms as well as the sum Σ δ aᵀ of the gradients.

    Raises:
        ValueError: there are no examples, or `rows` is not positive.
    """
    if n < 1 or rows < 1:
        raise ValueError(f"{n} examples, {rows} at a time, are not allowed; give at least 1 of both")

    def piece(begin, size: int):
        entered, deltas = _all_factors(network, loss, params, *take(begin, size), label_smoothing)
        grads = tuple(
            Layer(jnp.einsum("no,ni->oi", delta, a), None if layer.b is None else jnp.sum(delta, axis=0))
            for layer, a, delta in zip(params, entered, deltas)
        )
        return jnp.sum(_squared_norms(params, entered, deltas)), grads

    pieces, rest = divmod(n, rows)
    zero = jax.tree.map(jnp.zeros_like, (jnp.zeros((), params[0].W.dtype), params))
    begin = piece(pieces * rows, rest) if rest else zero
    add = lambda i, so_far: jax.tree.map(jnp.add, so_far, piece(i * rows, rows))
    total, grads = jax.lax.fori_loop(0, pieces, add, begin) if pieces else begin
    grads = jax.tree.map(lambda value: value / n, grads)
    trace = jnp.maximum(total / n - _squared_norm(grads), 0)  # below 0 by rounding alone
    pulled = tuple(Layer(grad.W + l2 * layer.W, grad.b) for grad, layer in zip(grads, params))
    return NoiseScale(trace, _squared_norm(pulled))


def estimate(
    small: Float[Array, ""], big: Float[Array, ""], small_size: int, big_size: int, examples: int | None = None
) -> NoiseScale:
    """Estimate trΣ and |G|² without bias from |G|² of batches of two sizes (McCandlish et al. 2018, appendix A).

    |G|² = (B_big·big − B_small·small)/(B_big − B_small) and trΣ = (small − big)/(1/B_small − 1/B_big) if examples are
    drawn with replacement. Without it, from `examples` ones, the batches see less noise, E|G_B|² = |G|² +
    trΣ'·(1/B − 1/N) with trΣ' = trΣ·N/(N − 1): the estimates are those of trΣ' and |G|² − trΣ'/N, which is undone.

    Args:
        small: |gradient|² of a batch of `small_size`, or the mean over several such batches.
        big: |gradient|² of a batch of `big_size`; the small ones may be parts of it.
        examples: how many there are, N, if a batch holds none twice; None if it is drawn with replacement.

    Raises:
        ValueError: the sizes are not 1 ≤ small < big, or big is above `examples`.
    """
    if not 1 <= small_size < big_size:
        raise ValueError(f"batch sizes {small_size} and {big_size} are not allowed; give 1 ≤ small < big")
    squared_norm = (big_size * big - small_size * small) / (big_size - small_size)
    trace = (small - big) / (1 / small_size - 1 / big_size)
    if examples is None:
        return NoiseScale(trace, squared_norm)
    if big_size > examples:
        raise ValueError(f"batch size {big_size} is above the number of examples, {examples}; give a smaller batch")
    return NoiseScale(trace * (examples - 1) / examples, squared_norm + trace / examples)


@partial(jax.jit, static_argnums=(0, 1), static_argnames=("small_size", "examples"))
def probe(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, "batch inputs"],
    y: Num[Array, "batch *label"],
    *,
    small_size: int,
    examples: int | None = None,
    l2: Float[Array, ""] | float = 0.0,
    label_smoothing: Float[Array, ""] | float = 0.0,
) -> NoiseScale:
    """Estimate trΣ and |G|² from one mini-batch and its parts of `small_size` rows, one part at a time.

    One probe is noisy and its |G|² may be negative: `add` many to an Average. Draw the rows for the probe alone,
    from all examples: a training step's are those that the parameters have not yet seen in its epoch.

    Raises:
        ValueError: the rows are not at least two parts of `small_size`, or as `estimate`.
    """
    parts, rest = divmod(x.shape[0], small_size) if small_size > 0 else (0, 0)
    if parts < 2 or rest:
        raise ValueError(f"{x.shape[0]} rows are not two or more parts of {small_size}; choose a divisor as small_size")

    def mean_loss(params: Params, x: Array, y: Array) -> Array:
        of_example = lambda x, y: losses.LOSSES[loss](network, model.forward(network, params, x), y, label_smoothing)
        return jnp.mean(jax.vmap(of_example)(x, y)) + l2 * losses.penalty(params)

    def part(so_far, rows):
        grads = jax.grad(mean_loss)(params, *rows)
        return jax.tree.map(jnp.add, so_far, (_squared_norm(grads), grads)), None

    split = jax.tree.map(lambda array: array.reshape(parts, small_size, *array.shape[1:]), (x, y))
    zero = jax.tree.map(jnp.zeros_like, (jnp.zeros((), params[0].W.dtype), params))
    norms, grads = jax.tree.map(lambda value: value / parts, jax.lax.scan(part, zero, split)[0])
    return estimate(norms, _squared_norm(grads), small_size, x.shape[0], examples)


def no_probes() -> Average:
    """Return the average of nothing, to which probes are added."""
    return Average(jnp.zeros(()), jnp.zeros(2), jnp.zeros((2, 2)))


def add(average: Average, probe: NoiseScale) -> Average:
    """Return the average with one more probe in it (Welford 1962); pure, so it may be scanned and mapped."""
    value, count = jnp.stack([probe.trace, probe.squared_norm]), average.number + 1
    away = value - average.mean
    mean = average.mean + away / count
    return Average(count, mean, average.spread + jnp.outer(away, value - mean))


def interval(average: Average, level: float = 0.95) -> Interval:
    """Return mean trΣ / mean |G|² with Fieller's interval of a ratio of means (Fieller 1954), on the host.

    B is in it where the mean of trΣ − B·|G|² is 0 within its t interval: (s − B·g)² ≤ t²·Var(s − B·g), for B ≥ 0.
    Over steps of training it is about the ratio of the averages, while the probes hardly depend on each other.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"level {level!r} is not allowed; give a number between 0 and 1, such as 0.95")
    count, (s, g) = float(average.number), (float(value) for value in average.mean)
    if count < 2 or g <= 0:
        return Interval(s / g if g > 0 else math.nan, 0.0, math.inf)
    factor = float(stdtrit(count - 1, (1 + level) / 2)) ** 2 / (count * (count - 1))
    (ss, sg), (_, gg) = (factor * average.spread).tolist()
    return Interval(s / g, *_between_roots(g * g - gg, s * g - sg, s * s - ss))


def _between_roots(a: float, b: float, c: float) -> tuple[float, float]:
    """Return the ends of the B ≥ 0 with a·B² − 2·b·B + c ≤ 0, the part above its gap where there are two parts."""
    root = math.sqrt(max(b * b - a * c, 0.0))
    if a > 0:
        return max((b - root) / a, 0.0), max((b + root) / a, 0.0)
    return c / (b + root) if c > 0 and b + root > 0 else 0.0, math.inf


def _all_factors(network: Network, loss: str, params: Params, x: Array, y: Array, label_smoothing):
    return jax.vmap(lambda x, y: factors(network, loss, params, x, y, label_smoothing))(x, y)


def _squared_norms(params: Params, entered: tuple[Array, ...], deltas: tuple[Array, ...]) -> Array:
    squares = lambda array: jnp.sum(array**2, axis=1)
    each = [(squares(a) + (layer.b is not None)) * squares(delta) for layer, a, delta in zip(params, entered, deltas)]
    return jnp.sum(jnp.stack(each), axis=0)


def _squared_norm(grads: Params) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(grads)]))
