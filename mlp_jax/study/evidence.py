"""What a study has found: tables of a store's rows, with intervals.

Invariant: a finding is a function of the rows and the Study alone; what is missing or was missed is said, not left out.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsFloat

import numpy as np

from mlp_jax import tables
from mlp_jax.analysis import bootstrap, comparison, critical_batch_size, noise
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.comparison import Difference
from mlp_jax.analysis.critical_batch_size import Fit, Range
from mlp_jax.machine.files import finite
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas


class Scaling(NamedTuple):
    """How one optimizer's steps to target fall with the batch size."""

    fit: Fit
    perfect: Range


class Findings(NamedTuple):
    """`winners`: a row per winner's seed, alone. `cells`: a row per optimizer and batch size, medians over the seeds.

    `cells["noise_scale"]` is the run-averaged gradient noise scale of the seed that measured it, NaN where none did.
    `differences` compare each two optimizers at their best batch size, seed by seed, in steps, examples and seconds.
    """

    winners: "pandas.DataFrame"
    cells: "pandas.DataFrame"
    scaling: dict[str, Scaling]
    differences: dict[tuple[str, str], dict[str, Difference]]


COSTS = ("steps", "examples", "seconds")


def findings(rows: "pandas.DataFrame") -> Findings:
    """Return what the rows of `read_study` say.

    Raises:
        ValueError: no winner has been run yet.
    """
    if rows.empty or "winners" not in set(rows["phase"]):
        raise ValueError("the study has no winner yet; let it run on")
    winners = _to_target(_where(rows, phase="winners"))
    optimizers = list(dict.fromkeys(winners["optimizer"]))
    of = {name: _where(winners, optimizer=name) for name in optimizers}
    scaling = {name: _scaling(table) for name, table in of.items()}
    pairs = [(a, b) for i, a in enumerate(optimizers) for b in optimizers[i + 1 :]]
    return Findings(winners, _cells(rows, winners), scaling, {(a, b): _differences(of[a], of[b]) for a, b in pairs})


def best_batch_sizes(cells: "pandas.DataFrame", optimizer: str) -> dict[str, int | None]:
    """Return the batch size of an optimizer with the least steps, examples and seconds to target; None: none met it."""
    own = _where(cells, optimizer=optimizer)
    return {cost: _least(own["batch_size"].to_numpy(), own[cost].to_numpy(float)) for cost in COSTS}


def noise_scales(cells: "pandas.DataFrame") -> dict[str, float]:
    """Return the run-averaged noise scale of each optimizer that has one: the median over its batch sizes."""
    known = cells.loc[cells["noise_scale"].notna()]
    medians = {name: _where(known, optimizer=name)["noise_scale"].to_numpy(float) for name in known["optimizer"]}
    return {name: float(np.median(values)) for name, values in medians.items()}


def to_json(found: Findings) -> dict[str, Any]:
    """Return the findings as plain values; None stands for a miss or an open end of an interval."""
    cells = found.cells
    steps, noise_scale = _by_cell(found, "steps"), _by_cell(found, "noise_scale")
    critical = {
        name: {
            "value": scaling.fit.b_crit.value,
            "low": scaling.fit.b_crit.low,
            "high": scaling.fit.b_crit.high,
            "verdict": scaling.fit.verdict,
            "perfect_scaling": list(scaling.perfect),
        }
        for name, scaling in found.scaling.items()
    }
    differences = [
        {"first": a, "second": b} | {cost: difference._asdict() for cost, difference in by_cost.items()}
        for (a, b), by_cost in found.differences.items()
    ]
    counts = {"cells": len(cells), "trials": sum(cells["trials"].tolist()) + len(found.winners)}
    best = {name: best_batch_sizes(cells, name) for name in found.scaling}
    results = {"steps_to_target": steps, "critical_batch_size": critical, "best_batch_size": best}
    results |= {"noise_scale": noise_scale} if noise_scales(cells) else {}
    return finite(counts | results | {"differences": differences})


def table(found: Findings) -> str:
    """Return the findings as text: what each optimizer does best at which batch size, B_crit, and real differences."""
    rows = []
    for name, scaling in found.scaling.items():
        best = best_batch_sizes(found.cells, name)
        own = _where(found.cells, optimizer=name).set_index("batch_size")
        cells = [
            "not reached" if size is None else f"{size} ({number(own.loc[size, cost])})" for cost, size in best.items()
        ]
        rows.append((name, *cells, interval(scaling.fit.b_crit)))
    lines = [tables.text(("optimizer", *(f"best B ({cost})" for cost in COSTS), "B_crit"), rows)]
    lines += ["", "differences in steps to target, each at its best batch size, paired by seed:"]
    for (a, b), by_cost in found.differences.items():
        difference = by_cost["steps"]
        lines.append(f"  {a} − {b}: {interval(difference.estimate)}: {difference.verdict}")
    return "\n".join(lines)


def number(value: SupportsFloat) -> str:
    """Write a number to three digits, without powers of ten; an open end is ∞, and what is unknown –."""
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
    """Write an estimate with its interval."""
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _by_cell(found: Findings, column: str) -> dict[str, dict[str, float]]:
    """The values of one column, by optimizer and batch size."""
    values: dict[str, dict[str, float]] = {name: {} for name in found.scaling}
    for row in found.cells.to_dict("records"):
        values[row["optimizer"]][str(row["batch_size"])] = row[column]
    return values


def _to_target(rows: "pandas.DataFrame") -> "pandas.DataFrame":
    """A row per trial: where it ended, and its steps, examples and training seconds to target."""
    last = rows.sort_values("step").groupby("trial", sort=False).tail(1).copy()
    met = np.isfinite(last["steps_to_target"])
    last["target_steps"] = last["steps_to_target"]
    last["target_examples"] = last["steps_to_target"] * last["batch_size"]
    last["target_seconds"] = np.where(met, last["training_seconds"], np.inf)
    last["place"] = last["optimizer"].map(list(OPTIMIZERS).index)
    return last.sort_values(["place", "batch_size", "seed"], kind="stable").drop(columns="place").reset_index(drop=True)


def ordered(names: Iterable[str]) -> list[str]:
    """Return the optimizers' names, each once, in the order of their table: plain ones first."""
    return sorted(set(names), key=list(OPTIMIZERS).index)


def _cells(rows: "pandas.DataFrame", winners: "pandas.DataFrame") -> "pandas.DataFrame":
    import pandas

    tuned = _where(rows, phase="tuning").groupby("trial", sort=False).head(1)
    names = [name for name in winners if name.startswith("test_")]
    made = []
    for optimizer, batch_size in dict.fromkeys(zip(winners["optimizer"], winners["batch_size"])):
        own, tried = (_where(some, optimizer=optimizer, batch_size=batch_size) for some in (winners, tuned))
        row: dict[str, Any] = {
            "optimizer": optimizer,
            "batch_size": batch_size,
            "learning_rate": own["learning_rate"].iloc[0],
        }
        for cost in COSTS:
            values = own[f"target_{cost}"].to_numpy(float)
            row[cost] = float(bootstrap.median(values))
            row[f"{cost}_low"], row[f"{cost}_high"] = float(values.min()), float(values.max())
        row["noise_scale"] = _noise_scale(_where(rows, phase="winners", optimizer=optimizer, batch_size=batch_size))
        row |= {name: float(np.median(own[name].to_numpy(float))) for name in names}
        row |= {"trials": len(tried), "infeasible": len(_where(tried, status=Status.INFEASIBLE))}
        made.append(row | {"reached": int(np.isfinite(tried["steps_to_target"].to_numpy(float)).sum())})
    return pandas.DataFrame(made)


def _noise_scale(rows: "pandas.DataFrame") -> float:
    """The run-averaged noise scale of a cell, from the rows of the seed that measured it."""
    if "noise_trace" not in rows:
        return math.nan
    own = rows.loc[rows["noise_trace"].notna()]
    return noise.run_average(*(own[name].to_numpy(float) for name in ("step", "noise_trace", "noise_squared_norm")))


def _scaling(winners: "pandas.DataFrame") -> Scaling:
    """Fit the steps; a target that is met before the first counts as one step, as no line holds a 0."""
    sizes, steps = winners["batch_size"].to_numpy(), np.maximum(winners["target_steps"].to_numpy(float), 1)
    return Scaling(critical_batch_size.fit(sizes, steps), critical_batch_size.perfect_scaling(sizes, steps))


def _differences(first: "pandas.DataFrame", second: "pandas.DataFrame") -> dict[str, Difference]:
    return {cost: comparison.difference(_best(first, cost), _best(second, cost)) for cost in COSTS}


def _best(winners: "pandas.DataFrame", cost: str) -> np.ndarray:
    """The cost of each seed at the batch size with the least median."""
    sizes, values = winners["batch_size"].to_numpy(), winners[f"target_{cost}"].to_numpy(float)
    different = np.unique(sizes)
    medians = np.array([bootstrap.median(values[sizes == size]) for size in different])
    own = sizes == (_least(different, medians) or different[-1])
    return values[own][np.argsort(winners["seed"].to_numpy()[own], kind="stable")]


def _least(sizes: np.ndarray, costs: np.ndarray) -> int | None:
    """The batch size with the least cost, the largest of equals; None where none is finite."""
    least = costs.min()
    return int(sizes[costs == least].max()) if math.isfinite(least) else None


def _where(rows: "pandas.DataFrame", **values: Any) -> "pandas.DataFrame":
    """The rows that have these values."""
    kept = np.ones(len(rows), bool)
    for name, value in values.items():
        kept &= rows[name].to_numpy() == value
    return rows.loc[kept]
