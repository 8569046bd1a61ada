"""The findings of a study as plain values for programs, and as text for a terminal.

Invariant: nothing is computed here; every number comes from `evidence.Findings` with its interval.
"""

import math
from typing import Any, SupportsFloat

import numpy as np

from mlp_jax import tables
from mlp_jax.analysis import family
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import Pair
from mlp_jax.machine.files import finite
from mlp_jax.study.evidence import COSTS, Findings, best_batch_sizes, where

WITH_INTERVAL = {"steps": "steps_to_target", "learning_rate": "best_learning_rate", "noise_scale": "noise_scale"}


def to_json(found: Findings) -> dict[str, Any]:
    """Return the findings as plain values; None stands for a miss or an open end of an interval.

    >>> from pathlib import Path
    >>> from mlp_jax.study import findings, read_plan, read_study
    >>> said = to_json(findings(read_study("runs/mine"), read_plan(Path("runs/mine"))))
    >>> sorted(said["steps_to_target"]["sgd"])
    ['32', '8', '96']
    """
    critical, exponents = {}, {}
    for name, (fit, perfect, exponent) in found.scaling.items():
        lines = {"s_min": fit.s_min._asdict(), "e_min": fit.e_min._asdict(), "misfit": fit.misfit}
        said = {"verdict": fit.verdict, "perfect_scaling": list(perfect)}
        critical[name] = fit.b_crit._asdict() | lines | said
        exponents[name] = exponent.estimate._asdict() | {"sizes": list(exponent.sizes), "verdict": exponent.verdict}
    results: dict[str, Any] = {
        "cells": len(found.cells),
        "trials": sum(found.cells["trials"].tolist()) + len(found.winners),
        "definition": found.definition._asdict(),
        "intervals_hold": held(found),
    }
    for column, called in WITH_INTERVAL.items():
        if bool(np.isfinite(found.cells[column].to_numpy(float)).any()):
            results |= {called: _by_cell(found, column)}
            results |= {f"{called}_interval": _by_cell(found, f"{column}_low", f"{column}_high")}
    results |= {"steps_to_target_by_first_crossing": _by_cell(found, "first_crossing")}
    results |= {"critical_batch_size": critical, "learning_rate_exponent": exponents}
    results |= {"best_batch_size": {name: best_batch_sizes(found.cells, name) for name in found.scaling}}
    differences = [pair._asdict() | {"ratio": pair.ratio._asdict()} for pair in found.differences]
    return finite(results | {"differences": differences})


def held(found: Findings) -> str:
    """Say which luck the intervals hold."""
    return "; ".join(dict.fromkeys(best.holds for best in found.best.values()))


def table(found: Findings) -> str:
    """Return the findings as text: the best batch sizes of each optimizer, B_crit, and how optimizers differ.

    >>> from pathlib import Path
    >>> from mlp_jax.study import findings, read_plan, read_study
    >>> text = table(findings(read_study("runs/mine"), read_plan(Path("runs/mine"))))
    >>> [line.split()[0] for line in text.splitlines()[:3]]
    ['optimizer', 'sgd', 'momentum']
    """
    rows = []
    for name, scaling in found.scaling.items():
        best = best_batch_sizes(found.cells, name)
        own = where(found.cells, optimizer=name).set_index("batch_size")
        cells = [
            "not reached" if size is None else f"{size} ({number(own.loc[size, cost])})" for cost, size in best.items()
        ]
        misfit = "–" if math.isnan(scaling.fit.misfit) else f"{100 * scaling.fit.misfit:.0f} %"
        rows.append((name, *cells, interval(scaling.fit.b_crit), misfit, interval(scaling.exponent.estimate)))
    heads = ("optimizer", *(f"best B ({cost})" for cost in COSTS), "B_crit [95 %]", "misfit", "rate ∝ B^")
    lines = [tables.text(heads, rows), ""]
    for name, scaling in found.scaling.items():
        if math.isnan(scaling.fit.b_crit.value):
            lines.append(f"{name}: {scaling.fit.verdict}")
    lines += [
        f"intervals hold the luck of {held(found)}; not of the split, the data or the definition of the target",
        "",
    ]
    lines += [f"differences ({len(found.differences)} comparisons, together 95 %, Holm):"] if found.differences else []
    lines += [f"  {compared(pair)}" for pair in found.differences]
    return "\n".join(lines)


def compared(pair: Pair) -> str:
    """Say how two optimizers compare: 'steps at B = 512: sgd takes 1.9 to 3.1 times as many as momentum'."""
    ratio, first, second = pair.ratio, pair.first, pair.second
    if pair.verdict == family.FIRST_LESS:
        ratio, first, second = Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low), second, first
    if pair.verdict in (family.FIRST_LESS, family.SECOND_LESS):
        return f"{pair.quantity}: {first} takes {number(ratio.low)} to {number(ratio.high)} times as many as {second}"
    if pair.verdict == family.NOT_REACHED:
        return f"{pair.quantity}: {first} and {second}: {pair.verdict}"
    ends = f"ratio between {number(ratio.low)} and {number(ratio.high)}"
    seen = f"{number(pair.least_ratio)} would have been seen"
    return f"{pair.quantity}: {first} and {second} are not told apart ({ends}; {seen})"


def number(value: SupportsFloat) -> str:
    """Return a number as text with three digits, without powers of ten; an open end is ∞, an unknown number –."""
    value = float(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 999.5:
        text = f"{value:,.0f}"
    else:
        text = np.format_float_positional(value, precision=3, unique=False, fractional=False, trim="-")
    return text.replace("-", "−")


def interval(estimate: Estimate) -> str:
    """Return an estimate with its interval as text; – alone if neither is known."""
    if math.isnan(estimate.value) and estimate.low in (0, -math.inf) and estimate.high == math.inf:
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _by_cell(found: Findings, *columns: str) -> dict[str, dict[str, Any]]:
    """Return the values of one column, or of two as a list, by optimizer and batch size."""
    values: dict[str, dict[str, Any]] = {name: {} for name in found.scaling}
    for row in found.cells.to_dict("records"):
        each = [row[column] for column in columns]
        values[row["optimizer"]][str(row["batch_size"])] = each if len(each) > 1 else each[0]
    return values
