"""The protocol of a cell: which trials are trained, one job after another, each decided by the results before it.

Invariant: the next job of a cell depends only on the study, the cell and the rows of the jobs before. So a study can go
on where it was stopped, and can grow: a longer protocol begins with the jobs of a shorter one.
"""

import dataclasses
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax import optimizers
from mlp_jax.analysis import response, targets
from mlp_jax.study import bottoms, spaces
from mlp_jax.study.bottoms import Bottom, Valley
from mlp_jax.study.cells import SPARE, StudyCell
from mlp_jax.study.histories import last_rows
from mlp_jax.study.plan import ROUNDS, Study, digest
from mlp_jax.training.config import less_is_better
from mlp_jax.training.trials import Cutoff

if TYPE_CHECKING:
    import pandas

COARSE, EACH = 10, 6  # trials of the first round, and of each later round
TRIES = 2  # first rounds until the target counts as not reached; the second has rates between those of the first
WIDER = 10.0  # if the optimum lies at an end of its space, that end is moved by this factor
WIDENINGS = 2
TUNING, FRESH = 0, 1  # kinds of seeds


class Job(NamedTuple):
    """Trials of one cell that are trained together: a round of its tuning, or its winner with fresh seeds.

    `hyper` has a column for each hyper-parameter in which the trials differ or which the study fixes. With
    `noise_scale` the gradient noise scale is measured too.
    """

    cell: StudyCell
    phase: str
    number: int
    hyper: dict[str, list[float]]
    seeds: list[int]
    cutoff: Cutoff
    racing: int | None = None
    noise_scale: bool = False

    @property
    def name(self) -> str:
        """The name of the part that this job makes, which depends on everything that the job asks."""
        return f"{self.cell.id}-{self.number}-{digest(list(self[3:]))}"


Read = Callable[[Job], "pandas.DataFrame | None"]


def jobs(study: Study, cell: StudyCell, score: str, read: Read) -> Iterator[Job]:
    """Yield the jobs of a cell in their order; end after a job whose rows do not exist yet, since the next needs them.

    Args:
        score: the metric that the target is about.
        read: returns the rows of a job, or None.
    """
    found: list[pandas.DataFrame] = []
    tuning = _rounds if study.method == ROUNDS else _search
    for job in tuning(study, cell, found):
        yield job
        rows = read(job)
        if rows is None:
            return
        found.append(last_rows(rows))
    yield from _winners(study, cell, score, found, read)


def _rounds(study: Study, cell: StudyCell, found: list) -> Iterator[Job]:
    """Yield the jobs that tune a cell whose trials each have a seed of their own."""
    budget = Cutoff(float(cell.budget), float(SPARE))
    for attempt in range(TRIES):
        yield _round(study, cell, attempt, _coarse(study, cell, attempt), budget)
        if np.isfinite(_steps(found)).any():
            break
    else:
        return
    number, left, widened = 0, study.rounds_of(cell.optimizer), 0
    ends = {name: space.ends for name, space in cell.space.items()}
    while left:
        bottom = _bottom(study, cell, found, ends)
        if isinstance(bottom, Valley) and widened < WIDENINGS and (end := _outermost(bottom, found)):
            wider = _wider(cell, bottom.name, ends[bottom.name], end)
            left, widened = left + (wider != ends[bottom.name]), widened + 1
            ends |= {bottom.name: wider}
            bottom = _bottom(study, cell, found, ends)
        steps = float(np.min(_steps(found))) if bottom is None else bottom.fit.steps
        columns = _next(study, cell, number, bottom)
        yield _round(study, cell, TRIES + number, columns, Cutoff(max(response.STOP * steps, 5.0)))
        number, left = number + 1, left - 1


def _outermost(valley: Valley, found: list) -> str:
    """Return "low" or "high" if the bottom is at the outermost rate tried there: the valley may go on; else ""."""
    scale, tried = valley.fit.scale, np.concatenate([rows[valley.name].to_numpy(float) for rows in found])
    bottom, places = scale.coordinate(np.array([valley.fit.rate]))[0], scale.coordinate(tried)
    least, largest = bottom <= places.min() + response.EDGE, bottom >= places.max() - response.EDGE
    low, high = (largest, least) if scale.falls else (least, largest)
    return "low" if low else "high" if high else ""


def _bottom(study: Study, cell: StudyCell, found: list, ends: dict[str, tuple[float, float]]) -> Bottom | None:
    import pandas

    return bottoms.of(study, _within(cell, ends), pandas.concat(found))


def _within(cell: StudyCell, ends: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the space of a cell with these ends."""
    moved = lambda space, low, high: dataclasses.replace(space, low=low, high=high) if space.low is not None else space
    return {name: moved(space, *ends[name]) for name, space in cell.space.items()}


def _wider(cell: StudyCell, name: str, ends: tuple[float, float], at_end: str) -> tuple[float, float]:
    """Return the ends of a space with one of them moved, as far as the hyper-parameter's domain allows."""
    low, high = ends
    scale, domain = cell.space[name].scale, optimizers.table(cell.optimizer, cell.config.schedule)[name].domain
    factor = {"log": WIDER, "log_complement": 1 / WIDER}.get(scale)
    if factor is None:
        return ends
    move = (lambda v, f: v * f) if scale == "log" else (lambda v, f: 1 - (1 - v) * f)
    moved = (move(low, 1 / factor), high) if at_end == "low" else (low, move(high, factor))
    return moved if all(domain.allows(value) for value in moved) else ends


def _coarse(study: Study, cell: StudyCell, attempt: int) -> dict[str, np.ndarray]:
    """Return the points of the first round: evenly spaced in one dimension, otherwise from a sequence."""
    draw = np.random.default_rng([study.seed, cell.batch_size, zlib.crc32(cell.optimizer.encode())])
    if len(cell.free) == 1 and cell.space[cell.free[0]].low is not None:
        (name,) = cell.free
        space, offset = cell.space[name], float(draw.random()) + attempt / TRIES
        return _columns(cell, {name: response.coarse(space.ends[0], space.ends[1], COARSE, offset, scale=space.scale)})
    return _sequence(study, cell, attempt * COARSE, COARSE)


def _next(study: Study, cell: StudyCell, number: int, bottom: Bottom | None) -> dict[str, np.ndarray]:
    """Return the points of a later round: near the bottom, or the next points of a sequence."""
    if bottom is not None:
        return _columns(cell, bottom.next(EACH, seed=number))
    return _sequence(study, cell, TRIES * COARSE + number * EACH, EACH)


def _sequence(study: Study, cell: StudyCell, first: int, count: int) -> dict[str, np.ndarray]:
    """Return points of a quasi-random sequence over a space with several dimensions, or with none."""
    seed = int(np.random.default_rng([study.seed, cell.batch_size]).integers(2**31))
    points = spaces.points(cell.space, first + count, "halton", seed, cell.whole)
    return {k: np.broadcast_to(v, (first + count,))[first:] if len(v) == 1 else v[first:] for k, v in points.items()}


def _columns(cell: StudyCell, searched: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the trials' columns: searched hyper-parameters (rounded if they are whole numbers) and fixed ones."""
    (count,) = {len(values) for values in searched.values()}
    fixed = {name: np.full(count, space.choices[0]) for name, space in cell.space.items() if name not in searched}
    whole = {name: np.rint(values) if name in cell.whole else values for name, values in searched.items()}
    return {name: (whole | fixed)[name] for name in cell.space}


def _round(study: Study, cell: StudyCell, number: int, columns: dict[str, np.ndarray], cutoff: Cutoff) -> Job:
    count = len(next(iter(columns.values())))
    return Job(cell, "tuning", number, _plain(columns), _seeds(study, cell, TUNING, number, 0, count), cutoff)


def _search(study: Study, cell: StudyCell, found: list) -> Iterator[Job]:
    """Yield the job that tunes a cell by a search over points, each with the same seeds."""
    seed = int(np.random.default_rng([study.seed, cell.batch_size]).integers(2**31))
    points = spaces.points(cell.space, study.points, study.method, seed, cell.whole)
    columns = {name: np.repeat(values, study.seeds) for name, values in points.items()}
    count = len(next(iter(points.values())))
    seeds = _seeds(study, cell, TUNING, 0, 0, study.seeds) * count
    yield Job(cell, "tuning", 0, _plain(columns), seeds, Cutoff(float(cell.budget)), study.racing)


def _winners(study: Study, cell: StudyCell, score: str, found: list, read: Read) -> Iterator[Job]:
    """Yield the jobs that run the winner with fresh seeds: those made before, and one for all missing seeds."""
    import pandas

    trials = pandas.concat(found, ignore_index=True)
    point, steps = winner(study, cell, trials, score)
    end = Cutoff(SPARE * steps if np.isfinite(steps) else float(cell.budget))

    def lot(first: int, count: int) -> Job:
        columns, seeds = {k: [v] * count for k, v in point.items()}, _seeds(study, cell, FRESH, 0, first, count)
        return Job(cell, "winners", first, columns, seeds, end, None, study.noise_scale)

    first = 0
    while first < study.fresh_seeds:
        lots = [lot(first, count) for count in range(study.fresh_seeds - first, 0, -1)]
        there = next((job for job in lots if read(job) is not None), None)
        yield there or lots[0]
        if there is None:
            return
        first += len(there.seeds)


def winner(study: Study, cell: StudyCell, trials: "pandas.DataFrame", score: str) -> tuple[dict[str, float], float]:
    """Return the best hyper-parameters of a cell, and the steps to target there; inf if no trial met it.

    They are the bottom of the valley, or for a search the point with the least median steps; if no trial met the
    target, they are the point with the best median `score`.
    """
    bottom = bottoms.of(study, cell.space, trials)
    if bottom is not None and bottom.settled and np.isfinite(bottom.fit.steps):
        columns = _columns(cell, {name: np.array([value]) for name, value in bottom.point.items()})
        return {name: float(values[0]) for name, values in columns.items()}, bottom.fit.steps
    names = list(cell.space)
    _, point = np.unique(trials[names].to_numpy(float), axis=0, return_inverse=True)
    count = int(point.max()) + 1
    best = targets.best(trials["steps_to_target"].to_numpy(float), point.reshape(-1), count)
    chosen = best.point
    if chosen < 0:
        scores = trials[score].to_numpy(float)
        costs = np.nan_to_num(scores if less_is_better(score) else -scores, nan=np.inf, posinf=np.inf)
        chosen = int(np.argmin(targets.medians(costs, point.reshape(-1), count)))
    row = trials.iloc[int(np.argmax(point.reshape(-1) == chosen))]
    return {name: float(row[name]) for name in names}, best.median


def _seeds(study: Study, cell: StudyCell, kind: int, number: int, first: int, count: int) -> list[int]:
    """Return seeds, which are the same for all optimizers but differ between batch sizes and rounds."""
    drawn = np.random.default_rng([study.seed, cell.batch_size, kind, number]).integers(0, 2**31, first + count)
    return drawn[first:].tolist()


def _steps(found: list) -> np.ndarray:
    return np.concatenate([rows["steps_to_target"].to_numpy(float) for rows in found])


def _plain(columns: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: values.astype(float).tolist() for name, values in columns.items()}
