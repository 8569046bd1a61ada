"""A network as nodes and edges: a node is an entry of x, an edge an entry of W or, from a node 1, of b.

Invariant: however large the network is, at most 6 layers with 12 nodes each, and the edges between them, are drawn.
Lengths are in inches.
"""

from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Circle

from mlp_jax.drawing.canvas import BLUE, DIVERGING, GREY, INK, bar, dots, symmetric, write
from mlp_jax.model import Layer, Network, Params

NODES, LAYERS = 12, 6
LEFT, PITCH, GAP = 0.7, 2.0, 1.2
HEADER, FOOTER, BAR = 0.6, 0.15, 1.6
FUNCTIONS = {"relu": "ReLU", "softmax": "SoftMax", "sigmoid": "Sigmoid", "identity": "Identity", "gelu": "GELU"}


class Column(NamedTuple):
    """The entries of x^(k) that are shown: height by index; index `units` is the constant 1, None the ellipsis."""

    k: int
    units: int
    x: float
    heights: dict[int | None, float]


def layers(network: Network) -> list[tuple[int | None, float]]:
    """Return which x^(k) are shown, and how far from the left each stands; None stands for those left out."""
    numbers = _abbreviated(len(network.widths), LAYERS)
    steps = [PITCH if None not in pair else GAP for pair in pairwise(numbers)]
    return list(zip(numbers, accumulate(steps, initial=LEFT)))


def height(network: Network) -> float:
    """Return the height that `draw` needs."""
    return HEADER + _spacing(network) * _slots(network) + FOOTER


def function(network: Network, k: int) -> str:
    """Return the name of the function that gives x^(k), as it is written in the drawing."""
    name = network.output if k == len(network.widths) - 1 else network.activation
    return FUNCTIONS.get(name, name)


def draw(axes: Axes, network: Network, params: Params | None, bottom: float, right: float) -> None:
    """Draw nodes, edges and headings above `bottom`, and a colour bar right of `right` if there are parameters."""
    middle, top = bottom + FOOTER + _spacing(network) * _slots(network) / 2, bottom + height(network)
    columns = [None if k is None else _column(network, k, x, middle) for k, x in layers(network)]
    for column, (_, x) in zip(columns, layers(network)):
        if column is None:
            dots(axes, x, middle, 0.1, 0.0, gid="ellipsis")
            write(axes, x, top - 0.38, f"{len(network.widths) - len(columns) + 1} more layers", 7, GREY)
        else:
            _draw_column(axes, network, column, top)
    pairs = [(before, after) for before, after in pairwise(columns) if before and after]
    for before, after in pairs:
        _draw_heading(axes, network, before, after, top)
    if params is None:
        _draw_plain_edges(axes, pairs)
    else:
        tall = min(_spacing(network) * _slots(network), BAR)
        bar(axes, _draw_weighted_edges(axes, pairs, params), right, middle - tall / 2, tall)


def _abbreviated(count: int, most: int) -> list[int | None]:
    if count <= most:
        return list(range(count))
    first, last = most // 2, most - 1 - most // 2
    return [*range(first), None, *range(count - last, count)]


def _entries(network: Network, k: int) -> list[int | None]:
    """Return the entries of x^(k) to show, from the top; a constant 1 is the last."""
    units = network.inputs if k == 0 else network.widths[k]
    constant = k + 1 < len(network.widths) if network.bias == "all" else network.bias == "ones" and k == 0
    return _abbreviated(units, NODES) + [units] * constant


def _slots(network: Network) -> int:
    return max(len(_entries(network, k)) for k, _ in layers(network) if k is not None)


def _spacing(network: Network) -> float:
    return min(0.45, 3.6 / _slots(network))


def _column(network: Network, k: int, x: float, middle: float) -> Column:
    entries, step = _entries(network, k), _spacing(network)
    top = middle + step * (len(entries) - 1) / 2
    heights = {entry: top - step * slot for slot, entry in enumerate(entries)}
    return Column(k, network.inputs if k == 0 else network.widths[k], x, heights)


def _draw_column(axes: Axes, network: Network, column: Column, top: float) -> None:
    k, x, last = column.k, column.x, len(network.widths) - 1
    name = r"\mathbf{x}" if k == 0 else r"\mathbf{f}(\mathbf{x})" if k == last else rf"\mathbf{{x}}^{{({k})}}"
    write(axes, x, top - 0.2, rf"${name}\in\mathbb{{R}}^{{{network.widths[k]}}}$")
    write(axes, x, top - 0.38, function(network, k) if k else "input", 7, GREY)
    for entry, y in column.heights.items():
        if entry is None:
            dots(axes, x, y, 0.0, 0.25 * _spacing(network), gid=f"ellipsis-{k}")
        else:
            _draw_node(axes, column, entry, 0.36 * _spacing(network), "f" if k == last else "x")


def _draw_node(axes: Axes, column: Column, entry: int, radius: float, letter: str) -> None:
    x, y, constant = column.x, column.heights[entry], entry == column.units
    look = {"facecolor": "white", "edgecolor": GREY} if constant else {"facecolor": BLUE, "edgecolor": INK}
    size = radius * (0.72 if constant else 1.0)
    axes.add_patch(Circle((x, y), size, linewidth=0.6, zorder=2, gid=f"node-{column.k}-{entry + 1}", **look))
    label = f"${letter}_{{{entry + 1}}}$"
    if constant:
        write(axes, x, y, "1", 6, GREY)
    elif letter == "f":
        write(axes, x + radius + 0.05, y, label, ha="left")
    elif column.k == 0:
        write(axes, x - radius - 0.05, y, label, ha="right")


def _draw_heading(axes: Axes, network: Network, before: Column, after: Column, top: float) -> None:
    x, number = (before.x + after.x) / 2, before.k
    bias = rf", $\mathbf{{b}}^{{({number})}}$" if network.bias == "all" else ""
    write(axes, x, top - 0.2, rf"$\mathbf{{W}}^{{({number})}}${bias}")
    write(axes, x, top - 0.38, f"{network.widths[after.k]} × {network.widths[before.k]}", 7, GREY)


def _draw_plain_edges(axes: Axes, pairs: list[tuple[Column, Column]]) -> None:
    for before, after in pairs:
        look = {"colors": GREY, "linewidths": 0.4, "alpha": 0.45}
        lines = LineCollection(list(_segments(before, after)), zorder=1, gid=f"edges-{after.k}", **look)
        axes.add_collection(lines, autolim=False)


def _draw_weighted_edges(axes: Axes, pairs: list[tuple[Column, Column]], params: Params) -> Normalize:
    values = [_values(before, after, params[before.k]) for before, after in pairs]
    scale = symmetric(np.concatenate(values))
    for (before, after), value in zip(pairs, values):
        share = np.where(np.isfinite(value), np.abs(value) / scale.vmax, 1.0)
        order = np.argsort(share, kind="stable")  # the largest lie on top
        look = {"linewidths": 0.2 + 1.6 * share[order], "cmap": DIVERGING, "norm": scale}
        lines = LineCollection(list(_segments(before, after)[order]), zorder=1, gid=f"edges-{after.k}", **look)
        lines.set_array(np.ma.masked_invalid(value[order]))
        axes.add_collection(lines, autolim=False)
    return scale


def _ends(before: Column, after: Column) -> tuple[list[int], list[int]]:
    """Return the indices of the entries at which the edges of a layer start, and of those at which they end."""
    sources = [entry for entry in before.heights if entry is not None]
    return sources, [entry for entry in after.heights if entry is not None and entry != after.units]


def _segments(before: Column, after: Column) -> Float[np.ndarray, "edges 2 2"]:
    sources, targets = _ends(before, after)
    start = lambda entry: (before.x, before.heights[entry])
    end = lambda entry: (after.x, after.heights[entry])
    return np.array([(start(source), end(target)) for source in sources for target in targets])


def _values(before: Column, after: Column, layer: Layer) -> Float[np.ndarray, " edges"]:
    """Return the entries of W and b in the order of `_segments`."""
    sources, targets = _ends(before, after)
    W = np.asarray(layer.W)[targets]
    column = lambda source: W[:, source] if source < W.shape[1] else np.asarray(layer.b)[targets]
    return np.concatenate([column(source) for source in sources]).astype(float)
