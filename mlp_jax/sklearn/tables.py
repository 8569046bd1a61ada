"""The results of a search as scikit-learn's `cv_results_`.

Invariant: columns, their names and their types are those of `GridSearchCV`.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata


def results(candidates: list[dict], scores: dict[str, np.ndarray], times: np.ndarray) -> dict[str, Any]:
    """Return `cv_results_`.

    Args:
        scores: the scores of "test", and of "train" if asked for, by candidate, fold and seed; the score of a fold is
            the mean over its seeds.
        times: the seconds of fitting and of scoring, for one fit.
    """
    count = len(candidates)
    table: dict[str, Any] = {}
    for name, seconds in zip(("fit", "score"), times):
        table |= {f"mean_{name}_time": np.full(count, seconds), f"std_{name}_time": np.zeros(count)}
    names = dict.fromkeys(name for one in candidates for name in one)  # as GridSearchCV orders them
    table |= {f"param_{name}": _column(name, candidates) for name in names}
    table["params"] = candidates
    for part, found in scores.items():
        of_fold = found.mean(axis=2)
        table |= {f"split{fold}_{part}_score": of_fold[:, fold] for fold in range(of_fold.shape[1])}
        table |= {f"mean_{part}_score": of_fold.mean(axis=1), f"std_{part}_score": of_fold.std(axis=1)}
        if part == "test":
            mean = np.nan_to_num(of_fold.mean(axis=1), nan=-np.inf)
            table["rank_test_score"] = rankdata(-mean, method="min").astype(np.int32)
    return table


def _column(name: str, candidates: list[dict]) -> np.ma.MaskedArray:
    """Return the values of a parameter, masked where a candidate has none."""
    there = [name in one for one in candidates]
    values = [one[name] for one in candidates if name in one]
    plain = all(isinstance(value, bool | int | float | np.number) for value in values)
    kind = np.result_type(*map(type, values)) if plain and len({isinstance(v, bool) for v in values}) == 1 else object
    column = np.ma.MaskedArray(np.zeros(len(candidates), kind), mask=~np.array(there))
    for row, one in enumerate(candidates):
        if name in one:
            column[row] = one[name]
    return column
