"""The gradient noise scale B_simple = trΣ/|G|² of given parameters, exact over all examples.

Invariant: no gradient of a single example is ever written out; its norm comes from what enters and leaves each layer.
"""

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
    """trΣ of the gradients of single examples and |G|² of their mean, both in (loss per parameter)²."""

    trace: Float[Array, ""]
    squared_norm: Float[Array, ""]

    @property
    def b_simple(self) -> Float[Array, ""]:
        """Return trΣ/|G|², in examples: the batch size at which noise and gradient weigh the same."""
        return self.trace / self.squared_norm


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


def _all_factors(network: Network, loss: str, params: Params, x: Array, y: Array, label_smoothing):
    return jax.vmap(lambda x, y: factors(network, loss, params, x, y, label_smoothing))(x, y)


def _squared_norms(params: Params, entered: tuple[Array, ...], deltas: tuple[Array, ...]) -> Array:
    squares = lambda array: jnp.sum(array**2, axis=1)
    each = [(squares(a) + (layer.b is not None)) * squares(delta) for layer, a, delta in zip(params, entered, deltas)]
    return jnp.sum(jnp.stack(each), axis=0)


def _squared_norm(grads: Params) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(grads)]))
