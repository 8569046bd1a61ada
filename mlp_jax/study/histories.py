"""The trials of a study with their histories: how each ended, and when it met its target by any definition.

Invariant: the steps to target of a trial depend only on its own history and the definition.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.analysis import crossing
from mlp_jax.analysis.crossing import Definition

if TYPE_CHECKING:
    import pandas


class Lot(NamedTuple):
    """Trials that were evaluated at the same steps: their numbers, and a row of scores each, NaN after their ends."""

    numbers: list[int]
    step: np.ndarray
    scores: np.ndarray


class Piece(NamedTuple):
    """What is kept of rows that hold whole trials: how each trial ended, all rows of winners, and each trial's scores.

    `trials` has the last row of each trial, in the order in which the trials begin in the rows.
    """

    trials: "pandas.DataFrame"
    winners: "pandas.DataFrame"
    steps: list[np.ndarray]
    scores: list[np.ndarray]
    squared: bool


def piece(rows: "pandas.DataFrame", score: str) -> Piece:
    """Return what findings need of rows of `read_study`, which may be in any order: far less than all rows.

    Args:
        score: the column that the target is about.
    """
    order, ends = _in_order(rows)
    steps, scores = (np.split(rows[column].to_numpy(float)[order], ends[:-1].tolist()) for column in ("step", score))
    trials, winners = rows.iloc[order[ends - 1]].reset_index(drop=True), where(rows, phase="winners")
    return Piece(trials, winners, steps, scores, score.endswith("_rmse"))


def last_rows(rows: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the last row of each trial, which says how it ended, in their order."""
    order, ends = _in_order(rows)
    return rows.iloc[np.sort(order[ends - 1])]


def _in_order(rows: "pandas.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Return the order that sorts rows by trial (in order of first appearance) and step, and where each trial ends."""
    import pandas

    number, _ = pandas.factorize(rows["trial"])
    order = np.lexsort((rows["step"].to_numpy(float), number))
    return order, np.flatnonzero(np.diff(number[order], append=len(rows))) + 1


class Histories:
    """Histories of trials: how each ended (`trials`), and when it met its target by any definition.

    `winners` has all rows of the winners' runs.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.trials = _joined([each.trials for each in pieces])
        self.winners = _joined([each.winners for each in pieces])
        self._squared = any(each.squared for each in pieces)  # a window averages the squares
        steps = [trial for each in pieces for trial in each.steps]
        scores = [trial for each in pieces for trial in each.scores]
        self._lots = list(_lots(steps, [each**2 for each in scores] if self._squared else scores))

    def with_trials(self, trials: "pandas.DataFrame") -> "Histories":
        """Return these histories with another table of how the trials ended."""
        other = copy.copy(self)
        other.trials = trials
        return other

    def steps_to_target(self, definition: Definition) -> np.ndarray:
        """Return the steps to target of each trial; inf for a miss, even if the trial ended before it could meet it."""
        asked = definition._replace(target=definition.target ** (2 if self._squared else 1))
        steps = np.full(len(self.trials), np.inf)
        for lot in self._lots:
            steps[lot.numbers] = crossing.steps_to_targets(lot.step, lot.scores, asked)
        return steps

    def read(self, definition: Definition) -> "pandas.DataFrame":
        """Return `trials` with their steps to target by another definition than the one that stopped them.

        A trial that ended because it met its own target, but has not met this easier one, counts as meeting it there.
        """
        own, read = self.trials["steps_to_target"].to_numpy(float), self.steps_to_target(definition)
        return self.trials.assign(steps_to_target=np.where(np.isinf(read), own, read))


def _joined(frames: "list[pandas.DataFrame]") -> "pandas.DataFrame":
    import pandas

    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def _lots(steps: list[np.ndarray], scores: list[np.ndarray]) -> Iterator[Lot]:
    """Group trials into lots: the steps of each trial are the first steps of the longest trial in its lot."""
    grids: list[tuple[np.ndarray, list[int]]] = []
    for number in sorted(range(len(steps)), key=lambda number: -len(steps[number])):
        step = steps[number]
        for grid, numbers in grids:
            if grid[len(step) - 1] == step[-1] and np.array_equal(grid[: len(step)], step):
                numbers.append(number)
                break
        else:
            grids.append((step, [number]))
    for grid, numbers in grids:
        rows = np.full((len(numbers), len(grid)), np.nan)
        for row, number in zip(rows, numbers):
            row[: len(scores[number])] = scores[number]
        yield Lot(numbers, grid, rows)


def where(rows: "pandas.DataFrame", **values: Any) -> "pandas.DataFrame":
    """Return the rows that have these values in these columns."""
    kept = np.ones(len(rows), bool)
    for name, value in values.items():
        kept &= rows[name].to_numpy() == value
    return rows.loc[kept]
