"""Examples on the device: placed, normalised, and summed over piece by piece.

Invariant: a sum over rows counts every row once, however the rows are divided into pieces and between devices.

Where a function takes an `axis` of a mesh, the devices along it share the rows: each is given the same arguments, sums
over its part of the rows, and has the sums of all.
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
    """One split on the device: rows as they were read, labels as the loss takes them, constants to normalise rows with.

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
    """Put one split on the device, raw, with labels as the losses of `network` want them."""
    return jax.device_put(_on_host(network, dataset, split))


def shape(network: Network, dataset: Dataset, split: Split) -> Data:
    """Return the shapes and types of what `place` puts on the device."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), _on_host(network, dataset, split))


def _on_host(network: Network, dataset: Dataset, split: Split) -> Any:
    real = jnp.result_type(float)
    y = np.asarray(split.y, real if dataset.task == "regression" else np.int32)
    center, scale, x = np.asarray(dataset.center, real), np.asarray(dataset.scale, real), np.asarray(split.x)
    if x.dtype == np.float64:  # float32 would merge its values before they are centred
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
        of_rows: takes some normalised rows, their labels and a mask; returns sums over the rows whose mask is true,
            or over all of them where the mask is None. Where the data have weights, it holds these, 0 for false.
        index: sum over these rows of `data` instead of all; one may be there more than once.
        overlap: let the last piece begin in its neighbour, whose rows it masks: all pieces share one piece of program.
            Otherwise the rest, if there is one, comes first, as a shorter piece with a program of its own.
        whole: take rows that make up to this many pieces and a rest in one go.
    """
    first, count, counted = _share(data.x.shape[0] if index is None else index.shape[0], axis)

    def piece(start: Int[Array, ""] | int, size: int, new: Int[Array, ""] | int | None = None) -> PyTree:
        """Sum over `size` of this device's rows from `start`; those before `new` are another piece's."""
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
    """Return which of `total` rows is this device's first, how many it takes, and the first that it counts.

    Where the devices do not divide the rows, the last of them take some of their neighbours' rows besides, or nothing
    else, and do not count these. None: it counts all it takes.
    """
    if axis is None:
        return 0, total, None
    number, devices = jax.lax.axis_index(axis), jax.lax.axis_size(axis)
    size = -(-total // devices)
    return jnp.minimum(number * size, total - size), size, number * size if total % devices else None
