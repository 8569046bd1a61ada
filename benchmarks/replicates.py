"""Whole studies, trained again and again with everything random drawn anew: what each says, beside what is true.

Invariant: the truth is that of dense tables, whose trials are in no replicate; what one withholds is counted apart.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from mlp_jax import study as studies
from mlp_jax import tables
from mlp_jax.analysis import response, testbed
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import FIRST_LESS, SECOND_LESS
from mlp_jax.analysis.testbed import Table, Truth
from mlp_jax.study import Findings, Study

SHOWN = {
    "b_crit_true": "B_crit",
    "misfit_true": "misfit",
    "b_crit_given": "given",
    "b_crit": "held",
    "high_over_low": "high/low",
    "intervals_apart": "intervals apart",
    "steps": "S held",
    "s_min": "S_min held",
    "e_min": "E_min held",
}
FIRST_SEED = 1000  # of the replicates; the study that is printed has 0


def train(study: Study, count: int, out: Path, said: Callable[[str], None] = lambda _: None) -> list[Findings]:
    """Return what `count` replicates find; those that are in `out` already are not trained again."""
    found = []
    for number in range(count):
        one = dataclasses.replace(study, seed=FIRST_SEED + number)
        studies.run(one, out / str(one.seed))
        found.append(studies.findings(studies.read_study(out / str(one.seed)), one))
        said(f"replicate {number + 1} of {count}")
    return found


def score(dense: Mapping[str, Table], found: Sequence[Findings]) -> dict:
    """Return how often the intervals hold the truth, and how far the replicates agree, ready for JSON; percent."""
    truths = {name: testbed.truth(table) for name, table in dense.items()}
    verdicts = [{(p.quantity, p.first, p.second): p.verdict for p in one.differences} for one in found]
    return {
        "replicates": len(found),
        "optimizers": {name: _of_one(name, dense[name], truths[name], found) for name in dense},
        "verdicts": {", ".join(key): _agreement([of[key] for of in verdicts]) for key in verdicts[0]},
    }


def looks(dense: Mapping[int, Mapping[str, Table]]) -> dict[str, dict[str, float | None]]:
    """Return the critical batch size of each optimizer by the number of looks that its trials had."""
    bottoms = {number: {name: testbed.truth(one) for name, one in of.items()} for number, of in dense.items()}
    names = list(next(iter(dense.values())))
    return {name: {str(n): _round(of[name].line.b_crit.value) for n, of in sorted(bottoms.items())} for name in names}


def shown(result: Mapping) -> str:
    """Return the scores as text."""
    cell = lambda value: "–" if value is None else f"{value:.3g}"
    rows = [(name, *(cell(of[key]) for key in SHOWN)) for name, of in result["optimizers"].items()]
    said = [
        (key, of["most"], cell(of["share"]), "yes" if of["contradicted"] else "no")
        for key, of in result["verdicts"].items()
    ]
    seen = [(name, *map(cell, of.values())) for name, of in result["b_crit_by_looks"].items()]
    number = next(iter(result["b_crit_by_looks"].values()))
    return "\n\n".join(
        (
            f"{result['replicates']} replicates",
            tables.text(("%", *SHOWN.values()), rows),
            tables.text(("pair", "verdict of most", "% of them", "contradicted"), said),
            tables.text(("B_crit of the tables", *(f"{looks} looks" for looks in number)), seen),
        )
    )


def _of_one(name: str, table: Table, truth: Truth, found: Sequence[Findings]) -> dict:
    """Return what the replicates say of one optimizer beside the truth."""
    held = {}
    for k, size in enumerate(table.sizes.astype(int).tolist()):
        best = [one.best[name, size] for one in found]
        held[str(size)] = _share([(truth.steps[k], response.interval(b.steps, b.samples)) for b in best])
    known = [share for share in held.values() if share is not None]
    fits = [one.scaling[name].fit for one in found]
    lines = {what: [getattr(fit, what) for fit in fits] for what in ("s_min", "e_min", "b_crit")}
    given = [one for one in lines["b_crit"] if np.isfinite(one.value)]
    values = np.array([one.value for one in given])
    apart = [a for a in combinations(given, 2) if a[0].high < a[1].low or a[1].high < a[0].low]
    return {
        "b_crit_true": _round(truth.line.b_crit.value),
        "misfit_true": _round(100 * truth.line.misfit),
        "b_crit_given": _round(100 * len(given) / len(fits)),
        "b_crit": _share([(truth.line.b_crit.value, one) for one in given]),
        "b_crit_values": [_round(value) for value in values],
        "b_crit_intervals": [[_round(one.low), _round(one.high)] for one in given],
        "high_over_low": _round(np.median([one.high / one.low if one.low else np.inf for one in given] or [np.nan])),
        "intervals_apart": len(apart),
        "steps": _round(np.mean(known)) if known else None,
        "steps_by_batch_size": held,
        **{
            what: _share([(getattr(truth.line, what).value, one) for one in lines[what]]) for what in ("s_min", "e_min")
        },
    }


def _agreement(verdicts: Sequence[str]) -> dict:
    """Return the verdict that most replicates give, their share, and whether two of them contradict each other."""
    (most, count), *_ = Counter(verdicts).most_common(1)
    opposite = {FIRST_LESS, SECOND_LESS} <= set(verdicts)
    return {"most": most, "share": _round(100 * count / len(verdicts)), "contradicted": opposite}


def _share(pairs: Sequence[tuple[float, Estimate]]) -> float | None:
    """Return the percentage of the intervals that hold the true value; None where either is not known."""
    known = [one.low <= true <= one.high for true, one in pairs if np.isfinite([true, one.value]).all()]
    return _round(100 * np.mean(known)) if known else None


def _round(value: float | np.floating) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
