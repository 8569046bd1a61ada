"""What a study found, in words: sentences with numbers, each saying what its interval holds.

Invariant: what was not reached, not settled or not told apart is said in these words, never left out.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from mlp_jax.analysis import family
from mlp_jax.report.figures import error
from mlp_jax.study.evidence import COSTS, Findings, noise_scales, score_of, where
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import compared, held, interval, number

if TYPE_CHECKING:
    import pandas

LISTED = 6  # comparisons that a sentence names one by one


def max_steps(study: Study) -> str:
    """Return the budget in steps, from the least to the largest where batch sizes have budgets of their own."""
    least, most = (end(map(study.max_steps_at, study.batch_sizes)) for end in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,} (by batch size)"


def rounds(study: Study) -> str:
    """Return the number of rounds, of each optimizer where they differ."""
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
    smoothing, every = found.definition.smoothing, found.definition.every
    looks = "" if every == 1 else f" (of every {every}th evaluation)"
    if smoothing == 1:
        return f"the first evaluation{looks} that meets it"
    return f"the first step k at which all evaluations{looks} since step k/{smoothing:g} together meet it"


def sentences(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    """Return the answer: which is soonest, up to where batch size helps, whether the optimizers differ, and the rates.

    A study that measured the gradient noise scale also says how far that is from B_crit.
    """
    if not np.isfinite(found.cells["steps"]).any():
        return _unreached(study, found, rows) + _noise(found)
    return [
        _soonest(study, found, rows),
        _critical(found),
        _compared(found),
        _rates(found),
        *_noise(found),
        _holds(found),
    ]


def missed(found: Findings) -> str:
    """Return which cells missed the target, by optimizer."""
    sizes = {name: _missed_sizes(found, name) for name in found.scaling}
    return "; ".join(f"{name} at B = {', '.join(map(number, own))}" for name, own in sizes.items() if own)


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
    parts = [f"B^{interval(each.estimate)} for {name}, which {each.verdict}" for name, each in known.items()]
    text = f"Up to B_crit the best learning rate grows as {'; '.join(parts)}" if parts else ""
    none = f"how the best learning rate of {_listed(unknown)} grows is not said: that takes 3 batch sizes up to B_crit"
    said = "; ".join(filter(None, (text, none if unknown else "")))
    return f"{said[:1].upper()}{said[1:]}."


def _noise(found: Findings) -> list[str]:
    parts = []
    for name, value in noise_scales(found.cells).items():
        b_crit, apart = found.scaling[name].fit.b_crit.value, ""
        if 0 < b_crit < math.inf and 0 < value < math.inf:
            factor = number(max(value / b_crit, b_crit / value))
            apart = f", a factor of {factor} {'above' if value > b_crit else 'below'} its B_crit"
        parts.append(f"{number(value)} for {name}{apart}")
    text = (
        "The gradient noise scale, each part of a run weighed by the progress in it (the median over the batch sizes)"
    )
    return [f"{text}, is {'; '.join(parts)}."] if parts else []


def _holds(found: Findings) -> str:
    return (
        f"The 95 % intervals hold the luck of {held(found)}. They do not hold that of the split and the data, nor what "
        "another definition of the target, or a line that fits badly, would change."
    )


def _compared(found: Findings) -> str:
    if not found.differences:
        return "One optimizer has results, so there is nothing to compare it with."
    apart = [pair for pair in found.differences if pair.verdict in (family.FIRST_LESS, family.SECOND_LESS)]
    equal = [pair for pair in found.differences if pair.verdict == family.NOT_TOLD_APART]
    without = [pair for pair in found.differences if pair.verdict == family.NOT_REACHED]
    text = f"Among {len(found.differences)} comparisons (all pairs; Holm, 95 % for all together): "
    text += "; ".join(map(compared, apart)) or "no two optimizers are told apart"
    if equal:
        text += f"; {_not_apart(equal)}"
    names = [f"{pair.first} and {pair.second} in {pair.quantity}" for pair in without]
    text += f"; not compared, as the target was not reached: {_some(names)}" * bool(without)
    return text + "."


def _not_apart(pairs: list) -> str:
    names = [
        f"{pair.first} and {pair.second} in {pair.quantity} (ratio between {number(pair.ratio.low)} and "
        f"{number(pair.ratio.high)})" for pair in pairs
    ]  # fmt: skip
    least = max(pair.least_ratio for pair in pairs)
    return f"not told apart: {_some(names)}; a ratio below {number(least)} could have been missed"


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= LISTED else f"{len(names)} pairs"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _unreached(study: Study, found: Findings, rows: "pandas.DataFrame") -> list[str]:
    metric, _ = error(study, rows)
    ends = found.winners.groupby(["optimizer", "batch_size"])[metric].median()
    optimizer, batch_size = ends.idxmin()  # pyright: ignore[reportGeneralTypeIssues]
    change = "a lower target" if score_of(study, rows).endswith("accuracy") else "a higher target"
    budget = f"{max_steps(study)} steps or {number(study.max_epochs)} epochs"
    words, least = metric.replace("_", " ").replace("rmse", "RMSE"), number(ends.to_numpy(float).min())
    return [
        f"Not reached: no trial met {target(study, rows, found.definition.target)} at any batch size within {budget}.",
        f"The closest was {optimizer} at {_at(batch_size)}, whose median {words} ended at {least}.",
        f"So there are no steps to target to compare and no critical batch size; give a larger budget or {change}.",
    ]


def _at(batch_size: SupportsFloat) -> str:
    return f"B\u00a0=\u00a0{number(batch_size)}"  # one line holds it


def _missed_sizes(found: Findings, name: str) -> Iterable[float]:
    own = where(found.cells, optimizer=name)
    return own["batch_size"].to_numpy(float)[np.isinf(own["steps"].to_numpy(float))].tolist()
