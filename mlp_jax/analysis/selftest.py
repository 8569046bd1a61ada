"""How often the intervals contain the truth, in studies that are drawn from tables of real trials.

Invariant: where a study gives no value (no B_crit, no exponent), this is counted separately, neither as a hit nor as a
miss. Shares are in percent.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np

from mlp_jax.analysis import family, power_law, response, testbed
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import FIRST_LESS, SECOND_LESS, Measured
from mlp_jax.analysis.testbed import STANDARD, Design, Study, Table, Truth

LEVEL = 0.95
COPIES = 4  # studies of one optimizer, compared as if they were four optimizers: all differences are chance
LIMIT = NormalDist().inv_cdf((1 + LEVEL) / 2)  # standard deviations, for a single difference


def score(
    tables: Mapping[str, Table], count: int, design: Design = STANDARD, *, resamples: int = 1000, seed: int = 0
) -> dict:
    """Draw `count` studies of each optimizer; return the shares of their intervals that contain the truth, as JSON.

    Args:
        tables: a dense table of each optimizer, all over the same batch sizes.

    Raises:
        ValueError: there are fewer than 4 studies.
    """
    if count < COPIES:
        raise ValueError(f"{count!r} studies are not enough; give at least {COPIES}, which are compared as equals")
    truths = {name: testbed.truth(table) for name, table in tables.items()}
    drawn = {
        name: testbed.studies(table, count, design, resamples=resamples, seed=seed + k)
        for k, (name, table) in enumerate(tables.items())
    }
    of_two = lambda a, b: _of_two((truths[a], truths[b]), (drawn[a], drawn[b]))
    return {
        "studies": count,
        "trials_per_cell": design.coarse + design.rounds * design.each,
        "resamples": resamples,
        "optimizers": {name: _of_one(tables[name], truths[name], drawn[name]) for name in tables},
        "differences": {f"{a}, {b}": of_two(a, b) for a, b in combinations(tables, 2)},
    }


def _of_one(table: Table, truth: Truth, studies: Sequence[Study]) -> dict:
    """Return how often the intervals of one optimizer contain the truth, how wide they are, and the bias."""
    cells = [[study.cells[k] for study in studies] for k in range(table.sizes.size)]
    by_size = lambda values: {f"{size:g}": _round(value) for size, value in zip(table.sizes, values)}
    held = lambda true, what: [
        _held(value, (response.interval(getattr(c, what), getattr(c, f"samples_{what}")) for c in of))
        for value, of in zip(true, cells)
    ]
    steps, rates = held(truth.steps, "steps"), held(truth.rates, "rate")
    lines = {name: [getattr(study.line, name) for study in studies] for name in ("s_min", "e_min", "b_crit")}
    return {
        "steps": _round(np.mean(steps)),
        "steps_by_batch_size": by_size(steps),
        "bias_by_batch_size": by_size([_bias(true, of) for true, of in zip(truth.steps, cells)]),
        "best_rate": _round(np.mean(rates)),
        **{name: _round(_held(getattr(truth.line, name).value, of)) for name, of in lines.items()},
        "b_crit_true": _round(truth.line.b_crit.value),
        "b_crit_high_over_low": _round(np.median([_ratio(one) for one in lines["b_crit"]])),
        "misfit_true": _round(100 * truth.line.misfit),
        "b_crit_given": _round(100 * np.mean([np.isfinite(study.fit.b_crit.value) for study in studies])),
        **_exponents(table, truth, [study.exponent for study in studies]),
        **_equals(studies),
    }


def _exponents(table: Table, truth: Truth, exponents: Sequence[power_law.Exponent]) -> dict:
    given = [one for one in exponents if not one.missing]
    used = [np.isin(table.sizes, one.sizes) for one in given]
    true = [power_law.fit(table.sizes[kept], truth.rates[kept]).exponent for kept in used]
    return {
        "exponent": _round(np.mean([_held(value, [one.estimate]) for value, one in zip(true, given)] or [np.nan])),
        "exponent_width": _round(np.median([one.estimate.high - one.estimate.low for one in given] or [np.nan])),
        "exponent_given": _round(100 * len(given) / len(exponents)),
    }


def _of_two(truths: tuple[Truth, Truth], drawn: tuple[Sequence[Study], Sequence[Study]]) -> dict:
    """Return how often the interval of two optimizers' ratio contains the true ratio, at the least and largest B."""
    shares = {}
    for what, k in (("smallest", 0), ("largest", -1)):
        first, second = truths[0].steps[k], truths[1].steps[k]
        true = np.log(first / second) if np.isfinite([first, second]).all() else np.nan
        middle, spread = np.array([family.difference(_cell(a, k), _cell(b, k)) for a, b in zip(*drawn)]).T
        middle = np.nan_to_num(middle)  # NaN if one missed the target; its spread is infinite then
        held, seen = np.abs(middle - true) <= LIMIT * spread, np.abs(middle) > LIMIT * spread
        percent = {"held": _round(100 * held.mean() + 0 * true), "seen": _round(100 * seen.mean())}
        shares[what] = {"ratio": _round(np.exp(true)), **percent}
    return shares


def _equals(studies: Sequence[Study]) -> dict:
    """Return how often equals are called different: one pair of cells alone, and any pair of four copies of a study."""
    groups = [studies[k : k + COPIES] for k in range(0, len(studies) - COPIES + 1, COPIES)]
    sizes = range(len(studies[0].cells))
    alone = [family.difference(_cell(g[i], k), _cell(g[i + 1], k)) for g in groups for i in (0, 2) for k in sizes]
    of_end = lambda group, k: {f"{i}": _cell(study, k) for i, study in enumerate(group)}
    families = [family.compare({"examples": of_end(g, 0), "steps": of_end(g, -1)}) for g in groups]
    wrong = [any(pair.verdict in (FIRST_LESS, SECOND_LESS) for pair in pairs) for pairs in families]
    return {
        "equals_called_different": _round(100 * np.mean([abs(middle) > LIMIT * spread for middle, spread in alone])),
        "any_of_four_equals_called_different": _round(100 * np.mean(wrong)),
    }


def _cell(study: Study, k: int) -> Measured:
    return study.cells[k].steps, study.cells[k].samples_steps


def _held(true: float, estimates: Iterable[Estimate]) -> float:
    """Return the percentage of the intervals that contain the true value."""
    return 100 * float(np.mean([one.low <= true <= one.high for one in estimates]))


def _bias(true: float, cells: Sequence[response.Response]) -> float:
    """Return by how many percent the geometric mean of the cells' finite steps is off."""
    steps = np.array([cell.steps for cell in cells])
    if not np.isfinite(true):
        return np.nan
    return 100 * float(np.expm1(np.log(steps[np.isfinite(steps)] / true).mean()))


def _ratio(one: Estimate) -> float:
    return one.high / one.low if one.low > 0 else np.inf


def _round(value: float | np.floating) -> float | None:
    """Return the value rounded to four digits, or None if it is not finite, which JSON can't hold."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
