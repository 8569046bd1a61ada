"""Trials that are on the devices together: trained in step, evaluated, and ended one by one.

Invariant: a trial that has ended (its target met, not finite, out of budget or of the race) is never trained again,
and what is known of it no longer changes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses
from mlp_jax.data import Dataset
from mlp_jax.machine.clocks import Clock, Pace
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.training.engine import Programs
from mlp_jax.trial import Cell, Data

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


class Table(NamedTuple):
    """The trials as columns."""

    hyper: dict[str, np.ndarray]
    seeds: np.ndarray

    @property
    def size(self) -> int:
        return len(self.seeds)


class Rules(NamedTuple):
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


class Book:
    """What is known of every trial so far."""

    def __init__(self, table: Table) -> None:
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

    def note(self, rows: np.ndarray, where: Mapping[str, float], metrics: Mapping[str, np.ndarray]) -> None:
        """Keep the metrics of one evaluation of the trials `rows`."""
        self.history.append({"trial": rows} | {k: np.full(len(rows), v) for k, v in where.items()} | dict(metrics))
        for name, values in metrics.items():
            self.metrics.setdefault(name, np.full(self.table.size, np.nan))[rows] = values


class Group:
    """Trials that are on the devices together, from start to end; lanes without a trial are copies that never run."""

    def __init__(
        self,
        rules: Rules,
        programs: Programs,
        data: dict[str, Data],
        book: Book,
        rows: np.ndarray,
        size: int,
        clock: Clock,
    ) -> None:
        self.rules, self.programs, self.data, self.book, self.clock = rules, programs, data, book, clock
        self.points = configs.evaluation_points(rules.config, rules.total)
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
            if self.alive.any() and self._due(point):
                self._evaluate()
        if self.alive.any():
            self._evaluate()
        self.book.status[self.rows[self.alive]] = INCOMPLETE
        self._empty()

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
        metrics = {name: values for split in self.wanted for name, values in self._metrics(split, alive).items()}
        self.evaluation_seconds = self.clock["evaluation"] - before
        rows, examples = self.rows[alive], self.step * self.rules.cell.batch_size
        where = {"step": self.step, "examples": examples, "epoch": examples / len(self.rules.dataset.train.y)}
        where |= {"training_seconds": self.clock["training"]}
        self.book.note(rows, where, metrics)
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
        alive, shards = self.alive, self.programs.shards
        lanes = shards * 2 ** math.ceil(math.log2(max(1, -(-alive.sum() // shards))))
        if self.programs.block != 0 or not alive.any() or 2 * lanes > len(alive):
            return
        self._empty()
        index = np.flatnonzero(alive)
        index = np.concatenate([index, np.full(lanes - len(index), index[0])])
        self.states = self.programs.put(jax.tree.map(lambda leaf: leaf[index], self.states))
        self._occupy(self.rows[alive], lanes)

    def _empty(self) -> None:
        """Take the trials that have ended out of their lanes, with their parameters where these are wanted."""
        ended = self.occupied & ~self.alive
        if self.rules.keep_params:
            lanes = np.flatnonzero(ended)
            params = jax.device_get(jax.tree.map(lambda leaf: leaf[lanes], self.states.params))
            of = lambda number: jax.tree.map(lambda leaf: leaf[number], params)
            self.book.params |= {row: of(number) for number, row in enumerate(self.rows[lanes].tolist())}
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
