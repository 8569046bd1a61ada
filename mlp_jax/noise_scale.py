"""The gradient noise scale B_simple = trΣ/|G|² of given parameters, exact over all examples.

Invariant: no gradient of a single example is ever written out; its norm comes from what enters and leaves each layer.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from mlp_jax import losses, model, rows
from mlp_jax.model import ACTIVATIONS, Layer, Network, Params
from mlp_jax.rows import Data

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
    """Return, for one example, the input a of each layer, and δ = ∂loss/∂z of each layer.

    They give the example's gradient: δ aᵀ for W and δ for b. δ is the derivative with respect to a zero added to z.
    """

    def shifted(zeros: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        a = model.features(network, x)
        entered, z = [a], a
        for layer, zero in zip(params, zeros):
            z = model.affine(layer, entered[-1]) + zero
            entered.append(ACTIVATIONS[network.activation](z))
        return losses.LOSSES[loss](network, z, y, label_smoothing), tuple(entered[:-1])

    zeros = tuple(jnp.zeros(layer.W.shape[0], layer.W.dtype) for layer in params)
    deltas, entered = jax.grad(shifted, has_aux=True)(zeros)
    return entered, deltas


@partial(jax.jit, static_argnums=(0, 1), static_argnames="size")
def exact(
    network: Network,
    loss: str,
    params: Params,
    data: Data,
    *,
    l2: Float[Array, ""] | float = 0.0,
    label_smoothing: Float[Array, ""] | float = 0.0,
    size: int = ROWS,
) -> NoiseScale:
    """Return trΣ = mean |g_i|² − |mean g_i|² and |G|² over all rows of `data` (McCandlish et al. 2018, B_simple).

    It makes one pass, `size` examples at a time: a and δ give both the norms and the sum Σ δ aᵀ of the gradients.
    `l2` is the factor of the penalty ½‖W‖² in the loss; it is part of G and the same for every example.

    Raises:
        ValueError: there are no examples, or `size` is not positive.
    """
    n = len(data.x)
    if n < 1 or size < 1:
        raise ValueError(f"{n} examples, {size} at a time, are not allowed; give at least 1 of both")

    def of_rows(x: Array, y: Array, weight: Array | None) -> tuple[Array, Params]:
        entered, deltas = _all_factors(network, loss, params, x, y, label_smoothing)
        deltas = deltas if weight is None else tuple(delta * weight[:, None] for delta in deltas)
        grads = tuple(
            Layer(jnp.einsum("no,ni->oi", delta, a), None if layer.b is None else jnp.sum(delta, axis=0))
            for layer, a, delta in zip(params, entered, deltas)
        )
        return jnp.sum(_squared_norms(params, entered, deltas)), grads

    total, grads = rows.summed(of_rows, data, size)
    grads = jax.tree.map(lambda value: value / n, grads)
    trace = jnp.maximum(total / n - _squared_norm(grads), 0)  # only rounding makes it negative
    pulled = tuple(Layer(grad.W + l2 * layer.W, grad.b) for grad, layer in zip(grads, params))
    return NoiseScale(trace, _squared_norm(pulled))


def _all_factors(network: Network, loss: str, params: Params, x: Array, y: Array, label_smoothing):
    return jax.vmap(lambda x, y: factors(network, loss, params, x, y, label_smoothing))(x, y)


def _squared_norms(params: Params, entered: tuple[Array, ...], deltas: tuple[Array, ...]) -> Array:
    """Return |g_i|² of each example: Σ over layers of (|a|² + 1)·|δ|², the 1 where the layer has a b (Goodfellow 2015).

    The feature of ones under `bias="ones"` is part of the first a.
    """
    squares = lambda array: jnp.sum(array**2, axis=1)
    each = [(squares(a) + (layer.b is not None)) * squares(delta) for layer, a, delta in zip(params, entered, deltas)]
    return jnp.sum(jnp.stack(each), axis=0)


def _squared_norm(grads: Params) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(grads)]))
