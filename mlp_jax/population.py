"""Many trials of one cell: trained together, each until it meets the target, fails, is out of budget or of the race.

Invariant: a trial's numbers do not depend on its neighbours, on the number of devices or on how trials are placed,
within the rounding of the products; a trial that has ended is never trained again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import config as configs
from mlp_jax import devices, losses
from mlp_jax.clocks import Clock, Pace
from mlp_jax.config import Config
from mlp_jax.data import Dataset
from mlp_jax.placement import Programs, block, fitting, programs
from mlp_jax.run import evaluation_points, place
from mlp_jax.trial import Cell, Data

if TYPE_CHECKING:
    import pandas

RUNNING, COMPLETE, INCOMPLETE, INFEASIBLE = "RUNNING", "COMPLETE", "INCOMPLETE", "INFEASIBLE"
GLANCE = 1.0  # seconds of training between two looks at the clock and at an interrupt


class Progress(NamedTuple):
    """What a live table shows: counts of trials, the best metric so far, trial-steps per second, seconds left."""

    cell: Cell
    running: int
    done: int
    infeasible: int
    best: float
    trial_steps_per_second: float
    left: float


@dataclass(frozen=True, kw_only=True)
class Population:
    """Trained trials: trial i has `hyper[name][i]` and `seeds[i]`.

    `status` is COMPLETE (budget used or `stop_at` met), INCOMPLETE (out of the race, or interrupted) or INFEASIBLE (a
    loss was not finite, at step `failed`; −1 for the others). `metrics` are those at each trial's end, as
    `test_accuracy`; `steps_to_target` is inf for a miss. `history` has a row per trial and evaluation. `params` is
    None unless asked for. `compilations` counts the training programs that were compiled.
    """

    config: Config
    cell: Cell
    hyper: dict[str, np.ndarray]
    seeds: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    failed: np.ndarray
    steps_to_target: np.ndarray
    metrics: dict[str, np.ndarray] = field(repr=False)
    history: dict[str, np.ndarray] = field(repr=False)
    params: Any = field(repr=False)
    seconds: dict[str, float]
    compilations: int

    def frame(self) -> "pandas.DataFrame":
        """Return a row per trial: hyper-parameters, seed, status, steps, metrics."""
        import pandas

        columns = {"trial": np.arange(len(self.seeds)), **self.hyper, "seed": self.seeds, "status": self.status}
        ends = {"steps": self.steps, "failed": self.failed, "steps_to_target": self.steps_to_target}
        return pandas.DataFrame(columns | ends | self.metrics)

    def history_frame(self) -> "pandas.DataFrame":
        """Return a row per trial and evaluation: hyper-parameters, seed, step, metrics."""
        import pandas

        return self.frame()[["trial", *self.hyper, "seed"]].merge(pandas.DataFrame(self.history), on="trial")


def train(
    config: Config,
    hyper: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    seeds: Sequence[int] | np.ndarray = (0,),
    *,
    dataset: Dataset | None = None,
    placement: str | int = "auto",
    racing: int | None = None,
    evaluation_share: float = 0.2,
    trials_at_once: int | None = None,
    keep_params: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Population:
    """Train one trial for each entry of `hyper` and `seeds`, arrays of one length; all else is as `config` says.

    Args:
        hyper: hyper-parameters of the optimizer, its schedule and the regularisation, by name.
        seeds: of the weights and of the order of the examples; `config.seed` is not used.
        dataset: what `config` names, when it is loaded already.
        placement: map (a device takes its trials one after another), vmap (all at once), a number (so many at once),
            or auto: map on CPU, where a trial's weights stay in the cache, vmap elsewhere.
        racing: keep the best of every `racing` trials at each rung of successive halving (Jamieson & Talwalkar 2016),
            by the loss that is monitored; the rungs are the evaluations nearest to budget/racingᵏ.
        evaluation_share: largest part of the time that evaluations on the way may take; those that would exceed it
            are left out. With 1 none is, and what is evaluated when does not depend on the machine's speed.
        trials_at_once: at most so many on the devices together; by default as many as fit into memory.
        keep_params: return the trained parameters, stacked, on the host.
        progress: called about once a second.
        interrupted: asked as often; once it is true the trials that have not ended are INCOMPLETE.

    Raises:
        ValueError: arrays are empty or differ in length, a hyper-parameter is unknown or a value not allowed, the
            budget is not in steps or epochs, or not even one trial fits into memory.
    """
    _check_options(racing, evaluation_share, trials_at_once)
    clock = Clock()
    with clock("io"):
        dataset = dataset or configs.load_data(config)
        cell = configs.make_cell(config, dataset)
        total = configs.total_steps(config, len(dataset.train.y), cell.batch_size)
        table = _table(config, cell, total, hyper or {}, np.asarray(seeds))
        mesh = devices.mesh()
        engine = programs(cell, mesh, block(placement, mesh))
        splits = {name: split for name in configs.SPLITS if len((split := getattr(dataset, name)).y)}
        fits = fitting(engine, table.hyper, sum(s.x.nbytes + s.y.nbytes for s in splits.values()))
        data = {name: engine.put_everywhere(place(cell, dataset, split)) for name, split in splits.items()}
    assert total is not None
    rules = _Rules(config, cell, dataset, total, racing, evaluation_share, keep_params)
    book, before = _Book(table), len(engine.compiled)
    size = min(table.size, fits, trials_at_once or table.size)
    while len(waiting := book.waiting()) and not interrupted():
        rows = waiting[:size]
        try:
            _Group(rules, engine, data, book, rows, size, clock).run(progress, interrupted)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if size == 1:
                raise ValueError(f"one trial does not fit into memory: {str(error).splitlines()[0]}") from error
            book.forget(rows)
            size = -(-size // 2)
    new = list(engine.compiled)[before:]
    return book.close(rules, clock, sum(key[0] == "advance" for key in new))


class _Table(NamedTuple):
    """The trials as columns."""

    hyper: dict[str, np.ndarray]
    seeds: np.ndarray

    @property
    def size(self) -> int:
        return len(self.seeds)


def _table(config: Config, cell: Cell, total: int | None, hyper: Mapping, seeds: np.ndarray) -> _Table:
    """Return the checked columns, every hyper-parameter of the cell among them."""
    if total is None:
        raise ValueError("a population needs a budget in steps or epochs; seconds bind a trial that runs alone")
    columns = {name: np.atleast_1d(np.asarray(values, float)) for name, values in hyper.items()}
    _check_lengths({"seeds": np.atleast_1d(seeds)} | columns)
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min() < 0 or seeds.max() >= 2**32:
        raise ValueError(f"seeds {seeds.tolist()!r:.40} are not allowed; give whole numbers from 0 to 2**32 - 1")
    values = zip(*(column.tolist() for column in columns.values()))
    rows = [configs.make_hyper(config, cell, total, **dict(zip(columns, row))) for row in values]
    rows = rows or [configs.make_hyper(config, cell, total)] * seeds.size
    return _Table({name: np.array([row[name] for row in rows]) for name in rows[0]}, np.atleast_1d(seeds))


def _check_lengths(columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"{name} has shape {values.shape}; give an array with one entry for each trial")
    if len({len(values) for values in columns.values()}) > 1:
        given = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise ValueError(f"the arrays have different lengths ({given}); give one entry for each trial in all of them")


def _check_options(racing: int | None, evaluation_share: float, trials_at_once: int | None) -> None:
    if racing is not None and racing < 2:
        raise ValueError(f"racing {racing!r} is not allowed; give a whole number of at least 2, or None")
    if not 0 < evaluation_share <= 1:
        raise ValueError(f"evaluation_share {evaluation_share!r} is not allowed; give a number above 0 and at most 1")
    if trials_at_once is not None and trials_at_once < 1:
        raise ValueError(
            f"trials_at_once {trials_at_once!r} is not allowed; give a whole number of at least 1, or None"
        )


class _Rules(NamedTuple):
    """What decides when trials are evaluated and when they end."""

    config: Config
    cell: Cell
    dataset: Dataset
    total: int
    racing: int | None
    evaluation_share: float
    keep_params: bool

    @property
    def monitor(self) -> str:
        return configs.monitored(self.dataset)

    def rungs(self, points: np.ndarray, count: int) -> set[int]:
        """The steps at which all but one in `racing` of `count` trials are stopped."""
        if self.racing is None:
            return set()
        levels = range(1, math.floor(math.log(count, self.racing) + 1e-9) + 1)
        return {int(points[np.argmin(abs(points - self.total / self.racing**k))]) for k in levels} - {0, self.total}


class _Book:
    """What is known of every trial so far."""

    def __init__(self, table: _Table) -> None:
        self.table = table
        self.status = np.full(table.size, RUNNING, dtype="<U10")
        self.started = np.zeros(table.size, bool)
        self.steps = np.zeros(table.size, np.int64)
        self.failed = np.full(table.size, -1, np.int64)
        self.steps_to_target = np.full(table.size, np.inf)
        self.metrics: dict[str, np.ndarray] = {}
        self.history: list[dict[str, np.ndarray]] = []
        self.params: dict[int, Any] = {}

    def waiting(self) -> np.ndarray:
        """The trials that have not been started."""
        return np.flatnonzero(~self.started)

    def forget(self, rows: np.ndarray) -> None:
        """Undo what was noted of trials that must start again."""
        self.started[rows] = False
        self.status[rows], self.steps[rows], self.failed[rows], self.steps_to_target[rows] = RUNNING, 0, -1, np.inf
        self.history = [part for part in self.history if not np.isin(part["trial"], rows).any()]

    def note_end(self, rows: np.ndarray, metrics: Mapping[str, np.ndarray]) -> None:
        """Keep the metrics at the end of the trials `rows`."""
        for name, values in metrics.items():
            self.metrics.setdefault(name, np.full(self.table.size, np.nan))[rows] = values

    def close(self, rules: _Rules, clock: Clock, compilations: int) -> Population:
        """Return it all as a Population."""
        self.status[self.status == RUNNING] = INCOMPLETE
        params = [self.params[row] for row in sorted(self.params)]
        names = self.history[0] if self.history else ()
        return Population(
            config=rules.config,
            cell=rules.cell,
            hyper=self.table.hyper,
            seeds=self.table.seeds,
            status=self.status,
            steps=self.steps,
            failed=self.failed,
            steps_to_target=self.steps_to_target,
            metrics=self.metrics,
            history={name: np.concatenate([part[name] for part in self.history]) for name in names},
            params=jax.tree.map(lambda *leaves: np.stack(leaves), *params) if params else None,
            seconds=clock.seconds,
            compilations=compilations,
        )


class _Group:
    """Trials that are on the devices together, from start to end; lanes without a trial are copies that never run."""

    def __init__(
        self,
        rules: _Rules,
        programs: Programs,
        data: dict[str, Data],
        book: _Book,
        rows: np.ndarray,
        size: int,
        clock: Clock,
    ) -> None:
        self.rules, self.programs, self.data, self.book, self.clock = rules, programs, data, book, clock
        self.points = evaluation_points(rules.config, rules.total)
        self.rungs = rules.rungs(self.points, len(rows))
        self.wanted = [s for s in configs.SPLITS if s in (*rules.config.evaluate_on, rules.monitor) and s in data]
        self.step, self.pace, self.best = 0, Pace(GLANCE), math.nan
        self.evaluation_seconds = 0.0  # of the last one on the way
        book.started[rows] = True
        self._occupy(rows, size)
        self.states = programs.start(clock, self.hyper, self.seeds)

    def run(self, progress: Callable[[Progress], None], interrupted: Callable[[], bool]) -> None:
        """Train until every trial has ended."""
        self._evaluate()
        for point in self.points[1:].astype(int).tolist():
            while self.step < point and self.alive.any() and not interrupted():
                self._train(point - self.step)
                progress(self._progress())
            if self.step < point:
                break
            if self._due(point):
                self._evaluate()
        self.book.status[self.rows[self.alive]] = INCOMPLETE
        self._retire()

    @property
    def alive(self) -> np.ndarray:
        """Which lanes hold a trial that has not ended."""
        return self.occupied & (self.book.status[self.rows] == RUNNING)

    def _occupy(self, rows: np.ndarray, size: int) -> None:
        """Give each trial of `rows` a lane, of `size` or the next number that the placement takes."""
        lanes = -(-size // self.programs.multiple) * self.programs.multiple
        self.rows = np.concatenate([rows, np.full(lanes - len(rows), rows[0])])
        self.occupied = np.arange(lanes) < len(rows)
        real = jnp.result_type(float)
        table = self.book.table
        self.hyper = self.programs.put({name: v[self.rows].astype(real) for name, v in table.hyper.items()})
        self.seeds = self.programs.put(table.seeds[self.rows].astype(np.uint32))

    def _train(self, room: int) -> None:
        alive, count, before = self.alive, self.pace.of(room), self.clock["training"]
        num_steps = self.programs.put(np.where(alive, count, 0).astype(np.int32))
        self.states = self.programs.advance(
            self.clock, self.data["train"], self.hyper, self.seeds, self.states, num_steps
        )
        self.pace.took(count, self.clock["training"] - before)
        self.step += count
        failed, rows = np.asarray(self.states.failed)[alive], self.rows[alive]
        self.book.failed[rows] = failed
        self.book.steps[rows] = np.where(failed >= 0, failed + 1, self.step)
        self.book.status[rows[failed >= 0]] = INFEASIBLE

    def _due(self, point: int) -> bool:
        """Whether to evaluate here: at the end, at a rung, and elsewhere where it keeps to its share of the time."""
        share, spent = self.rules.evaluation_share, self.clock["evaluation"] + self.evaluation_seconds
        return point == self.rules.total or point in self.rungs or spent <= share * (spent + self.clock["training"])

    def _evaluate(self) -> None:
        """Note the metrics of the trials that run, and end those that met the target, failed or lost the race."""
        alive, before = self.alive, self.clock["evaluation"]
        if not alive.any():
            return
        metrics = {name: values for split in self.wanted for name, values in self._metrics(split, alive).items()}
        self.evaluation_seconds = self.clock["evaluation"] - before
        rows, examples = self.rows[alive], self.step * self.rules.cell.batch_size
        where = {"step": self.step, "examples": examples, "epoch": examples / len(self.rules.dataset.train.y)}
        where |= {"training_seconds": self.clock["training"]}
        self.book.history.append({"trial": rows} | {k: np.full(len(rows), v) for k, v in where.items()} | metrics)
        self._end(rows, metrics)
        self._compact()

    def _metrics(self, split: str, lanes: np.ndarray) -> dict[str, np.ndarray]:
        """Return the metrics on `split` of the trials in `lanes`."""
        active = self.programs.put(lanes)
        sums = jax.device_get(self.programs.evaluate(self.clock, self.data[split], self.states.params, active))
        ones = [jax.tree.map(lambda leaf, lane=lane: leaf[lane], sums) for lane in np.flatnonzero(lanes)]
        each = [losses.metrics(one, self.rules.dataset.target_scale) for one in ones]
        return {f"{split}_{name}": np.array([one[name] for one in each]) for name in each[0]}

    def _end(self, rows: np.ndarray, metrics: dict[str, np.ndarray]) -> None:
        loss, status = metrics[f"{self.rules.monitor}_loss"], self.book.status
        bad = ~np.isfinite(loss)
        met = ~bad & configs.target_met(self.rules.config, self.rules.dataset, metrics)
        self.book.failed[rows[bad]] = self.step
        self.book.steps_to_target[rows[met]] = self.step
        status[rows[bad]], status[rows[met]] = INFEASIBLE, COMPLETE
        rest = ~bad & ~met
        if self.step >= self.rules.total:
            status[rows[rest]] = COMPLETE
        elif self.step in self.rungs:
            ranked = rows[rest][np.argsort(loss[rest], kind="stable")]
            status[ranked[-(-len(ranked) // (self.rules.racing or 1)) :]] = INCOMPLETE
        best = min if self.rules.dataset.task == "regression" else max
        self.best = float(best(metrics[configs.score(self.rules.dataset)]))

    def _compact(self) -> None:
        """Where a device takes all its trials at once, let those that run move together and leave the rest behind."""
        alive, mesh = self.alive, self.programs.mesh
        lanes = mesh.size * 2 ** math.ceil(math.log2(max(1, -(-alive.sum() // mesh.size))))
        if self.programs.block != 0 or not alive.any() or 2 * lanes > len(alive):
            return
        self._retire()
        index = np.flatnonzero(alive)
        index = np.concatenate([index, np.full(lanes - len(index), index[0])])
        self.states = self.programs.put(jax.tree.map(lambda leaf: leaf[index], self.states))
        self._occupy(self.rows[alive], lanes)

    def _retire(self) -> None:
        """Read the metrics of the trials that have ended on every split, for the last time, and empty their lanes."""
        ended = self.occupied & ~self.alive
        if not ended.any():
            return
        rows = self.rows[ended]
        for split in self.data:
            self.book.note_end(rows, self._metrics(split, ended))
        if self.rules.keep_params:
            params = jax.device_get(jax.tree.map(lambda leaf: leaf[np.flatnonzero(ended)], self.states.params))
            self.book.params |= {
                row: jax.tree.map(lambda leaf, lane=lane: leaf[lane], params) for lane, row in enumerate(rows)
            }
        self.occupied &= ~ended

    def _progress(self) -> Progress:
        status, alive = self.book.status, int(self.alive.sum())
        left = alive * (self.rules.total - self.step) + len(self.book.waiting()) * self.rules.total
        rate = self.pace.rate * max(1, alive)
        return Progress(
            cell=self.rules.cell,
            running=alive,
            done=int(np.isin(status, (COMPLETE, INCOMPLETE)).sum()),
            infeasible=int((status == INFEASIBLE).sum()),
            best=self.best,
            trial_steps_per_second=rate,
            left=left / rate,
        )
