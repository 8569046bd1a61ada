"""Axes for the figures of a study: one sheet or small multiples, batch sizes and logarithmic values in plain numbers.

Invariant: all figures have the same width, so that text has one size on the page; labels do not overlap.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from mlp_jax.drawing.canvas import GREY, INK

WIDTH, PANEL = 5.6, 2.1  # inches
CHARACTER = 0.062  # inches, of a label at size 8


def sheet(height: float) -> tuple[Figure, Axes]:
    """Return one set of axes, `height` inches high."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _dress(axes)
    return figure, axes


def grid(titles: list[str]) -> tuple[Figure, list[Axes]]:
    """Return small multiples in two columns that share their axes."""
    rows = -(-len(titles) // 2)
    figure = Figure(figsize=(WIDTH, 0.9 + PANEL * rows), layout="constrained", facecolor="white")
    boxes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
    for i, axes in enumerate(boxes):
        if i >= len(titles):
            axes.set_visible(False)
            continue
        _dress(axes)
        axes.set_title(titles[i], size=9, color=INK, loc="left")
        axes.tick_params(which="both", labelbottom=i + 2 >= len(titles))
    return figure, list(boxes[: len(titles)])


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", labelsize=8, labelcolor=INK, color=GREY)
    axes.grid(visible=True, color="#eceff1", linewidth=0.6)
    axes.set_axisbelow(True)


def batch_axes(panels: list[Axes], sizes: Iterable) -> None:
    """Put ticks at the batch sizes themselves, as far as there is room for labels, and show all that is drawn."""
    there = np.unique(np.asarray(list(sizes), float))
    least, gap = there[0], (10.0 if len(panels) == 1 else 5.5)
    room = math.log(max(there[-1] / least, 2.0)) / gap
    shown = [there[-1]]
    for size in there[-2::-1]:
        if math.log(shown[-1] / size) >= room:
            shown.append(size)
    beside = math.exp(room / 8)  # room for the marks of many optimizers beside each other
    low = min(least / math.exp(room / 2), *(axes.dataLim.x0 / beside for axes in panels))
    high = max(there[-1] * math.exp(room / 2), *(axes.dataLim.x1 * beside for axes in panels))
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(shown))
        axes.xaxis.set_minor_locator(FixedLocator(there.tolist()))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        name_x(axes, "batch size B", panels)


def name_x(axes: Axes, text: str, panels: list[Axes]) -> None:
    """Name the horizontal axis of the lowest panels."""
    if panels.index(axes) + 2 >= len(panels):
        axes.set_xlabel(text, size=9, color=INK)


def log_y(panels: list[Axes], label: str) -> None:
    """Make the vertical axes logarithmic, and name those of the left panels."""
    panels[0].set_yscale("log")
    low, high = panels[0].get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    for i, axes in enumerate(panels):
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(number))
        if i % 2 == 0:
            axes.set_ylabel(label, size=9, color=INK)


def number(value: float, _: object = None) -> str:
    """Write a number without powers of ten: 100,000 or 0.001."""
    return f"{value:,.10g}"


def shift(i: int, count: int) -> float:
    """Return a small factor on B that puts the bars of several optimizers beside each other."""
    return 1.07 ** (i - (count - 1) / 2)


def legend(figure: Figure, handles: list, columns: int) -> Figure:
    """Put the legend above the axes, in at most `columns` columns, as many as fit, and return the figure."""
    if handles:
        lengths = [len(str(handle.get_label())) for handle in handles]
        columns = next((count for count in range(columns, 1, -1) if _columns_width(lengths, count) <= WIDTH), 1)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False, fontsize=8)
    return figure


def _columns_width(lengths: list[int], columns: int) -> float:
    """Return the width in inches of a legend with so many columns, whose labels have so many characters."""
    tall, longer = divmod(len(lengths), columns)
    ends = np.cumsum([0, *(tall + (column < longer) for column in range(columns))])
    return sum(0.45 + CHARACTER * max(lengths[a:b], default=0) for a, b in pairwise(ends))
