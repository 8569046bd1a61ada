"""What figures and sentences show of a large study: the best optimizers, and batch sizes from the least to the largest.

Invariant: a study of few optimizers and batch sizes is shown whole; what is left out is named, and is in the tables.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mlp_jax.study.evidence import COSTS, Findings

if TYPE_CHECKING:
    import pandas

Kept = TypeVar("Kept")
OPTIMIZERS, SIZES = 10, 10  # so many can be told apart in one figure
OF_MORE_OPTIMIZERS, OF_MORE_SIZES = 6, 6  # so many are shown if there are more


def optimizers(found: Findings) -> list[str]:
    """Return the optimizers to show: all, or by turns the next best in steps, in examples and in seconds to target."""
    names = list(found.scaling)
    if len(names) <= OPTIMIZERS:
        return names
    costs, of_cell = found.cells[list(COSTS)].to_numpy(float), found.cells["optimizer"].to_numpy()
    least = np.array([costs[of_cell == name].min(axis=0) for name in names])
    turns = np.argsort(least, axis=0, kind="stable").ravel()
    chosen = list(dict.fromkeys(names[each] for each in turns))[:OF_MORE_OPTIMIZERS]
    return [name for name in names if name in chosen]


def sizes(there: Iterable[int]) -> list[int]:
    """Return the batch sizes that get a panel: all, or some of them, evenly spread from the least to the largest."""
    every = sorted(set(there))
    if len(every) <= SIZES:
        return every
    return [every[each] for each in np.rint(np.linspace(0, len(every) - 1, OF_MORE_SIZES)).astype(int)]


def narrowed(found: Findings) -> Findings:
    """Return the findings about the optimizers to show."""
    names = optimizers(found)
    if len(names) == len(found.scaling):
        return found
    return found._replace(
        winners=of(found.winners, names),
        cells=of(found.cells, names),
        best={cell: best for cell, best in found.best.items() if cell[0] in names},
        scaling={name: found.scaling[name] for name in names},
        differences=[pair for pair in found.differences if {pair.first, pair.second} <= set(names)],
    )


def of_sizes(cells: Mapping[tuple[str, int], Kept]) -> dict[tuple[str, int], Kept]:
    """Return the entries whose batch sizes get a panel."""
    there = sizes(size for _, size in cells)
    return {cell: each for cell, each in cells.items() if cell[1] in there}


def of(rows: "pandas.DataFrame", values: list, column: str = "optimizer") -> "pandas.DataFrame":
    """Return the rows whose `column` has one of the values."""
    return rows.loc[rows[column].isin(values)]


def said(found: Findings) -> str:
    """Say what the figures leave out; "" if they leave nothing out."""
    names, every = optimizers(found), sorted(set(found.cells["batch_size"].tolist()))
    all_, there, parts = len(found.scaling), sizes(every), []
    if len(names) < all_:
        parts.append(f"{len(names)} of {all_} optimizers, those with the fewest steps, examples and seconds to target")
    if len(there) < len(every):
        parts.append(f"{len(there)} of {len(every)} batch sizes where each has a panel, or each trial a point")
    return f"The figures show {', and '.join(parts)}; the tables hold all." if parts else ""
