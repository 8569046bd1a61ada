"""The progress of a study, from its directory alone: for each cell the finished jobs, the job at work, and those left.

Invariant: nothing is claimed, locked or written. A job counts as at work if its claim exists, whoever holds it.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlp_jax.study import contents
from mlp_jax.study.contents import Way
from mlp_jax.study.plan import ROUNDS, Study
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas

PAUSE, LONG = 60.0, 5.0
"""If no part came for this many seconds, and for this multiple of a part's training time, nothing was at work."""
STEEPEST, FLATTEST = -1.0, -0.25
"""The seconds of a job are assumed to grow with a power of the batch size between these, for sizes not yet begun."""


class CellProgress(NamedTuple):
    """The progress of one cell: how many jobs it has, how many are made, and since when (in Unix time) the next runs.

    `trials` counts the trials that have ended, `failed` those of them whose loss was not finite; `fewest` is the least
    steps to target, inf if no trial met it.
    """

    optimizer: str
    batch_size: int
    made: int
    jobs: int
    since: float | None
    trials: int
    failed: int
    fewest: float


class Progress(NamedTuple):
    """The progress of a study; `left` is an estimate of the seconds left, NaN as long as there is none."""

    cells: list[CellProgress]
    left: float


def of(directory: Path, study: Study, ways: Sequence[Way], ends: "pandas.DataFrame") -> Progress:
    """Return the progress of the study in a directory.

    Args:
        ways: the progress of each of its cells.
        ends: a row for each of its trials, with how it ended.
    """
    ahead = [_ahead(study, way) for way in ways]
    own = dict(iter(ends.groupby("cell"))) if len(ends) else {}
    made = [_cell(directory, way, jobs, own.get(way.cell.id)) for way, jobs in zip(ways, ahead)]
    return Progress(made, _left(directory, ways, ahead, ends) if any(ahead) and own else math.nan)


def _cell(directory: Path, way: Way, ahead: int, ends: "pandas.DataFrame | None") -> CellProgress:
    found = (0, 0, math.inf)
    if ends is not None:
        steps, failed = ends["steps_to_target"].to_numpy(float), ends["status"].to_numpy() == Status.INFEASIBLE
        found = (len(ends), int(np.sum(failed)), float(steps.min(initial=math.inf)))
    made = len(way.made)
    since = None if way.next is None else _claimed(contents.part_of(directory, way.next))
    return CellProgress(way.cell.optimizer, way.cell.batch_size, made, made + ahead, since, *found)


def _ahead(study: Study, way: Way) -> int:
    """Return how many jobs of a cell are missing, if no round is added."""
    if way.next is None:
        return 0
    if way.next.phase == "winners":
        return 1
    rounds = study.rounds_of(way.cell.optimizer) if study.method == ROUNDS else 0
    return max(1 + rounds - len(way.made), 1) + 1


def _claimed(part: Path) -> float | None:
    """Return the time since when a part is claimed; None if it is not."""
    with contextlib.suppress(OSError):
        return part.with_suffix(".lock").stat().st_mtime
    return None


def _left(directory: Path, ways: Sequence[Way], ahead: list[int], ends: "pandas.DataFrame") -> float:
    """Return the seconds left: `ahead` jobs of each cell, by the times of its jobs or of those of similar cells."""
    took: dict[tuple[str, int], list[float]] = {}
    for cell, seconds in _seconds(directory, ways, ends):
        took.setdefault(cell, []).append(seconds)
    if len({size for _, size in took}) < min(2, len({way.cell.batch_size for way in ways})):
        return math.nan
    known = {cell: float(np.mean(seconds)) for cell, seconds in took.items()}
    return sum(count * _likely(known, way.cell.optimizer, way.cell.batch_size) for way, count in zip(ways, ahead))


def _seconds(directory: Path, ways: Sequence[Way], ends: "pandas.DataFrame") -> Iterator[tuple[tuple[str, int], float]]:
    """Yield the cell of each part and the seconds since the part before it, unless nothing was at work in between.

    Parts that are equally old, as copies of files may be, say nothing.
    """
    trained, made = Counter(), []
    for *part, spent in ends[["cell", "phase", "round", "training_seconds"]].itertuples(index=False):
        trained[tuple(part)] += spent
    for cell, jobs, _ in ways:
        for job in jobs:
            with contextlib.suppress(OSError):
                made.append((contents.part_of(directory, job).stat().st_mtime, cell, job))
    made.sort(key=lambda each: each[0])
    for (before, *_), (now, cell, job) in pairwise(made):
        if 0 < now - before <= max(PAUSE, LONG * trained[cell.id, job.phase, job.number]):
            yield (cell.optimizer, cell.batch_size), now - before


def _likely(known: dict[tuple[str, int], float], optimizer: str, batch_size: int) -> float:
    """Return the likely seconds of a job: from its cell, from others of its batch size, or by the growth so far."""
    if (optimizer, batch_size) in known:
        return known[optimizer, batch_size]
    typical = {at: float(np.mean([s for (_, size), s in known.items() if size == at])) for at in {s for _, s in known}}
    if batch_size in typical:
        return typical[batch_size]
    near, next_ = sorted(typical, key=lambda size: abs(math.log(size / batch_size)))[:2]
    slope = math.log(typical[next_] / typical[near]) / math.log(next_ / near)
    return typical[near] * (batch_size / near) ** min(max(slope, STEEPEST), FLATTEST)
