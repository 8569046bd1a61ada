"""The trials of a study with their histories: how each ended, and when it met its target by any definition.

Invariant: steps to target of a trial depend on its own history and the definition alone.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.analysis import crossing
from mlp_jax.analysis.crossing import Definition

if TYPE_CHECKING:
    import pandas


class Lot(NamedTuple):
    """Trials that were looked at at the same steps: their numbers, and a row of scores each, NaN after its end."""

    numbers: list[int]
    step: np.ndarray
    scores: np.ndarray


class Histories:
    """Histories of trials, from rows of `read_study` in any order.

    `trials` has the last row of each trial, in the order in which the trials begin in the rows; `number` says for each
    of the rows which of the trials it is of.
    """

    def __init__(self, rows: "pandas.DataFrame", score: str) -> None:
        import pandas

        self.number, _ = pandas.factorize(rows["trial"])
        self._squared = score.endswith("_rmse")  # the mean of squares is what a window takes together
        step = rows["step"].to_numpy(float)
        order = np.lexsort((step, self.number))
        ends = np.flatnonzero(np.diff(self.number[order], append=len(rows))) + 1
        self.trials = rows.iloc[order[ends - 1]].reset_index(drop=True)
        scores = rows[score].to_numpy(float)[order] ** (2 if self._squared else 1)
        steps, scores = (np.split(values, ends[:-1]) for values in (step[order], scores))
        self._lots = list(_lots(self.trials["cell"].tolist(), steps, scores))

    def steps_to_target(self, definition: Definition) -> np.ndarray:
        """Return the steps to target of each trial; inf for a miss, also where it ended before it could meet it."""
        asked = definition._replace(target=definition.target ** (2 if self._squared else 1))
        steps = np.full(len(self.trials), np.inf)
        for lot in self._lots:
            steps[lot.numbers] = crossing.steps_to_targets(lot.step, lot.scores, asked)
        return steps

    def read(self, definition: Definition) -> "pandas.DataFrame":
        """Return `trials` with their steps to target by another definition than the one that ended them.

        A trial that had met its own target where it ended, and this easier one not yet, counts as met there.
        """
        own, read = self.trials["steps_to_target"].to_numpy(float), self.steps_to_target(definition)
        return self.trials.assign(steps_to_target=np.where(np.isinf(read), own, read))


def _lots(cells: list[str], steps: list[np.ndarray], scores: list[np.ndarray]) -> Iterator[Lot]:
    """Put trials together whose steps are those that the longest trial of their cell begins with."""
    grids: dict[str, list[tuple[np.ndarray, list[int]]]] = {}
    for number in sorted(range(len(cells)), key=lambda number: -len(steps[number])):
        step, of_cell = steps[number], grids.setdefault(cells[number], [])
        for grid, numbers in of_cell:
            if np.array_equal(grid[: len(step)], step):
                numbers.append(number)
                break
        else:
            of_cell.append((step, [number]))
    for grid, numbers in (each for of_cell in grids.values() for each in of_cell):
        padded = [np.pad(scores[at], (0, len(grid) - len(scores[at])), constant_values=np.nan) for at in numbers]
        yield Lot(numbers, grid, np.stack(padded))


def where(rows: "pandas.DataFrame", **values: Any) -> "pandas.DataFrame":
    """The rows that have these values."""
    kept = np.ones(len(rows), bool)
    for name, value in values.items():
        kept &= rows[name].to_numpy() == value
    return rows.loc[kept]
