"""Figures behind the answers of a study: every trial against its learning rate, and B_crit against the definition.

Invariant: every trial is drawn, even those that missed; a curve is drawn only over the rates that it was fitted to.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mlp_jax.analysis.crossing import Definition
from mlp_jax.drawing.canvas import GREY, INK
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import grid, legend, log_y, name_x, number
from mlp_jax.study import bottoms
from mlp_jax.study.bottoms import Valley
from mlp_jax.study.evidence import Findings, criticals, definition_of, histories_of, ordered, score_of, where
from mlp_jax.study.histories import Histories, last_rows
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import number as words

if TYPE_CHECKING:
    import pandas

LEVELS = (1.0, 0.99, 0.98, 0.97, 0.95)  # times the target, for an accuracy
EASIER = (1.0, 1.05, 1.1, 1.2, 1.4)  # times the target, for an error
STYLES = (("-", "o"), ("--", "s"), (":", "^"), (":", "v"), (":", "D"))  # of readings: dash and marker
RESAMPLES = 200


def fits(study: Study, rows: "pandas.DataFrame", found: Findings | None = None) -> dict[tuple[str, int], Valley]:
    """Return the valley of each cell that is tuned over its rate alone; without winners, of the trials so far."""
    valleys: dict[tuple[str, int], Any] = {cell: best.valley for cell, best in found.best.items()} if found else {}
    tuned = where(rows, phase="tuning") if len(rows) else rows
    cells = tuned[["optimizer", "batch_size"]].drop_duplicates().itertuples(index=False) if len(tuned) else ()
    for name, size in cells:
        if (name, size) not in valleys:
            ends = last_rows(where(tuned, optimizer=name, batch_size=size))
            valleys[name, size] = bottoms.of(study, study.spaces[name], ends)
    return {cell: fit for cell, fit in valleys.items() if isinstance(fit, Valley) and fit.name == "learning_rate"}


def lines(found: Findings) -> bool:
    """Tell whether enough batch sizes reached the target to fit a critical batch size."""
    return any(math.isfinite(scaling.fit.s_min.value) for scaling in found.scaling.values())


def valleys(fits: Mapping[tuple[str, int], Valley], rows: "pandas.DataFrame") -> Figure:
    """Draw steps to target against the learning rate, a panel for each batch size, with the curves that were fitted."""
    names, sizes = ordered(name for name, _ in fits), sorted({size for _, size in fits})
    ends = last_rows(where(rows, phase="tuning"))
    ends = ends.loc[ends["optimizer"].isin(names) & ends["batch_size"].isin(sizes)]
    least = {size: min(valley.fit.steps for (_, of), valley in fits.items() if of == size) for size in sizes}
    fewest = {size: steps if math.isfinite(steps) else 1.0 for size, steps in least.items()}
    heights = np.maximum(ends["steps_to_target"].to_numpy(float), 1) / ends["batch_size"].map(fewest).to_numpy(float)
    top = 1.5 * float(heights[np.isfinite(heights)].max(initial=2.0))
    figure, panels = grid([f"B = {size:,}" for size in sizes])
    for axes, size in zip(panels, sizes):
        for name in names:
            own = (ends["optimizer"] == name).to_numpy() & (ends["batch_size"] == size).to_numpy()
            _trials(axes, ends["learning_rate"].to_numpy(float)[own], heights[own], name, top)
            if (name, size) in fits:
                _curve(axes, fits[name, size], name, fewest[size])
        if math.isfinite(least[size]):
            axes.set_title(f"B = {size:,}: fewest steps {words(least[size])}", size=9, color=INK, loc="left")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        name_x(axes, "learning rate", panels)
    panels[0].set_ylim(0.8 * float(heights.min(initial=0.9)), top * 1.3)
    log_y(panels, "steps / fewest steps")
    shown = [Line2D([], [], color=LOOKS[n][0], marker=LOOKS[n][1], linestyle="", markersize=5, label=n) for n in names]
    curve = Line2D([], [], color=INK, linewidth=1.4, label="fit, over the rates it was fitted to")
    cross = Line2D([], [], color=GREY, marker="x", linestyle="", markersize=5, label="not reached in time")
    return legend(figure, [*shown, curve, cross], 3)


def definitions(study: Study, rows: "pandas.DataFrame | Histories", found: Findings) -> Figure:
    """Draw B_crit against the level of the target, with a line for each way of reading the same trials."""
    histories = histories_of(rows, study)
    own, names = definition_of(study, histories.trials), ordered(found.scaling)
    figure, panels = grid(names)
    handles = []
    for (smoothing, every), (dash, marker) in zip(_readings(own), STYLES):
        as_asked = (smoothing, every) == (own.smoothing, 1)
        readable = [at for at in _levels(own) if at != own.target or as_asked or smoothing < own.smoothing]
        asked = [own._replace(target=at, smoothing=smoothing, every=every) for at in readable]
        read = criticals(histories, study, dict.fromkeys(asked, RESAMPLES if as_asked else 0), names)
        look = {"linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1}
        for axes, name in zip(panels, names):
            value, low, high = np.array([fits[name].b_crit for fits in read], float).reshape(-1, 3).T
            axes.plot(readable, np.where(np.isfinite(value), value, np.nan), color=LOOKS[name][0], **look)
            if as_asked:
                closed = np.isfinite(value) & np.isfinite(high) & (low > 0)
                bars = {"color": LOOKS[name][0], "alpha": 0.25, "linewidth": 5}
                axes.vlines(np.array(readable)[closed], low[closed], high[closed], **bars)
        handles.append(Line2D([], [], color=INK, label=_reading(smoothing, study.evaluations // every), **look))
    for axes in panels:
        name_x(axes, f"target ({score_of(study, histories.trials).replace('_', ' ').replace('rmse', 'RMSE')})", panels)
    drawn = np.concatenate([line.get_ydata() for axes in panels for line in axes.lines]).astype(float)
    shown = drawn[np.isfinite(drawn) & (drawn > 0)]
    panels[0].set_ylim(*((shown.min() / 2, shown.max() * 2) if shown.size else (1, 100)))
    log_y(panels, "B_crit")
    return legend(figure, handles, 2)


def _readings(own: Definition) -> list[tuple[float, int]]:
    """Return the ways of reading a target, the study's own first, as (smoothing, m): every m-th look is read."""
    return list(dict.fromkeys([(own.smoothing, 1), (own.smoothing, 2), (1.0, 1), (1.0, 2), (1.0, 4)]))


def _levels(own: Definition) -> list[float]:
    """Return the study's target and some easier ones."""
    factors = EASIER if own.less_is_better else LEVELS
    return [own.target * factor for factor in factors] if own.target > 0 else [own.target]


def _reading(smoothing: float, looks: int) -> str:
    return f"first crossing, {looks} looks" if smoothing == 1 else f"average since step k/{smoothing:g}, {looks} looks"


def _trials(axes: Axes, rate: np.ndarray, height: np.ndarray, name: str, top: float) -> None:
    """Draw trials of one optimizer; a miss is a cross at the top."""
    colour, marker = LOOKS[name]
    met = np.isfinite(height)
    axes.plot(rate[met], height[met], marker, color=colour, markersize=3, alpha=0.7, markeredgewidth=0)
    axes.plot(rate[~met], np.full((~met).sum(), top), "x", color=colour, markersize=3, alpha=0.5)


def _curve(axes: Axes, valley: Valley, name: str, fewest: float) -> None:
    """Draw a fitted valley over its window, and its bottom."""
    fit, (colour, marker) = valley.fit, LOOKS[name]
    if not math.isfinite(fit.steps):
        return
    first, last = fit.scale.coordinate(np.array(fit.window))
    place = np.linspace(first, last, 60)
    axes.plot(fit.scale.value(place), fit.curve.steps(place) / fewest, color=colour, linewidth=1.4)
    axes.plot(fit.rate, fit.steps / fewest, marker, color=colour, markersize=7, markeredgecolor="white")
