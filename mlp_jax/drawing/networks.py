"""Draw a network: as nodes and edges, as the equivalent blocks, and its first layer's weights as images.

Invariant: the number of marks is bounded, however large the network is. Lengths are in inches; pyplot is not used.
"""

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from mlp_jax.drawing import graph
from mlp_jax.drawing.canvas import BLUE, DIVERGING, GREY, INK, SAND, arrow, bar, blank, dots, symmetric, write
from mlp_jax.model import Layer, Network, Params, parameter_count

RIGHT, BAR = 0.95, 0.7
BLOCKS, MIDDLE = 1.3, 0.82
DENSE, FUNCTION, BOX = 1.06, 0.6, 0.62
UNITS, IMAGE, GAP = 64, 0.8, 0.2


def nodes(network: Network, params: Params | None = None) -> Figure:
    """Draw a node for each entry of x, x^(1), …, f(x) and an edge for each entry of W and b.

    Wide layers and deep networks are abbreviated. Parameters colour the edges, on a scale that is symmetric about
    zero and ends at the largest one drawn; those that are not finite are black.

    Raises:
        ValueError: `params` are not this network's.
    """
    return _drawn(network, params, 0.0)


def blocks(network: Network) -> Figure:
    """Draw x → Dense → activation → … → f(x), with the shapes of W and b and the numbers of parameters."""
    figure, axes = blank(_right(network), BLOCKS)
    _draw_blocks(axes, network)
    return figure


def network(network: Network, params: Params | None = None) -> Figure:
    """Draw nodes and edges, as `nodes` does, and the equivalent blocks below them.

    Raises:
        ValueError: `params` are not this network's.
    """
    figure = _drawn(network, params, BLOCKS)
    _draw_blocks(figure.axes[0], network)
    return figure


def weights(params: Params, shape: tuple[int, ...] | None = None) -> Figure:
    """Draw each row of the first W as an image, for at most the first 64 units, all on one symmetric scale.

    Args:
        shape: (height, width) of an input image, or (height, width, channels), whose channels are added up, which gives
            the weights of a grey image (default: a square). A feature of ones is left out.

    Raises:
        ValueError: the layer's inputs do not fill this shape.
    """
    images, units = _images(params[0], shape)
    across = math.ceil(math.sqrt(len(images)))
    wide, tall = max(across, 2) * (IMAGE + GAP), math.ceil(len(images) / across) * (IMAGE + GAP)
    figure, axes = blank(GAP + wide + BAR, tall + 0.6)
    title = rf"Rows of $\mathbf{{W}}^{{(0)}}$ as images of {images.shape[1]} × {images.shape[2]}"
    write(axes, GAP, tall + 0.42, title, ha="left")
    shown = f"the first {len(images)} of {units:,}" if units > len(images) else f"all {units}"
    write(axes, GAP, tall + 0.24, shown, 7, GREY, ha="left")
    scale = symmetric(images)
    for i, image in enumerate(images):
        center = GAP + IMAGE / 2 + i % across * (IMAGE + GAP), tall - IMAGE / 2 - i // across * (IMAGE + GAP)
        _draw_image(axes, i + 1, image, scale, center)
    bar(axes, scale, GAP + wide, tall - min(tall - GAP, 1.6), min(tall - GAP, 1.6))
    return figure


def _drawn(network: Network, params: Params | None, bottom: float) -> Figure:
    """Draw nodes and edges above `bottom`, on a canvas of their size."""
    _check(network, params)
    right = _right(network)
    figure, axes = blank(right + (BAR if params else 0.0), bottom + graph.height(network))
    graph.draw(axes, network, params, bottom, right)
    return figure


def _check(network: Network, params: Params | None) -> None:
    if params is None:
        return
    expected = list(zip(network.widths[1:], network.widths))
    given = [tuple(layer.W.shape) for layer in params]
    if given != expected or any((layer.b is not None) != (network.bias == "all") for layer in params):
        raise ValueError(f"parameters of shapes {given} are not those of {network}; give the network they belong to")


def _right(network: Network) -> float:
    return graph.layers(network)[-1][1] + RIGHT


def _draw_blocks(axes: Axes, network: Network) -> None:
    """Draw one row of blocks, each below the nodes or edges that it stands for."""
    shown = graph.layers(network)
    ones = network.bias == "ones"
    spans = [_draw_word(axes, shown[0][1], r"$[\mathbf{x}, 1]$" if ones else r"$\mathbf{x}$", 0.24 if ones else 0.1)]
    for (before, left), (k, x) in pairwise(shown):
        if k is None:
            spans.append(_draw_gap(axes, network, x))
        else:
            spans += [] if before is None else [_draw_dense(axes, network, k, (left + x) / 2)]
            spans.append(_draw_box(axes, x, FUNCTION, SAND, [graph.function(network, k)]))
    spans.append(_draw_word(axes, shown[-1][1] + RIGHT - 0.25, r"$\mathbf{f}(\mathbf{x})$", 0.2))
    for (_, start), (end, _) in pairwise(spans):
        arrow(axes, start + 0.03, end - 0.03, MIDDLE)
    write(axes, (shown[0][1] + shown[-1][1]) / 2, 0.14, f"{parameter_count(network):,} parameters in total")


def _draw_word(axes: Axes, x: float, text: str, half: float) -> tuple[float, float]:
    write(axes, x, MIDDLE, text, 9)
    return x - half, x + half


def _draw_dense(axes: Axes, network: Network, k: int, x: float) -> tuple[float, float]:
    shape = f"{network.widths[k]} × {network.widths[k - 1]}"
    lines = ["Dense", rf"$\mathbf{{W}}^{{({k - 1})}}$  {shape}"]
    lines += [rf"$\mathbf{{b}}^{{({k - 1})}}$  {network.widths[k]}"] if network.bias == "all" else []
    write(axes, x, MIDDLE - BOX / 2 - 0.13, f"{_sizes(network)[k - 1]:,} parameters", 7, GREY)
    return _draw_box(axes, x, DENSE, BLUE, lines, 7 * min(1, 13 / len(shape)))


def _draw_box(
    axes: Axes, x: float, width: float, color: str, lines: list[str], size: float = 7.0
) -> tuple[float, float]:
    corner, look = (x - width / 2, MIDDLE - BOX / 2), {"facecolor": color, "edgecolor": INK, "linewidth": 0.6}
    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(FancyBboxPatch(corner, width, BOX, boxstyle=style, gid="block", **look))
    for i, line in enumerate(lines):
        write(axes, x, MIDDLE + 0.17 * ((len(lines) - 1) / 2 - i), line, size if i else 8)
    return x - width / 2, x + width / 2


def _draw_gap(axes: Axes, network: Network, x: float) -> tuple[float, float]:
    left_out = set(range(len(network.widths))) - {k for k, _ in graph.layers(network)}
    sizes = _sizes(network)[min(left_out) - 1 : max(left_out) + 1]
    dots(axes, x, MIDDLE, 0.1, 0.0, gid="ellipsis-blocks")
    write(axes, x, MIDDLE - BOX / 2 + 0.02, f"{len(sizes)} more Dense", 7, GREY)
    write(axes, x, MIDDLE - BOX / 2 - 0.13, f"{sum(sizes):,} parameters", 7, GREY)
    return x - 0.2, x + 0.2


def _sizes(network: Network) -> list[int]:
    """Return the number of parameters of each layer."""
    constant = int(network.bias == "all")
    return [after * (before + constant) for before, after in pairwise(network.widths)]


def _images(layer: Layer, shape: tuple[int, ...] | None) -> tuple[Float[np.ndarray, "units height width"], int]:
    """Return the images to show, and how many rows W has in all."""
    units, inputs = layer.W.shape
    allowed = (inputs,) if layer.b is not None else (inputs, inputs - 1)
    if shape is None:
        side = next((math.isqrt(n) for n in allowed if n and math.isqrt(n) ** 2 == n), None)
        if side is None:
            raise ValueError(f"{inputs} inputs are no square image; give the image shape")
        shape = (side, side)
    if len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) not in allowed:
        counts = " or ".join(map(str, allowed))
        raise ValueError(
            f"image shape {shape} does not fit; give (height, width) or (height, width, channels) of product {counts}"
        )
    W = np.asarray(layer.W)[:UNITS, : math.prod(shape)].astype(float)
    return W.reshape(len(W), shape[0], shape[1], -1).sum(axis=-1), units


def _draw_image(axes: Axes, unit: int, image: np.ndarray, scale: Normalize, center: tuple[float, float]) -> None:
    height, width = (IMAGE * side / max(image.shape) for side in image.shape)
    left, bottom = center[0] - width / 2, center[1] - height / 2
    look = {"cmap": DIVERGING, "norm": scale, "interpolation": "nearest", "aspect": "auto"}
    axes.imshow(image, extent=(left, left + width, bottom, bottom + height), gid=f"unit-{unit}", **look)
    axes.add_patch(Rectangle((left, bottom), width, height, fill=False, edgecolor=GREY, linewidth=0.4))
    write(axes, center[0], bottom + height + 0.08, str(unit), 6, GREY)
