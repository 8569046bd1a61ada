"""The trials of a study with their histories: how each ended, and when it met its target by any definition.

Invariant: steps to target of a trial depend on its own history and the definition alone.
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
    """Trials that were looked at at the same steps: their numbers, and a row of scores each, NaN after its end."""

    numbers: list[int]
    step: np.ndarray
    scores: np.ndarray


class Piece(NamedTuple):
    """What is kept of rows that hold whole trials: how each ended, all rows of winners, and each trial's scores.

    `trials` has the last row of each trial, in the order in which the trials begin in the rows.
    """

    trials: "pandas.DataFrame"
    winners: "pandas.DataFrame"
    steps: list[np.ndarray]
    scores: list[np.ndarray]
    squared: bool


def piece(rows: "pandas.DataFrame", score: str) -> Piece:
    """Keep of rows of `read_study`, in any order, what findings are made from: far less than all of them.

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
    """Return the order of rows by trial, as they begin, and step; and where each trial ends in it."""
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
        self._squared = any(each.squared for each in pieces)  # the mean of squares is what a window takes together
        steps = [trial for each in pieces for trial in each.steps]
        scores = [trial for each in pieces for trial in each.scores]
        self._lots = list(_lots(steps, [each**2 for each in scores] if self._squared else scores))

    def with_trials(self, trials: "pandas.DataFrame") -> "Histories":
        """Return these histories of trials that ended otherwise."""
        other = copy.copy(self)
        other.trials = trials
        return other

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


def _joined(frames: "list[pandas.DataFrame]") -> "pandas.DataFrame":
    import pandas

    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def _lots(steps: list[np.ndarray], scores: list[np.ndarray]) -> Iterator[Lot]:
    """Put trials together whose steps are those that the longest of them begins with."""
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
    """The rows that have these values."""
    kept = np.ones(len(rows), bool)
    for name, value in values.items():
        kept &= rows[name].to_numpy() == value
    return rows.loc[kept]
