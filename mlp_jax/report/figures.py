"""Figures of what a study found: one matplotlib Figure for each question.

Invariant: an optimizer has one colour and one marker in every figure, and a miss of the target is shown as a miss.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mlp_jax.analysis import family, power_law
from mlp_jax.drawing.canvas import GREY, INK
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import batch_axes, grid, legend, log_y, name_x, number, sheet, shift
from mlp_jax.study.evidence import Findings, ordered, score_of, where
from mlp_jax.study.plan import Study
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas

STATUSES = {  # of a tuned point: words, marker, colour
    "REACHED": ("reached the target", "o", "#0072b2"),
    Status.COMPLETE: ("budget used, target not reached", "o", "#b4bbc2"),
    Status.INFEASIBLE: ("infeasible: the loss was not finite", "x", "#d55e00"),
    Status.INCOMPLETE: ("ended: took several times the steps of the best", "+", "#66717c"),
}
DASHES = ("-", "--", ":", "-.")
UNITS = {"steps": "steps to target", "examples": "examples to target", "seconds": "seconds to target"}


def steps(found: Findings) -> Figure:
    """Draw steps to target against B with their intervals, S_min + E_min/B, and perfect scaling."""
    return _scaling(found, "steps")


def examples(found: Findings) -> Figure:
    """Draw examples to target, S·B, against B; perfect scaling is level."""
    return _scaling(found, "examples")


def seconds(found: Mapping[str, Findings]) -> Figure:
    """Draw training seconds to target against B, a line for each of the labelled studies."""
    if len(found) == 1:
        (only,) = found.values()
        return _scaling(only, "seconds")
    names = ordered(name for each in found.values() for name in each.scaling)
    figure, panels = grid(names)
    handles = [Line2D([], [], color=INK, linestyle=DASHES[i % 4], label=label) for i, label in enumerate(found)]
    top = _top([each.cells for each in found.values()], "seconds")
    for axes, name in zip(panels, names):
        for i, each in enumerate(found.values()):
            own = where(each.cells, optimizer=name)
            _points(axes, own, "seconds", name, shift(i, len(found)), top)
            _join(axes, own, "seconds", name, DASHES[i % 4])
    sizes = np.concatenate([each.cells["batch_size"] for each in found.values()])
    _finish(panels, sizes, UNITS["seconds"], top, [each.cells for each in found.values()], "seconds")
    return legend(figure, handles, 1)


def learning_rates(study: Study, found: Findings) -> Figure:
    """Draw the best learning rate against B with intervals, its power law up to B_crit, and the two rules as guides."""
    figure, panels = grid(list(found.scaling))
    for axes, (name, scaling) in zip(panels, found.scaling.items()):
        own, (colour, marker) = where(found.cells, optimizer=name), LOOKS[name]
        names = ("batch_size", "learning_rate", "steps", "learning_rate_low", "learning_rate_high")
        B, rate, met, low, high = (own[key].to_numpy(float) for key in names)
        reached, exponent = np.isfinite(met), scaling.exponent
        fitted = np.isin(B, exponent.sizes) if not exponent.missing else reached
        for rule, dash in ((1.0, "--"), (0.5, ":")):
            guide = power_law.guide(B, np.where(fitted & reached, rate, np.nan), rule)
            axes.plot(B, guide, color=GREY, linestyle=dash, linewidth=1)
        if not exponent.missing:
            law = power_law.fit(B[fitted], rate[fitted])
            axes.plot(B[fitted], law.factor * B[fitted] ** law.exponent, color=colour, linewidth=1.4)
        closed = reached & np.isfinite(high) & (low > 0)
        axes.vlines(B[closed], low[closed], high[closed], color=colour, linewidth=1)
        for here, face in ((reached, colour), (~reached, "white")):
            axes.plot(B[here], rate[here], marker, color=colour, markerfacecolor=face, markersize=6)
        for end in study.spaces[name]["learning_rate"].ends if "learning_rate" in study.spaces[name] else ():
            axes.axhline(end, color="#d5dade", linewidth=1, zorder=0)
    batch_axes(panels, found.cells["batch_size"])
    log_y(panels, "best learning rate")
    lines = [Line2D([], [], color=INK, linewidth=1.4, label="power law up to B_crit")]
    lines += [Line2D([], [], color=GREY, linestyle="--", label="∝ B")]
    lines += [Line2D([], [], color=GREY, linestyle=":", label="∝ √B")]
    ends = Line2D([], [], color="#d5dade", label="ends of the search space")
    missed = Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor="white", label="target not reached")
    return legend(figure, [*lines, ends, missed], 3)


def statuses(rows: "pandas.DataFrame") -> Figure:
    """Draw the outcome of every tuned point over learning rate × B; a ring marks each cell's winner."""
    tuned, winners = (where(rows, phase=phase) for phase in ("tuning", "winners"))
    names = ordered(tuned["optimizer"])
    figure, panels = grid(names)
    points = _outcomes(tuned)
    for axes, name in zip(panels, names):
        own = where(points, optimizer=name)
        for status, (_, marker, colour) in STATUSES.items():
            there = where(own, status=status)
            axes.plot(there["batch_size"], there["learning_rate"], marker, color=colour, markersize=5)
        best = where(winners, optimizer=name).drop_duplicates("cell")
        look = {"markerfacecolor": "none", "color": INK, "markersize": 10}
        axes.plot(best["batch_size"], best["learning_rate"], "o", **look)
    batch_axes(panels, points["batch_size"])
    log_y(panels, "learning rate")
    dots = {"linestyle": "", "markersize": 6}
    shown = [STATUSES[status] for status in STATUSES if status in set(points["status"])]
    handles = [Line2D([], [], marker=marker, color=colour, label=text, **dots) for text, marker, colour in shown]
    ring = {"marker": "o", "color": INK, "markerfacecolor": "none", "markersize": 9, "linestyle": ""}
    return legend(figure, [*handles, Line2D([], [], label="winner", **ring)], 2)


def curves(study: Study, rows: "pandas.DataFrame", target: float | None = None) -> Figure:
    """Draw the winners' error (regression: RMSE) against steps: the median over the seeds, with the range as a band.

    The target is that of the study, or `target` if steps are read for another one.
    """
    winners = where(rows, phase="winners")
    metric, target = error(study, rows, target)
    sizes, names = sorted(set(winners["batch_size"])), ordered(winners["optimizer"])
    figure, panels = grid([f"B = {size:,}" for size in sizes])
    for axes, size in zip(panels, sizes):
        for name in names:
            _band(axes, where(winners, batch_size=size, optimizer=name), metric, LOOKS[name][0])
        axes.axhline(target, color=GREY, linewidth=1, linestyle="--", zorder=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(number))
        name_x(axes, "step", panels)
    log_y(panels, metric.replace("_", " ").replace("rmse", "RMSE"))
    lines = [Line2D([], [], color=LOOKS[name][0], label=name) for name in names]
    return legend(figure, [*lines, Line2D([], [], color=GREY, linestyle="--", label="target")], 5)


def differences(found: Findings) -> Figure:
    """Draw the ratio of each pair of optimizers with its interval; the intervals hold for all pairs together."""
    pairs = [pair for pair in found.differences if math.isfinite(pair.ratio.value)]
    figure, axes = sheet(0.9 + 0.36 * max(len(pairs), 1))
    axes.axvline(1, color=GREY, linewidth=1)
    for y, pair in enumerate(pairs):
        clear = pair.verdict in (family.FIRST_LESS, family.SECOND_LESS)
        axes.hlines(y, pair.ratio.low, pair.ratio.high, color=INK if clear else "#9aa4ad", linewidth=2)
        axes.plot(pair.ratio.value, y, "o", color=INK, markerfacecolor=INK if clear else "white", markersize=6)
    labels = [f"{pair.first} / {pair.second}\n{pair.quantity}" for pair in pairs]
    axes.set_yticks(range(len(pairs)), labels, size=8)
    axes.set(xscale="log", ylim=(len(pairs) - 0.5, -0.5))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(number))
    axes.set_xlabel("ratio first / second", size=9, color=INK)
    return figure


def error(study: Study, rows: "pandas.DataFrame", target: float | None = None) -> tuple[str, float]:
    """Return the column that the target is about, as error or RMSE, and the target (default: the study's) for it."""
    score, target = score_of(study, rows), study.target if target is None else target
    return (score.replace("accuracy", "error"), 1 - target) if score.endswith("accuracy") else (score, target)


def _scaling(found: Findings, cost: str) -> Figure:
    figure, axes = sheet(3.6)
    cells, top = found.cells, _top([found.cells], cost)
    for i, (name, scaling) in enumerate(found.scaling.items()):
        own = where(cells, optimizer=name)
        _points(axes, own, cost, name, shift(i, len(found.scaling)), top)
        if cost != "seconds" and math.isfinite(scaling.fit.s_min.value):
            B = np.geomspace(own["batch_size"].min(), own["batch_size"].max(), 100)
            fitted = scaling.fit.steps(B) * (B if cost == "examples" else 1)
            axes.plot(B, fitted, color=LOOKS[name][0], linewidth=1.2, zorder=2)
        else:
            _join(axes, own, cost, name, "-" if cost == "seconds" else (0, (1, 3)))
    handles = [_handle(name) for name in found.scaling]
    if cost != "seconds" and np.isfinite(fewest := cells["examples"].min()):
        B = np.unique(cells["batch_size"]).astype(float)
        axes.plot(B, fewest / B if cost == "steps" else np.full(B.size, fewest), ":", color=GREY, zorder=1)
        handles += [Line2D([], [], color=INK, linewidth=1.2, label="fit of S_min + E_min/B")]
        handles += [Line2D([], [], color=GREY, linestyle=":", label="perfect scaling")]
    _finish([axes], cells["batch_size"], UNITS[cost], top, [cells], cost)
    return legend(figure, handles, 4)


def _points(axes: Axes, own: "pandas.DataFrame", cost: str, name: str, shift: float, top: float) -> None:
    """Draw values with their intervals as bars; a miss is a hollow mark on the line at the top."""
    B, middle, low, high = (own[key].to_numpy(float) for key in ("batch_size", cost, f"{cost}_low", f"{cost}_high"))
    colour, marker = LOOKS[name]
    met = np.isfinite(middle)
    some = met & np.isfinite(low)
    axes.vlines(B[some] * shift, low[some], np.minimum(high[some], top), color=colour, linewidth=1, alpha=0.8)
    look = {"color": colour, "markersize": 6, "linestyle": "", "marker": marker, "zorder": 3}
    axes.plot(B[met] * shift, middle[met], markeredgecolor="white", markeredgewidth=0.6, **look)
    axes.plot(B[~met] * shift, np.full((~met).sum(), top), markerfacecolor="white", **look)


def _join(axes: Axes, own: "pandas.DataFrame", cost: str, name: str, dash: str | tuple) -> None:
    B, middle = (own.sort_values("batch_size")[key].to_numpy(float) for key in ("batch_size", cost))
    met = np.isfinite(middle)
    axes.plot(B[met], middle[met], color=LOOKS[name][0], linestyle=dash, linewidth=1.2, zorder=2)


def _finish(
    panels: list[Axes], sizes: Iterable, label: str, top: float, cells: list["pandas.DataFrame"], cost: str
) -> None:
    """Scale the axes of costs against B, and label the line of the misses if there are any."""
    batch_axes(panels, sizes)
    missed = any(np.isinf(table[cost]).any() for table in cells)
    least = min((_least(table, cost) for table in cells), default=1.0)
    panels[0].set_ylim(min(least, top / 3) / 1.5, top * (2.2 if missed else 0.9))
    log_y(panels, label)
    for axes in panels if missed else ():
        if math.isinf(least):
            axes.yaxis.set_major_locator(NullLocator())
        axes.axhline(top, color="#d5dade", linewidth=1, zorder=0)
        place = {"xy": (1, top), "xycoords": ("axes fraction", "data"), "ha": "right", "size": 8, "color": GREY}
        axes.annotate("not reached", xytext=(0, 6), textcoords="offset points", **place)


def _top(cells: list["pandas.DataFrame"], cost: str) -> float:
    """Return the height at which misses are drawn: above everything that is finite."""
    values = np.concatenate([table[[cost, f"{cost}_high"]].to_numpy(float).ravel() for table in cells])
    return 2 * float(values[np.isfinite(values)].max(initial=0)) or 10.0


def _least(cells: "pandas.DataFrame", cost: str) -> float:
    values = cells[[cost, f"{cost}_low"]].to_numpy(float)
    return float(values[np.isfinite(values)].min(initial=np.inf))


def _outcomes(tuned: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the outcome of each rate: REACHED if the median of its trials is finite, else their commonest status."""
    import pandas

    made = []
    for key, trials in tuned.drop_duplicates("trial").groupby(["optimizer", "batch_size", "learning_rate"]):
        name, batch_size, rate = key  # pyright: ignore[reportGeneralTypeIssues]
        reached = np.isfinite(np.median(trials["steps_to_target"].to_numpy(float)))
        made.append((name, batch_size, rate, "REACHED" if reached else trials["status"].mode().iloc[0]))
    return pandas.DataFrame(made, columns=["optimizer", "batch_size", "learning_rate", "status"])


def _band(axes: Axes, own: "pandas.DataFrame", metric: str, colour: str) -> None:
    """Draw the median over the seeds and their range; a seed that has ended keeps its last value."""
    table = own.query("step > 0").pivot_table(index="step", columns="seed", values=metric).ffill()
    axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=colour, alpha=0.18, linewidth=0)
    axes.plot(table.index, table.median(axis=1), color=colour, linewidth=1.4)


def _handle(name: str) -> Line2D:
    colour, marker = LOOKS[name]
    return Line2D([], [], color=colour, marker=marker, linestyle="", markersize=6, label=name)
