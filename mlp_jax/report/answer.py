"""What a study found, in words and tables: three sentences with numbers, and every number behind the figures.

Invariant: what was not reached, not settled or not different is said in these words, never left out.
"""

import math
from typing import TYPE_CHECKING, NamedTuple, SupportsFloat

import numpy as np

from mlp_jax.analysis import comparison
from mlp_jax.report.figures import error, verdict, where
from mlp_jax.study.evidence import COSTS, Findings, best_batch_sizes, interval, noise_scales, number
from mlp_jax.study.plan import Study

if TYPE_CHECKING:
    import pandas

LISTED = 6  # pairs that a sentence names one by one


class Cell(NamedTuple):
    """An entry of a table: what is written, and what it is sorted by."""

    text: str
    key: str | float


class Table(NamedTuple):
    """A table of the page."""

    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]


def max_steps(study: Study) -> str:
    """Return the budget in steps, from the least to the largest where batch sizes have budgets of their own."""
    least, most = (end(map(study.max_steps_at, study.batch_sizes)) for end in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,} (by batch size)"


def target(study: Study, rows: "pandas.DataFrame") -> str:
    """Name the target: 'validation accuracy 0.95'."""
    if rows.empty:
        return f"the target {study.target:g}"
    split, kind = error(rows, study.target)[0].split("_")
    return f"{split} {'RMSE' if kind == 'rmse' else 'accuracy'} {study.target:g}"


def sentences(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    """Return the answer: which is soonest, up to where batch size helps, and whether the optimizers differ.

    A study that measured the gradient noise scale also says how far that is from B_crit.
    """
    if not np.isfinite(found.cells["steps"]).any():
        return _unreached(study, found, rows) + _noise(found)
    return [_soonest(study, found, rows), _critical(found), _compared(found), *_noise(found)]


def compared(found: Findings) -> bool:
    """Tell whether there are optimizers to compare: several, and the target was reached."""
    return bool(found.differences) and bool(np.isfinite(found.cells["steps"]).any())


def missed(found: Findings) -> str:
    """Return which cells' winners missed the target at the median of their seeds, by optimizer."""
    sizes = {name: _missed_sizes(found, name) for name in found.scaling}
    return "; ".join(f"{name} at B = {', '.join(map(number, own))}" for name, own in sizes.items() if own)


def tables(study: Study, found: Findings) -> list[Table]:
    """Return the tables: cells, optimizers, and differences where there are some to speak of."""
    made = [_cells(study, found), _optimizers(found)]
    return [*made, _differences(found)] if compared(found) else made


def _soonest(study: Study, found: Findings, rows: "pandas.DataFrame") -> str:
    parts, seeds = [], found.winners.groupby("cell").size().max()
    for cost in COSTS:
        best = found.cells.loc[found.cells[cost].idxmin()]
        spread = f"{number(best[cost])} ({number(best[f'{cost}_low'])} to {number(best[f'{cost}_high'])})"
        parts.append(f"the fewest {cost} are {best['optimizer']}’s at {_at(best['batch_size'])}: {spread}")
    text = f"To reach {target(study, rows)}, {'; '.join(parts)}"
    return f"{text} – the median and the range of {seeds} seeds, each optimizer tuned at each batch size."


def _critical(found: Findings) -> str:
    known = {name: s for name, s in found.scaling.items() if math.isfinite(s.fit.b_crit.value)}
    unknown = [f"{name} ({s.fit.verdict})" for name, s in found.scaling.items() if name not in known]
    parts = [f"{interval(s.fit.b_crit)} for {name}" for name, s in known.items()]
    text = f"The critical batch size is {', '.join(parts)}" if parts else "No critical batch size could be fitted"
    none = f"; none for {', '.join(unknown)}" if unknown else ""
    ends: dict[float, list[str]] = {}
    for name, scaling in found.scaling.items():
        if math.isfinite(scaling.perfect.high):
            ends.setdefault(scaling.perfect.high, []).append(name)
    spans = [f"{_at(end)} for {_listed(names)}" for end, names in sorted(ends.items())]
    return f"{text}{none}; twice the batch size halves the steps, as far as was tried, up to {', '.join(spans)}."


def _noise(found: Findings) -> list[str]:
    parts = []
    for name, value in noise_scales(found.cells).items():
        b_crit, apart = found.scaling[name].fit.b_crit.value, ""
        if 0 < b_crit < math.inf and 0 < value < math.inf:
            factor = number(max(value / b_crit, b_crit / value))
            apart = f", a factor of {factor} {'above' if value > b_crit else 'below'} its B_crit"
        parts.append(f"{number(value)} for {name}{apart}")
    text = "Averaged over a run (and as the median over the batch sizes), the gradient noise scale is"
    return [f"{text} {'; '.join(parts)}."] if parts else []


def _compared(found: Findings) -> str:
    if not found.differences:
        return "One optimizer has results, so there is nothing to compare it with."
    verdicts = {names: by_cost["steps"].verdict for names, by_cost in found.differences.items()}
    less: dict[str, list[str]] = {}
    for (a, b), said in verdicts.items():
        if said in (comparison.FIRST_LESS, comparison.SECOND_LESS):
            first, second = (a, b) if said == comparison.FIRST_LESS else (b, a)
            less.setdefault(first, []).append(second)
    count = sum(map(len, less.values()))
    text = f"In {count} of {len(verdicts)} comparisons, each at its best batch size and paired by seed,"
    text += " one optimizer takes fewer steps than the other"
    text += f" ({'; '.join(f'{name} than {_listed(others)}' for name, others in less.items())})" * bool(less)
    equal = [f"{a} and {b}" for (a, b), said in verdicts.items() if said == comparison.NO_DIFFERENCE]
    between = ", ".join(equal) if len(equal) <= LISTED else f"{len(equal)} pairs"
    text += f"; no difference found between {between}" * bool(equal)
    return text + "; too few seeds to tell, 5 are needed" * (comparison.TOO_FEW in verdicts.values()) + "."


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _unreached(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    metric, _ = error(rows, study.target)
    ends = found.winners.groupby(["optimizer", "batch_size"])[metric].median()
    optimizer, batch_size = ends.idxmin()  # pyright: ignore[reportGeneralTypeIssues]
    change = "a higher target" if metric.endswith("rmse") else "a lower target"
    budget = f"{max_steps(study)} steps or {number(study.max_epochs)} epochs"
    words, least = metric.replace("_", " ").replace("rmse", "RMSE"), number(ends.to_numpy(float).min())
    return [
        f"Not reached: no optimizer met {target(study, rows)} at any batch size within {budget}, "
        "at the median of its seeds.",
        f"The closest was {optimizer} at {_at(batch_size)}, whose median {words} ended at {least}.",
        f"So there are no steps to target to compare and no critical batch size; give a larger budget or {change}.",
    ]


def _at(batch_size: SupportsFloat) -> str:
    return f"B\u00a0=\u00a0{number(batch_size)}"  # one line holds it


def _missed_sizes(found: Findings, name: str) -> list[float]:
    own = where(found.cells, optimizer=name)
    return own["batch_size"].to_numpy(float)[np.isinf(own["steps"].to_numpy(float))].tolist()


def of_number(value: SupportsFloat) -> Cell:
    """Return the entry of a number; what is unknown is sorted to the end."""
    return Cell(number(value), _key(float(value)))


def _key(value: float) -> float:
    """What is unknown is sorted to the end."""
    return math.inf if math.isnan(value) else value


def of_text(text: str) -> Cell:
    """Return the entry of words."""
    return Cell(text, text)


def _cells(study: Study, found: Findings) -> Table:
    tests = [name for name in ("test_accuracy", "test_rmse") if name in found.cells]
    columns = ["optimizer", "B", "learning rate", *COSTS, *(name.replace("_", " ") for name in tests)]
    columns += ["others tuned", "noise scale", "trials reached", "infeasible"]
    rows = []
    for row in found.cells.to_dict("records"):
        made = [of_text(row["optimizer"]), of_number(row["batch_size"]), of_number(row["learning_rate"])]
        made += [_with_range(row, cost) for cost in COSTS] + [of_number(row[name]) for name in tests]
        reached = Cell(f"{row['reached']} of {row['trials']}", row["reached"] / max(row["trials"], 1))
        made += [of_text(_tuned(study, found, row)), _noise_scale(row["noise_scale"])]
        rows.append([*made, reached, of_number(row["infeasible"])])
    note = "The winner of each cell, run again alone with fresh seeds: median [least, greatest] to target."
    return _without_empty(_without_empty(Table("Every cell", note, columns, rows), "others tuned"), "noise scale")


def _noise_scale(value: float) -> Cell:
    return Cell("", math.inf) if math.isnan(value) else of_number(value)


def _with_range(row: dict, cost: str) -> Cell:
    middle, low, high = (row[key] for key in (cost, f"{cost}_low", f"{cost}_high"))
    if math.isinf(low):
        return Cell("not reached", math.inf)
    middle_text = "not reached" if math.isinf(middle) else number(middle)
    return Cell(f"{middle_text} [{number(low)}, {number(high)}]", middle)


def _tuned(study: Study, found: Findings, row: dict) -> str:
    names = [name for name, space in study.spaces[row["optimizer"]].items() if name != "learning_rate"]
    own = where(found.winners, optimizer=row["optimizer"], batch_size=row["batch_size"]).iloc[0]
    return ", ".join(f"{name.replace('_', ' ')} {number(float(own[name]))}" for name in names)


def _without_empty(table: Table, column: str) -> Table:
    """Leave a column out where nothing is written in it."""
    at = table.columns.index(column)
    if any(row[at].text for row in table.rows):
        return table
    drop = lambda row: [entry for i, entry in enumerate(row) if i != at]
    return table._replace(columns=drop(table.columns), rows=[drop(row) for row in table.rows])


def _optimizers(found: Findings) -> Table:
    columns = ["optimizer", *(f"best B for {cost}" for cost in COSTS), "B_crit", "S_min", "E_min"]
    columns += ["perfect scaling", "misfit of the line", "verdict"]
    rows = []
    for name, (fit, perfect) in found.scaling.items():
        best = best_batch_sizes(found.cells, name).values()
        made = [Cell("not reached", math.inf) if size is None else of_number(size) for size in best]
        made += [Cell(interval(each), _key(each.value)) for each in (fit.b_crit, fit.s_min, fit.e_min)]
        span = "–" if math.isnan(perfect.high) else f"B = {number(perfect.low)} to {number(perfect.high)}"
        misfit = Cell("–" if math.isnan(fit.misfit) else f"{fit.misfit:.0%}", _key(fit.misfit))
        rows.append([of_text(name), *made, Cell(span, _key(perfect.high)), misfit, of_text(fit.verdict)])
    note = "B_crit = E_min/S_min, with 95 % bootstrap intervals over seeds; an open end is 0 or ∞."
    return Table("Every optimizer", note, columns, rows)


def _differences(found: Findings) -> Table:
    columns = ["first − second", *(entry for cost in COSTS for entry in (cost, f"verdict on {cost}"))]
    rows = []
    for (a, b), by_cost in found.differences.items():
        made = [of_text(f"{a} − {b}")]
        for cost, difference in by_cost.items():
            made += [Cell(interval(difference.estimate), _key(difference.estimate.value))]
            made += [of_text(verdict(a, b, difference.verdict, cost))]
        rows.append(made)
    note = "Each optimizer at its best batch size for that cost, paired by seed: median [95 % bootstrap interval]."
    return Table("Every two optimizers", note, columns, rows)
