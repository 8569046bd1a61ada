"""Examples on the device: placed, normalised, and summed over piece by piece.

Invariant: a sum over rows counts every row once, however the rows are divided into pieces and between devices.

Where a function takes an `axis` of a mesh, the devices along it share the rows: each gets the same arguments, sums over
its part of the rows, and returns the sum over all of them.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, PyTree

from mlp_jax import losses
from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.model import Network


class Data(NamedTuple):
    """One split on the device: the rows as they were read, labels for the loss, constants to normalise the rows with.

    `weight` says how much each row counts in a sum; None stands for 1.

    >>> from mlp_jax.data import load
    >>> dataset = load("iris")
    >>> place(Network(inputs=4, outputs=3), dataset, dataset.train).x.shape
    (108, 4)
    """

    x: Num[Array, "n inputs"]
    y: Num[Array, "n *outputs"]
    center: Float[Array, "*inputs"]
    scale: Float[Array, "*inputs"]
    weight: Float[Array, " n"] | None = None


def place(network: Network, dataset: Dataset, split: Split) -> Data:
    """Put one split on the device, not normalised, with labels in the form that the losses of `network` take."""
    return jax.device_put(_on_host(network, dataset, split))


def shape(network: Network, dataset: Dataset, split: Split) -> Data:
    """Return the shapes and types of what `place` puts on the device."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), _on_host(network, dataset, split))


def _on_host(network: Network, dataset: Dataset, split: Split) -> Any:
    real = jnp.result_type(float)
    y = np.asarray(split.y, real if dataset.task == "regression" else np.int32)
    center, scale, x = np.asarray(dataset.center, real), np.asarray(dataset.scale, real), np.asarray(split.x)
    if x.dtype == np.float64:  # in float32, different values could become equal before they are centred
        x, center, scale = ((x - dataset.center) * dataset.scale).astype(real), np.zeros((), real), np.ones((), real)
    weight = None if split.weight is None else np.asarray(split.weight, real)
    return Data(x, losses.labels(network, y), center, scale, weight)  # pyright: ignore[reportArgumentType]


def normalize(data: Data, x: Num[Array, "*n inputs"]) -> Float[Array, "*n inputs"]:
    """Return (x − center) · scale in the default float type."""
    center, scale = (jnp.broadcast_to(constant, x.shape) for constant in (data.center, data.scale))
    return (x.astype(center.dtype) - center) * scale


def summed(
    of_rows: Callable[..., PyTree],
    data: Data,
    size: int,
    axis: str | None = None,
    *,
    index: Int[Array, " rows"] | None = None,
    overlap: bool = False,
    whole: int = 0,
) -> PyTree:
    """Sum `of_rows` over all rows of `data`, `size` of them at a time, so that memory stays bounded.

    Args:
        of_rows: takes some normalised rows, their labels and a mask; returns sums over the rows whose mask is true
            (None: over all of them). If the data have weights, the mask holds them, with 0 for false.
        index: sum over these rows of `data` instead of all; a row may be listed more than once.
        overlap: let the last piece overlap the one before it and mask the rows that both have, so that all pieces have
            one size and share one loop. Otherwise the remaining rows, if any, are computed first, outside the loop.
        whole: if there are at most this many full pieces, sum over all rows at once.
    """
    first, count, counted = _share(data.x.shape[0] if index is None else index.shape[0], axis)

    def piece(start: Int[Array, ""] | int, size: int, new: Int[Array, ""] | int | None = None) -> PyTree:
        """Sum over `size` of this device's rows from `start` on, without those before `new`: another piece has them."""
        begin = first + start
        take = partial(jax.lax.dynamic_slice_in_dim, start_index=begin, slice_size=size)
        of = lambda array: take(array) if index is None else array[take(index)]
        x, y = of(data.x), of(data.y)
        least = [first + new] if new is not None else []
        least += [counted] if counted is not None else []
        mask = begin + jnp.arange(size) >= reduce(jnp.maximum, least) if least else None
        if data.weight is not None:
            mask = of(data.weight) if mask is None else jnp.where(mask, of(data.weight), 0)
        return of_rows(normalize(data, x), y, mask)

    def numbered(number: Int[Array, ""] | int) -> PyTree:
        start = number * size
        return piece(jnp.minimum(start, count - size), size, start) if overlap else piece(start, size)

    pieces, rest = divmod(count, size)
    if pieces <= whole:
        sums = piece(0, count)
    else:
        begin = piece(pieces * size, rest) if rest and not overlap else _zeros(jax.eval_shape(numbered, 0))
        add = lambda number, so_far: jax.tree.map(jnp.add, so_far, numbered(number))
        sums = jax.lax.fori_loop(0, pieces + (overlap and rest > 0), add, begin)
    return sums if axis is None else jax.lax.psum(sums, axis)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _share(total: int, axis: str | None) -> tuple:
    """Return the first of the `total` rows that this device takes, how many it takes, and the first that it counts.

    If the rows can't be divided evenly, the last devices also take rows of their neighbours (some take no others), and
    do not count them. None means that the device counts all rows that it takes.
    """
    if axis is None:
        return 0, total, None
    number, devices = jax.lax.axis_index(axis), jax.lax.axis_size(axis)
    size = -(-total // devices)
    return jnp.minimum(number * size, total - size), size, number * size if total % devices else None
