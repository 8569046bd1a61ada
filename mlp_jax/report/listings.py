"""Tables of the page: every number behind the figures, each entry with a key to sort it by.

Invariant: an entry that is unknown or was not reached says so, and is sorted to the end.
"""

import math
from typing import NamedTuple, SupportsFloat

from mlp_jax.study.evidence import COSTS, Findings, best_batch_sizes, where
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import compared, interval, number

DIFFERENCES = "All pairs of optimizers, in steps at the largest batch size and in examples at the smallest"


class Cell(NamedTuple):
    """An entry of a table: its text, and the key by which it is sorted."""

    text: str
    key: str | float


class Table(NamedTuple):
    """A table of the page."""

    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]


def tables(study: Study, found: Findings) -> list[Table]:
    """Return the tables: cells, optimizers, and differences where there are any."""
    made = [_cells(study, found), _optimizers(found)]
    return [*made, _differences(found)] if found.differences else made


def of_number(value: SupportsFloat) -> Cell:
    """Return the entry of a number; NaN is sorted to the end."""
    return Cell(number(value), _key(float(value)))


def of_text(text: str) -> Cell:
    """Return the entry of a text."""
    return Cell(text, text)


def _key(value: float) -> float:
    """Return the key of a number; NaN is sorted to the end."""
    return math.inf if math.isnan(value) else value


def _p(value: float) -> Cell:
    return Cell("< 0.001" if value < 0.001 else number(value), _key(value))


def _cells(study: Study, found: Findings) -> Table:
    tests = [name for name in ("test_accuracy", "test_rmse") if name in found.cells]
    columns = ["optimizer", "B", "best learning rate", *COSTS, "steps by first crossing"]
    columns += [name.replace("_", " ") for name in tests]
    columns += ["others tuned", "noise scale", "trials reached", "infeasible"]
    rows = []
    for row in found.cells.to_dict("records"):
        made = [of_text(row["optimizer"]), of_number(row["batch_size"]), _rate(found, row)]
        made += [_with_interval(row, cost) for cost in COSTS] + [of_number(row["first_crossing"])]
        made += [of_number(row[name]) for name in tests]
        reached = Cell(f"{row['reached']} of {row['trials']}", row["reached"] / max(row["trials"], 1))
        made += [of_text(_tuned(study, found, row)), _noise_scale(row)]
        rows.append([*made, reached, of_number(row["infeasible"])])
    note = "Each cell as tuned best, with 95 % intervals. Seconds are steps × this device’s time of a step, the median "
    note += "over the fresh seeds, whose spread is not in the interval; test results are medians over these seeds."
    return _without_empty(_without_empty(Table("Every cell", note, columns, rows), "others tuned"), "noise scale")


def _rate(found: Findings, row: dict) -> Cell:
    value, low, high = (row[f"learning_rate{end}"] for end in ("", "_low", "_high"))
    ends = f" [{number(low)}, {number(high)}]" if low > 0 and math.isfinite(high) else ""
    return Cell(f"{number(value)}{ends}{_at_end(found, row, 'learning_rate')}", _key(value))


def _at_end(found: Findings, row: dict, name: str) -> str:
    """Say if the best value of a hyper-parameter lies at an end of its space: there may be better ones beyond it."""
    valley = found.best[row["optimizer"], row["batch_size"]].valley
    here = row["at_end"] and valley is not None and valley.name == name
    return f", at the {row['at_end']} end of its space" if here else ""


def _noise_scale(row: dict) -> Cell:
    if math.isnan(row["noise_scale"]):
        return Cell("", math.inf)
    ends = f" [{number(row['noise_scale_low'])}, {number(row['noise_scale_high'])}]"
    return Cell(f"{number(row['noise_scale'])}{ends}", _key(row["noise_scale"]))


def _with_interval(row: dict, cost: str) -> Cell:
    middle, low, high = (row[key] for key in (cost, f"{cost}_low", f"{cost}_high"))
    if math.isinf(middle):
        return Cell("not reached", math.inf)
    return Cell(f"{number(middle)} [{number(low)}, {number(high)}]", middle)


def _tuned(study: Study, found: Findings, row: dict) -> str:
    names = [name for name in study.spaces[row["optimizer"]] if name != "learning_rate"]
    own = where(found.winners, optimizer=row["optimizer"], batch_size=row["batch_size"]).iloc[0]
    said = [f"{name.replace('_', ' ')} {number(float(own[name]))}{_at_end(found, row, name)}" for name in names]
    return ", ".join(said)


def _without_empty(table: Table, column: str) -> Table:
    """Leave a column out if all its entries are empty."""
    at = table.columns.index(column)
    if any(row[at].text for row in table.rows):
        return table
    drop = lambda row: [entry for i, entry in enumerate(row) if i != at]
    return table._replace(columns=drop(table.columns), rows=[drop(row) for row in table.rows])


def _optimizers(found: Findings) -> Table:
    columns = ["optimizer", *(f"best B for {cost}" for cost in COSTS), "B_crit", "S_min", "E_min", "misfit of the line"]
    columns += ["examples within 1.5 × the fewest", "best rate ∝ B^", "verdict"]
    rows = []
    for name, (fit, perfect, exponent) in found.scaling.items():
        best = best_batch_sizes(found.cells, name).values()
        made = [Cell("not reached", math.inf) if size is None else of_number(size) for size in best]
        made += [Cell(interval(each), _key(each.value)) for each in (fit.b_crit, fit.s_min, fit.e_min)]
        misfit = Cell("–" if math.isnan(fit.misfit) else f"{100 * fit.misfit:.0f} %", _key(fit.misfit))
        span = "–" if math.isnan(perfect.high) else f"B = {number(perfect.low)} to {number(perfect.high)}"
        grows = Cell("–" if exponent.missing else interval(exponent.estimate), _key(exponent.estimate.value))
        said = f"{fit.verdict}; rate: {exponent.verdict}"
        rows.append([of_text(name), *made, misfit, Cell(span, _key(perfect.high)), grows, of_text(said)])
    note = "B_crit = E_min/S_min, with 95 % intervals; an open end is 0 or ∞. It is not given if the line misfits."
    return Table("Every optimizer", note, columns, rows)


def _differences(found: Findings) -> Table:
    columns = ["what", "first / second", "ratio [95 % for all together]", "p (Holm)", "least ratio seen", "verdict"]
    rows = []
    for pair in found.differences:
        made = [of_text(pair.quantity), of_text(f"{pair.first} / {pair.second}")]
        made += [Cell(interval(pair.ratio), _key(pair.ratio.value)), _p(pair.p), of_number(pair.least_ratio)]
        rows.append([*made, of_text(compared(pair).partition(": ")[2])])
    note = (
        f"{DIFFERENCES}: a family fixed beforehand. The least ratio is one that would have been seen in 4 of 5 studies."
    )
    return Table("Every two optimizers", note, columns, rows)
