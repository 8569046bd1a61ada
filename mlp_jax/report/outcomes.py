"""Figures of one run: its learning curves, its confusions, the examples that it got wrong, its predictions.

Invariant: the size of a figure is bounded, however many evaluations, classes and examples there are.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mlp_jax.drawing.canvas import COLORS, DIVERGING, GREY, INK, blank, write
from mlp_jax.report.panels import legend, log_y, number, sheet
from mlp_jax.training.config import SPLITS

CLASSES, NUMBERED = 40, 20  # the most classes that are drawn, and the most for which each count is written
POINTS = 2000  # of a scatter
ACROSS, IMAGE, GAP = 8, 0.62, 0.09  # images in a row, inches
OF_SPLIT = dict(zip(SPLITS, COLORS))


class Wrong(NamedTuple):
    """An example taken for another class: its number in the split, both classes and their probabilities."""

    number: int
    truth: str
    label: str
    of_label: float
    of_truth: float


def curves(history: Sequence[dict], ends: dict[str, float], metric: str) -> Figure:
    """Draw a metric against epochs for each split evaluated during training, and all splits at the end as points.

    The figure of the loss also shows that of the mini-batches, and its axis is logarithmic.
    """
    figure, axes = sheet(3.2)
    epoch, handles, loss = np.array([row["epoch"] for row in history]), [], metric == "loss"
    if loss:
        batches = np.array([row["batch_loss"] for row in history], float)
        axes.plot(epoch, batches, color="#b4bbc2", linewidth=1)
        handles.append(Line2D([], [], color="#b4bbc2", label="mini-batch there"))
    for split, colour in OF_SPLIT.items():
        name = f"{split}_{metric}"
        seen = name in history[0]
        if seen:
            axes.plot(epoch, [row[name] for row in history], color=colour, linewidth=1.6)
        if math.isfinite(end := ends.get(name, math.nan)):
            axes.plot(epoch[-1], end, "o", color=colour, markersize=5)
            handles.append(Line2D([], [], color=colour, marker="o", linestyle="-" if seen else "", label=split))
    axes.set_xlabel("epoch", size=9, color=INK)
    axes.set_ylabel(metric.replace("rmse", "RMSE"), size=9, color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(number))
    if loss and any(value > 0 for line in axes.lines for value in np.asarray(line.get_ydata(), float)):
        log_y([axes], metric)
    return legend(figure, handles, 4)


def confusion(counts: Int[np.ndarray, "classes classes"], classes: Sequence[str]) -> Figure:
    """Draw how many examples of each class (row) were taken for each (column); right ones blue, wrong ones orange."""
    shown = min(len(classes), CLASSES)
    shares = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[:shown, :shown]
    counts, names = counts[:shown, :shown], [str(name) for name in classes[:shown]]
    figure, axes = sheet(max(2.4, 0.9 + 4.6 * min(1.0, shown / 12)))
    image = np.where(np.eye(shown, dtype=bool), -1, 1) * np.sqrt(shares)  # the root makes rare confusions visible
    axes.imshow(image, cmap=DIVERGING, norm=Normalize(-1, 1), aspect="auto", interpolation="nearest")
    if shown <= NUMBERED:
        for row, column in np.argwhere(counts > 0):
            colour = "white" if abs(image[row, column]) > 0.75 else INK
            text = {"ha": "center", "va": "center", "size": 8, "color": colour}
            axes.text(column, row, f"{counts[row, column]:,}", **text)
    every = max(1, math.ceil(shown / NUMBERED))
    long = max(map(len, names)) > 4
    axes.set_xticks(
        range(0, shown, every), names[::every], rotation=45 if long else 0, ha="right" if long else "center"
    )
    axes.set_yticks(range(0, shown, every), names[::every])
    axes.grid(visible=False)
    axes.set_xlabel("taken for", size=9, color=INK)
    axes.set_ylabel("class", size=9, color=INK)
    return figure


def wrong(images: np.ndarray, which: Sequence[Wrong], levels: int) -> Figure:
    """Draw images that were taken for another class, each with truth → prediction and its probability."""
    rows, label = math.ceil(len(which) / ACROSS), 0.34
    figure, axes = blank(ACROSS * (IMAGE + GAP) + GAP, rows * (IMAGE + label + GAP) + GAP)
    top = axes.get_ylim()[1]
    for number_, (image, each) in enumerate(zip(images, which)):
        height, width = (IMAGE * side / max(image.shape[:2]) for side in image.shape[:2])
        left = GAP + number_ % ACROSS * (IMAGE + GAP) + (IMAGE - width) / 2
        bottom = top - GAP - IMAGE - number_ // ACROSS * (IMAGE + label + GAP)
        look = {"cmap": "gray", "vmin": 0, "vmax": levels, "interpolation": "nearest", "aspect": "auto"}
        drawn = (
            image / levels if image.ndim == 3 and image.shape[2] == 3 else image.reshape(*image.shape[:2], -1)[..., 0]
        )
        axes.imshow(drawn, extent=(left, left + width, bottom, bottom + height), **look)
        words = f"{each.truth[:8]} → {each.label[:8]}".replace("$", r"\$")  # no formula
        write(axes, left + width / 2, bottom - 0.1, words, 7)
        write(axes, left + width / 2, bottom - 0.23, f"{each.of_label:.0%}", 6, GREY)
    return figure


def against_truth(truth: Float[np.ndarray, " n"], answer: Float[np.ndarray, " n"]) -> Figure:
    """Draw predictions against the truth, both in the target's unit, and the line on which they would be equal."""
    every = max(1, math.ceil(len(truth) / POINTS))
    figure, axes = sheet(3.6)
    ends = min(truth.min(), answer.min()), max(truth.max(), answer.max())
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    axes.plot(truth[::every], answer[::every], "o", color=COLORS[0], markersize=3, alpha=0.6, markeredgewidth=0)
    axes.set_xlabel("truth", size=9, color=INK)
    axes.set_ylabel("prediction", size=9, color=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(number))
    return legend(figure, [Line2D([], [], color=GREY, linestyle="--", label="where both are equal")], 1)
