"""What a study found, in words: sentences with numbers, which also say what the intervals cover.

Invariant: what was not reached, not settled or not told apart is said in these very words, never left out.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from mlp_jax.analysis import family
from mlp_jax.analysis.family import Pair
from mlp_jax.analysis.power_law import Exponent
from mlp_jax.report import leading
from mlp_jax.report.figures import error
from mlp_jax.study.evidence import COSTS, Findings, definition_of, noise_scales, score_of, where
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import compared, held, interval, number

if TYPE_CHECKING:
    import pandas

LISTED = 6  # comparisons that a sentence names one by one


def max_steps(study: Study) -> str:
    """Return the budget in steps, or the least and the largest if batch sizes have different budgets."""
    least, most = (end(map(study.max_steps_at, study.batch_sizes)) for end in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,} (by batch size)"


def rounds(study: Study) -> str:
    """Return the number of rounds; if optimizers have different numbers, that of each."""
    if isinstance(study.rounds, int):
        return str(study.rounds)
    return ", ".join(f"{count} ({name})" for name, count in study.rounds.items())


def target(study: Study, rows: "pandas.DataFrame", value: float | None = None) -> str:
    """Name the target: 'validation accuracy 0.95'."""
    value = study.target if value is None else value
    if rows.empty:
        return f"the target {value:g}"
    return f"{score_of(study, rows).replace('_', ' ').replace('rmse', 'RMSE')} {value:g}"


def defined(found: Findings) -> str:
    """Say when a trial has met the target."""
    smoothing = found.definition.smoothing
    if smoothing == 1:
        return "the first evaluation that meets it"
    return (
        f"the first step k at which the average of all evaluations since step k/{smoothing:g}, at least five, meets it"
    )


def otherwise(study: Study, found: Findings, rows: "pandas.DataFrame") -> str:
    """Say how the reading of steps to target differs from what the study asked; "" if it does not."""
    own, asked = definition_of(study, rows), found.definition
    if asked == own:
        return ""
    how = "; a target counts as met at the first evaluation that meets it" if asked.smoothing != own.smoothing else ""
    read = f"Read otherwise than asked, from the same trials: to {target(study, rows, asked.target)}{how}"
    return f"{read}. The trials ended, and the rates were tuned, by the study’s own target."


def sentences(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    """Return the answer: the fewest steps, the range of batch sizes that help, differences of optimizers, best rates.

    If the study measured the gradient noise scale, a sentence says how far it is from B_crit.
    """
    if not np.isfinite(found.cells["steps"]).any():
        return _unreached(study, found, rows) + _noise(found)
    few = leading.narrowed(found)
    more = len(found.scaling) - len(few.scaling)
    others = [f"The other {more} optimizers stand in the tables below."] if more else []
    return [
        _soonest(study, found, rows),
        _critical(few),
        _compared([*few.differences, *(pair for pair in found.differences if pair not in few.differences)]),
        _rates(few),
        *_noise(few),
        *others,
        _holds(found),
    ]


def missed(found: Findings) -> str:
    """Return which cells missed the target, by optimizer; if there are many optimizers, only the first ones."""
    sizes = {name: _missed_sizes(found, name) for name in found.scaling}
    said = [f"{name} at B = {', '.join(map(number, own))}" for name, own in sizes.items() if own]
    more = len(said) - leading.OPTIMIZERS
    return "; ".join(said[: leading.OPTIMIZERS]) + (f"; and of {more} more optimizers" if more > 0 else "")


def _soonest(study: Study, found: Findings, rows: "pandas.DataFrame") -> str:
    parts = []
    for cost in COSTS:
        best = found.cells.loc[found.cells[cost].idxmin()]
        spread = f"{number(best[cost])} [{number(best[f'{cost}_low'])}, {number(best[f'{cost}_high'])}]"
        parts.append(f"the fewest {cost} are {best['optimizer']}’s at {_at(best['batch_size'])}: {spread}")
    text = f"To reach {target(study, rows, found.definition.target)}, {'; '.join(parts)}"
    return f"{text}. Each optimizer is tuned at each batch size; a target counts as met at {defined(found)}."


def _critical(found: Findings) -> str:
    known = {name: s.fit for name, s in found.scaling.items() if math.isfinite(s.fit.b_crit.value)}
    unknown = [f"{name} ({s.fit.verdict})" for name, s in found.scaling.items() if name not in known]
    parts = [
        f"{interval(fit.b_crit)} for {name} (the line misses by {100 * fit.misfit:.0f} %)"
        for name, fit in known.items()
    ]
    text = f"The critical batch size E_min/S_min is {', '.join(parts)}" if parts else "No critical batch size is given"
    none = f"; none for {', '.join(unknown)}" if unknown else ""
    ends: dict[float, list[str]] = {}
    for name, scaling in found.scaling.items():
        if math.isfinite(scaling.perfect.high):
            ends.setdefault(scaling.perfect.high, []).append(name)
    spans = [f"up to {_at(end)} for {_listed(names)}" for end, names in sorted(ends.items())]
    return f"{text}{none}. Of the sizes tried, examples to target stay within 1.5 times the fewest {', '.join(spans)}."


def _rates(found: Findings) -> str:
    known = {name: s.exponent for name, s in found.scaling.items() if not s.exponent.missing}
    unknown = [name for name in found.scaling if name not in known]
    parts = [f"B^{_exponent(each)} for {name}" + _rules(each) for name, each in known.items()]
    text = f"Up to B_crit the best learning rate grows as {'; '.join(parts)}" if parts else ""
    none = f"how the best learning rate of {_listed(unknown)} grows is not said: that takes 3 batch sizes up to B_crit"
    said = "; ".join(filter(None, (text, none if unknown else "")))
    return f"{said[:1].upper()}{said[1:]}."


def _exponent(exponent: Exponent) -> str:
    return interval(exponent.estimate) if _closed(exponent) else number(exponent.estimate.value)


def _rules(exponent: Exponent) -> str:
    return f", which {exponent.verdict}" if _closed(exponent) else " (without an interval: the best rates found)"


def _closed(exponent: Exponent) -> bool:
    return math.isfinite(exponent.estimate.low) and math.isfinite(exponent.estimate.high)


def _noise(found: Findings) -> list[str]:
    parts = []
    for name, value in noise_scales(found.cells).items():
        b_crit, apart = found.scaling[name].fit.b_crit.value, ""
        if 0 < b_crit < math.inf and 0 < value < math.inf:
            factor = number(max(value / b_crit, b_crit / value))
            apart = f", a factor of {factor} {'above' if value > b_crit else 'below'} its B_crit"
        own = where(found.cells, optimizer=name)["noise_scale"].to_numpy(float)
        ends = f" ({number(np.nanmin(own))} to {number(np.nanmax(own))})"
        parts.append(f"{number(value)}{ends} for {name}{apart}")
    text = "The gradient noise scale, with each part of a run weighted by its progress"
    over = "the median over the batch sizes, with the least and the most in brackets"
    return [f"{text}, is {'; '.join(parts)}: {over}."] if parts else []


def _holds(found: Findings) -> str:
    return (
        f"The 95 % intervals hold the luck of {held(found)}. They do not hold that of the split and the data, nor the "
        "effects of another definition of the target, or of a line that fits badly."
    )


def _compared(differences: list[Pair]) -> str:
    if not differences:
        return "One optimizer has results, so there is nothing to compare it with."
    quantities = dict.fromkeys(pair.quantity for pair in differences)
    parts = [f"in {what}: {_of([pair for pair in differences if pair.quantity == what])}" for what in quantities]
    count = f"{len(differences)} comparison{'s' * (len(differences) > 1)}"
    text = f"Among {count} (all pairs; Holm, 95 % for all together), "
    return text + ". ".join([parts[0], *(f"{part[:1].upper()}{part[1:]}" for part in parts[1:])]) + "."


def _of(pairs: list[Pair]) -> str:
    """Say how optimizers compare in one quantity."""
    by = lambda *verdicts: [pair for pair in pairs if pair.verdict in verdicts]
    said = [_some([compared(pair).partition(": ")[2] for pair in by(family.FIRST_LESS, family.SECOND_LESS)], "; ")]
    if equal := by(family.NOT_TOLD_APART):
        ends = [
            f"{pair.first} and {pair.second} (ratio between {number(pair.ratio.low)} and {number(pair.ratio.high)})"
            for pair in equal
        ]
        least = number(max(pair.least_ratio for pair in equal))
        said.append(f"not told apart: {_some(ends)}; a ratio below {least} could have been missed")
    if without := [f"{pair.first} and {pair.second}" for pair in by(family.NOT_REACHED)]:
        said.append(f"not compared, as the target was not reached: {_some(without)}")
    return "; ".join(filter(None, said))


def _some(said: list[str], between: str = ", ") -> str:
    more = len(said) - LISTED
    return between.join(said[:LISTED]) + (f"{between}and {more} more pairs in the table below" if more > 0 else "")


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _unreached(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    metric, _ = error(study, rows)
    ends = found.winners.groupby(["optimizer", "batch_size"])[metric].median()
    optimizer, batch_size = ends.idxmin()  # pyright: ignore[reportGeneralTypeIssues]
    change = "a lower target" if score_of(study, rows).endswith("accuracy") else "a higher target"
    budget = f"{max_steps(study)} steps or {number(study.max_epochs)} epochs"
    words, least = metric.replace("_", " ").replace("rmse", "RMSE"), number(ends.to_numpy(float).min())
    met = int(found.cells["reached"].sum() + np.isfinite(found.winners["steps_to_target"]).sum())
    who = f"most fresh seeds of a winner ({met} trials did)" if met else "any trial"
    return [
        f"Not reached: {target(study, rows, found.definition.target)} was not met by {who} at any batch size within "
        f"{budget}.",
        f"The closest was {optimizer} at {_at(batch_size)}, whose median {words} ended at {least}.",
        f"So there are no steps to target to compare and no critical batch size; give a larger budget or {change}.",
    ]


def _at(batch_size: SupportsFloat) -> str:
    return f"B\u00a0=\u00a0{number(batch_size)}"  # one line holds it


def _missed_sizes(found: Findings, name: str) -> Iterable[float]:
    own = where(found.cells, optimizer=name)
    return own["batch_size"].to_numpy(float)[np.isinf(own["steps"].to_numpy(float))].tolist()
