"""Figure of the gradient noise scale over training, with the critical batch size that it should predict.

Invariant: only measured values are drawn; an interval with an open end is drawn to the end of the axes.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from mlp_jax.analysis import crossing
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.drawing.canvas import GREY, INK
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import grid, legend, log_y, name_x, number
from mlp_jax.study.evidence import Findings, noise_scales, where

if TYPE_CHECKING:
    import pandas

WINDOW = 1.25  # the value at step k is over the steps from k/1.25 to k
SHADES = LinearSegmentedColormap.from_list("batch sizes", ["#c9d0d6", INK])  # from the smallest to the largest


def measured(found: Findings | None) -> bool:
    """Tell whether there is a noise scale to draw."""
    return found is not None and bool(noise_scales(found.cells))


def noise_scale(found: Findings, rows: "pandas.DataFrame") -> Figure:
    """Draw trΣ/|G|² against steps, a line per batch size, with the averages of runs, and B_crit as a band.

    The value at step k is over all seeds and over the steps from k/1.25 to k together: one step alone says little.
    """
    names = list(noise_scales(found.cells))
    figure, panels = grid(names)
    there = where(rows, phase="winners").query("step > 0 and noise_trace.notna()")
    sizes = np.unique(there["batch_size"]).tolist()
    shades = dict(zip(sizes, SHADES(np.linspace(0, 1, len(sizes)))))
    drawn = [found.cells["noise_scale"].to_numpy(float), *map(np.array, _critical(found, names))]
    for axes, name in zip(panels, names):
        for size, shade in shades.items():
            own = where(there, optimizer=name, batch_size=size)
            if own.empty:
                continue
            step, scale = pooled(own, size)
            axes.plot(step, scale, color=shade, linewidth=1)
            drawn.append(scale)
            _mark(axes, name, float(step[-1]), where(found.cells, optimizer=name, batch_size=size).iloc[0].to_dict())
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        name_x(axes, "step", panels)
    panels[0].set_ylim(*_ends(drawn))
    log_y(panels, "noise scale, in examples")
    for axes, name in zip(panels, names):
        _band(axes, found.scaling[name].fit.b_crit, LOOKS[name][0])
    lines = [Line2D([], [], color=shade, label=f"B = {size:,}") for size, shade in shades.items()]
    dot = Line2D([], [], marker="o", linestyle="", color=GREY, markersize=5, label="average, weighed by progress")
    return legend(figure, [*lines, dot, Patch(color=GREY, alpha=0.3, label="B_crit")], 4)


def pooled(rows: "pandas.DataFrame", batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps, and for each the noise scale of all runs together over its window, or NaN if it is unknown.

    It is weighted by progress, as in `analysis.noise.progress_average`, so that a run's average lies within its line.
    """
    trace, square = rows["noise_trace"].to_numpy(float), batch_size * rows["noise_squared_norm"].to_numpy(float)
    power = np.where(square + trace > 0, square + trace, np.inf)
    step, number = np.unique(rows["step"].to_numpy(float), return_inverse=True)
    first, last = crossing.windows(step, WINDOW), np.arange(step.size)

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.append(0.0, np.cumsum(np.bincount(number, values)))
        return sums[last + 1] - sums[first]

    noise, progress = total(batch_size * trace / power), total(square / power)
    known = (noise > 0) & (progress > 0)
    return step, np.where(known, noise / np.where(known, progress, 1.0), np.nan)


def _mark(axes: Axes, name: str, step: float, cell: dict) -> None:
    """Mark the average of a cell's runs, with its interval, at the step where the last run ends."""
    colour, marker = LOOKS[name]
    value, low, high = (float(cell[f"noise_scale{end}"]) for end in ("", "_low", "_high"))
    if low > 0 and math.isfinite(high):
        axes.vlines(step, low, high, color=colour, linewidth=1)
    look = {"color": colour, "marker": marker, "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot(step, value, linestyle="", zorder=3, **look)


def _band(axes: Axes, b_crit: Estimate, colour: str) -> None:
    if math.isnan(b_crit.value):
        return
    bottom, top = axes.get_ylim()
    axes.axhspan(max(b_crit.low, bottom), min(b_crit.high, top), color=colour, alpha=0.18, linewidth=0, zorder=0)
    axes.axhline(b_crit.value, color=colour, linewidth=1.2, zorder=1)


def _critical(found: Findings, names: list[str]) -> list[Estimate]:
    return [found.scaling[name].fit.b_crit for name in names]


def _ends(values: list) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that shows all values that are finite and above 0."""
    every = np.concatenate([np.asarray(each, float) for each in values])
    shown = every[np.isfinite(every) & (every > 0)]
    if not shown.size:
        return 1.0, 10.0
    return float(shown.min() / 1.5), float(shown.max() * 1.5)
