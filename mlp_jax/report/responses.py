"""Where the answers of a study come from: every trial against its learning rate, and B_crit against the definition.

Invariant: every trial is drawn, those that missed too; a curve is drawn only over the rates that it was fitted to.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mlp_jax.report.canvas import GREY, INK
from mlp_jax.report.figures import LOOKS
from mlp_jax.report.panels import grid, legend, log_y, name_x, number
from mlp_jax.study import protocol
from mlp_jax.study.evidence import Best, Findings, critical, definition_of, ordered, where
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import number as words

if TYPE_CHECKING:
    import pandas

LEVELS = (1.0, 0.99, 0.98, 0.97, 0.95)  # of an accuracy's target
EASIER = (1.0, 1.05, 1.1, 1.2, 1.4)  # of an error's
READINGS: dict[tuple[float, int], tuple[Any, str]] = {  # smoothing, every how manieth look: dash and marker
    (1.25, 1): ("-", "o"),
    (1.25, 2): ("--", "s"),
    (1.0, 1): (":", "^"),
    (1.0, 2): (":", "v"),
    (1.0, 4): (":", "D"),
}
RESAMPLES = 200
TOP = 12.0  # times the fewest steps: where a miss is drawn


def fitted(found: Findings) -> bool:
    """Tell whether there are valleys to draw."""
    return any(best.valley is not None for best in found.best.values())


def responses(found: Findings, rows: "pandas.DataFrame") -> Figure:
    """Draw steps to target against the learning rate, a panel for each batch size, with the curves that were fitted."""
    ends = protocol.last_rows(where(rows, phase="tuning"))
    names, sizes = ordered(found.scaling), sorted(set(found.cells["batch_size"].tolist()))
    figure, panels = grid([f"B = {size:,}" for size in sizes])
    for axes, size in zip(panels, sizes):
        there = [best.steps for (_, of), best in found.best.items() if of == size and math.isfinite(best.steps)]
        fewest = min(there, default=1.0)
        for name in names:
            own = where(ends, optimizer=name, batch_size=size)
            _trials(axes, own["learning_rate"].to_numpy(float), own["steps_to_target"].to_numpy(float) / fewest, name)
            if (name, size) in found.best:
                _curve(axes, found.best[name, size], name, fewest)
        if there:
            axes.set_title(f"B = {size:,}: fewest steps {words(fewest)}", size=9, color=INK, loc="left")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        name_x(axes, "learning rate", panels)
    panels[0].set_ylim(0.7, TOP * 1.4)
    log_y(panels, "steps / fewest steps")
    shown = [Line2D([], [], color=LOOKS[n][0], marker=LOOKS[n][1], linestyle="", markersize=5, label=n) for n in names]
    curve = Line2D([], [], color=INK, linewidth=1.4, label="fit, over the rates it was fitted to")
    cross = Line2D([], [], color=GREY, marker="x", linestyle="", markersize=5, label="not reached in time")
    return legend(figure, [*shown, curve, cross], 3)


def definitions(study: Study, rows: "pandas.DataFrame", found: Findings) -> Figure:
    """Draw B_crit against the level of the target, a line for each way of reading it, read from the same trials."""
    own = definition_of(study, rows)
    levels = [own.target * factor for factor in (EASIER if own.less_is_better else LEVELS)]
    names = ordered(found.scaling)
    figure, panels = grid(names)
    for (smoothing, every), (dash, marker) in READINGS.items():
        if smoothing > own.smoothing:
            continue
        asked = [own._replace(target=at, smoothing=smoothing, every=every) for at in levels]
        as_asked = (smoothing, every) == (own.smoothing, 1)
        read = [critical(rows, study, one, resamples=RESAMPLES if as_asked else 1) for one in asked]
        for axes, name in zip(panels, names):
            value, low, high = np.array([fits[name].b_crit for fits in read], float).T
            there, colour = np.isfinite(value), LOOKS[name][0]
            look = {"color": colour, "markersize": 4, "linewidth": 1, "marker": marker}
            axes.plot(np.array(levels)[there], value[there], linestyle=dash, **look)
            if as_asked:
                closed = there & np.isfinite(high) & (low > 0)
                axes.fill_between(levels, low, high, where=closed, color=colour, alpha=0.18, linewidth=0)
    for axes in panels:
        name_x(axes, "target", panels)
    drawn = np.concatenate([line.get_ydata() for axes in panels for line in axes.lines] or [np.ones(1)]).astype(float)
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    panels[0].set_ylim(drawn.min(initial=np.inf, where=drawn > 0) / 2 if drawn.size else 0.5, drawn.max(initial=1) * 2)
    log_y(panels, "B_crit")
    looks = {every: study.evaluations // every for _, every in READINGS}
    handles = [
        Line2D([], [], color=INK, linestyle=dash, marker=marker, markersize=4, label=_reading(smoothing, looks[every]))
        for (smoothing, every), (dash, marker) in READINGS.items()
        if smoothing <= own.smoothing
    ]
    return legend(figure, handles, 2)


def _reading(smoothing: float, looks: int) -> str:
    return f"first crossing, {looks} looks" if smoothing == 1 else f"since k/{smoothing:g} together, {looks} looks"


def _trials(axes: Axes, rate: np.ndarray, steps: np.ndarray, name: str) -> None:
    """Draw trials of one optimizer; a miss, or what is far above the rest, is a cross at the top."""
    colour, marker = LOOKS[name]
    met = steps < TOP
    axes.plot(rate[met], steps[met], marker, color=colour, markersize=3, alpha=0.7, markeredgewidth=0)
    axes.plot(rate[~met], np.full((~met).sum(), TOP), "x", color=colour, markersize=3, alpha=0.5)


def _curve(axes: Axes, best: Best, name: str, fewest: float) -> None:
    """Draw the fitted valley over its window, and its bottom."""
    if best.valley is None or not math.isfinite(best.steps) or not all(np.isfinite(best.valley.window)):
        return
    rate = np.geomspace(*best.valley.window, 60)
    axes.plot(
        rate, best.valley.curve.steps(best.valley.scale.coordinate(rate)) / fewest, color=LOOKS[name][0], linewidth=1.4
    )
    axes.plot(
        best.rate, best.steps / fewest, LOOKS[name][1], color=LOOKS[name][0], markersize=7, markeredgecolor="white"
    )
