"""The training loop: put trials on the devices, advance them from look to look, race them, save them, end them.

Invariant: there is no other training loop. A trial's numbers do not depend on the trials beside it on the devices, on
free memory, on how often the loop looks, or on how often training was interrupted and resumed.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from mlp_jax.machine import programs
from mlp_jax.machine.clocks import Clock
from mlp_jax.rows import place
from mlp_jax.training import placement
from mlp_jax.training.directory import Directory
from mlp_jax.training.engine import Engine, on_cpu
from mlp_jax.training.group import Group
from mlp_jax.training.task import Task
from mlp_jax.training.trials import LAST, NEVER, Cutoff, Evaluation, Progress, Status, Trials

CHECKPOINT_SECONDS = 30.0
CALL_SECONDS = 1.0


class Options(NamedTuple):
    """How trials are trained; only racing, a cutoff and an evaluation share below 1 change numbers.

    `apart`: steps and evaluations are separate calls, each with its own time. `timed`: at the end each trial is trained
    once more, alone and without evaluations, to measure its seconds, while no other thread compiles. `lanes`: the least
    number of lanes of a program. `at_once`: the most trials on the devices. `ends`: the splits to evaluate at a trial's
    end.
    """

    placement: str | int = "auto"
    apart: bool = False
    timed: bool = False
    lanes: int = 1
    at_once: int | None = None
    racing: int | None = None
    cutoff: Cutoff = NEVER
    evaluation_share: float = 1.0
    ends: tuple[str, ...] = ()


class Loop:
    """The training of the trials of one task."""

    def __init__(
        self, task: Task, trials: Trials, mesh: Mesh, options: Options, clock: Clock, directory: Directory | None = None
    ) -> None:
        self.task, self.trials, self.options, self.clock, self.directory = task, trials, options, clock, directory
        count = max(options.lanes, min(trials.size, options.at_once or trials.size))
        block = placement.block(options.placement, mesh, task.cell, count)
        self.engine = Engine(task.cell, mesh, block, task.watched, task.by_loss)
        self.before = self.engine.compilations
        with clock("io"):
            splits = {name: getattr(task.dataset, name) for name in task.splits}
            bytes_ = sum(split.x.nbytes + split.y.nbytes for split in splits.values())
            fits = placement.fitting(self.engine, trials.hyper, bytes_)
            placed = {name: place(task.cell.network, task.dataset, split) for name, split in splits.items()}
            self.data = {name: self.engine.put_everywhere(data) for name, data in placed.items()}
            if fits < count and not on_cpu(mesh):
                lanes = min(fits, placement.PROBED)
                fits = placement.compiled_fitting(self.engine, trials.hyper, self.data, task.room, lanes)
            self.size = min(trials.size, fits, options.at_once or trials.size)
            in_turn = self.engine.block is None  # idle lanes cost no time then
            self.lanes = min(options.lanes, fits) if in_turn else 1
        self.saved_at = time.perf_counter()
        self.best, self.stopped = math.nan, False

    def run(
        self,
        progress: Callable[[Progress], None] | None,
        interrupted: Callable[[], bool],
        callback: Callable[[Evaluation], None] | None = None,
    ) -> Trials:
        """Train every trial to its end, or until interrupted, and return all trials.

        `callback` gets each evaluation once, at the look after it, and the evaluations at the ends, if there are any.
        """
        self.callback = callback
        self.told = [self.trials.known(row) for row in range(self.trials.size)] if callback else []
        with self.clock("io"):  # without the blocks inside
            self._run(progress, interrupted)
        self.trials.status[self.trials.status == Status.RUNNING] = Status.INCOMPLETE
        self.trials.seconds, self.trials.interrupted = self.clock.seconds, self.stopped
        self.trials.compilations = self.engine.compilations - self.before
        return self.trials

    def _run(self, progress: Callable[[Progress], None] | None, interrupted: Callable[[], bool]) -> None:
        for rung in (*self._rungs(), self.task.room):
            while len(rows := self._next(rung)) and not self._asked_to_stop(interrupted):
                self._train_or_halve(rows, rung, progress, interrupted)
            if self.stopped:
                break
            self._race(rung)
        if not self.stopped:
            self.trials.cut(self._end())
        for row in self._unmeasured():
            self._evaluate_ends(self._group(np.array([row])), np.zeros(0, int))
        if self.options.timed and not self.stopped:
            self._time_each(interrupted)
        if self.callback is not None and self.options.ends and not self.stopped:
            for row in range(self.trials.size):
                self.callback(self.trials.end(row))
        if self.directory is not None:
            self.directory.end(self.trials, self.clock)

    def _time_each(self, interrupted: Callable[[], bool]) -> None:
        """Replace the seconds in each trial's history by those of training it alone, in calls of about a second."""
        for row in range(self.trials.size):
            steps, seconds = int(self.trials.steps[row]), self.trials.points["training_seconds"][row]
            if self._asked_to_stop(interrupted):
                return
            calls = math.ceil(max(np.nanmax(seconds), 1e-3) / CALL_SECONDS)
            with programs.undisturbed(self.clock):
                each = self._group(np.array([row]), anew=True).time(steps, calls)
            self.trials.points["training_seconds"][row] = each * self.trials.points["step"][row]

    def _unmeasured(self) -> list[int]:
        """Return the trials that ended before this process began, and whose ends must still be evaluated."""
        splits = self.options.ends
        return [row for row in self.trials.states if splits and np.isnan(self.trials.metric(f"{splits[0]}_loss")[row])]

    def _asked_to_stop(self, interrupted: Callable[[], bool]) -> bool:
        self.stopped = self.stopped or interrupted()
        return self.stopped

    def _rungs(self) -> list[int]:
        """Return the numbers of the points at which only the best 1/`racing` of the settings go on."""
        racing, total, points = self.options.racing, self.task.total, self.task.points
        if racing is None or total is None:
            return []
        levels = range(1, math.floor(math.log(len(np.unique(self._settings())), racing) + 1e-9) + 1)
        numbers = {int(np.argmin(abs(points - total / racing**k))) for k in levels}
        return sorted(numbers - {0, len(points) - 1})

    def _end(self) -> float:
        """Return the step at which trials that have not met the target end."""
        return math.floor(min(self.options.cutoff.at(self.trials.steps_to_target), LAST))

    def _settings(self) -> np.ndarray:
        """Return the number of each trial's hyper-parameter setting; trials that differ only in the seed share it."""
        columns = np.stack(list(self.trials.hyper.values()), axis=1)
        return np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)

    def _next(self, rung: int) -> np.ndarray:
        """Return the trials to train next: those that have not reached the rung and share the largest step so far."""
        going = (self.trials.status == Status.RUNNING) & (self.trials.steps < self._end())
        (rows,) = np.nonzero(going & (self.trials.next_point <= rung))
        if not len(rows):
            return rows
        at = np.where(self.trials.started[rows], self.trials.steps[rows], -1)
        return rows[at == at.max()][: self.size]

    def _train_or_halve(self, rows: np.ndarray, rung: int, progress: Callable | None, interrupted: Callable) -> None:
        try:
            self._train(rows, rung, progress, interrupted)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if self.size == 1:
                raise ValueError(f"one trial does not fit into memory: {str(error).splitlines()[0]}") from error
            self.trials.forget(rows)
            self.size = -(-self.size // 2)

    def _train(self, rows: np.ndarray, rung: int, progress: Callable | None, interrupted: Callable) -> None:
        """Train trials to a rung, or until interrupted."""
        task, group = self.task, self._group(rows)
        stop = task.points[rung] if rung < len(task.points) else task.total or math.inf
        for _ in group.looks(stop):
            self._note_best(group)
            self._tell(rows)
            if progress is not None and group.timetable.pace.rate:
                progress(self._progress(group))
            self._save_now_and_then(group)
            if self._asked_to_stop(interrupted):
                break
        self._evaluate_ends(group, np.flatnonzero(group.alive) if self.stopped else np.zeros(0, int))
        group.put_away()

    def _group(self, rows: np.ndarray, anew: bool = False) -> Group:
        """Put trials on the devices."""
        rungs, asked = {int(self.task.points[number]) for number in self._rungs()}, self.options
        how = (asked.apart, asked.evaluation_share, rungs, not asked.ends, anew, asked.cutoff)
        lanes = max(self.lanes, 1 if anew else self.size)
        return Group(self.task, self.trials, self.engine, self.data, self.clock, rows, lanes, *how)

    def _evaluate_ends(self, group: Group, interrupted: np.ndarray) -> None:
        """Store the metrics of trials at their ends, if no evaluation during training has done so."""
        asked = [(interrupted, self.task.watched), (np.flatnonzero(group.occupied), self.options.ends)]
        for lanes, splits in asked:
            if len(lanes):
                found = group.evaluate(lanes, splits)
                for name, values in found.items():
                    self.trials.metric(name)[group.rows[lanes]] = values

    def _race(self, rung: int) -> None:
        """Stop the trials of all settings but the best; settings are ranked by the median over their seeds."""
        trials, racing = self.trials, self.options.racing
        running = trials.status == Status.RUNNING
        if racing is None or not running.any():
            return
        loss = trials.points[f"{self.task.monitor}_loss"][:, rung]
        cost = np.where(running, loss, np.where(np.isfinite(trials.steps_to_target), -np.inf, np.inf))
        setting = self._settings()
        there = np.unique(setting[running])
        medians = np.array([_median(cost[setting == one]) for one in there])
        ranked = there[np.argsort(medians, kind="stable")]
        out = running & np.isin(setting, ranked[-(-len(ranked) // racing) :])
        trials.status[out] = Status.INCOMPLETE

    def _save_now_and_then(self, group: Group) -> None:
        """Save the results of a look, and every so often the states too."""
        if self.directory is None:
            return
        with self.clock("io"):
            self.directory.note(self.trials)
        if time.perf_counter() - self.saved_at >= CHECKPOINT_SECONDS:
            group.put_away(ended=bool(self.options.ends))  # their ends are not evaluated yet
            self.directory.save(self.trials, self.clock)
            self.saved_at = time.perf_counter()

    def _tell(self, rows: np.ndarray) -> None:
        """Give the callback the evaluations that are new, for each trial in the order of its steps."""
        if self.callback is None:
            return
        for row in rows.tolist():
            first, self.told[row] = self.told[row], max(self.told[row], self.trials.known(row))
            for point in range(first, self.told[row]):
                if not math.isnan(self.trials.points["step"][row, point]):
                    self.callback(self.trials.evaluation(row, point))

    def _note_best(self, group: Group) -> None:
        """Store the best score of any trial so far."""
        scores = self.trials.points[self.task.score][group.rows[group.occupied]]
        if np.isfinite(scores).any():
            best = np.nanmin if self.task.less_is_better else np.nanmax
            self.best = float(best([best(scores), self.best]))

    def _progress(self, group: Group) -> Progress:
        task, table, trials, status = self.task, group.timetable, self.trials, self.trials.status
        running, row = int(group.alive.sum()), int(group.rows[0])
        waiting = int((status == Status.RUNNING).sum()) - running
        rate = table.pace.rate * max(1, running)
        seconds = math.inf if task.config.seconds is None else task.config.seconds - table.spent
        steps = math.inf if task.total is None else min(task.total, group.end) - table.step
        each = min(seconds, steps / max(table.pace.rate, 1e-9))
        last = max(0, table.number - 1)
        return Progress(
            cell=task.cell,
            total_steps=task.total,
            step=table.step,
            epoch=table.step * task.cell.batch_size / len(task.dataset.train.y),
            batch_loss=float(np.asarray(group.lanes.state.loss)[0]),
            metrics={name: float(trials.points[name][row, last]) for name in task.metric_names},
            running=running,
            done=int(np.isin(status, (Status.COMPLETE, Status.INCOMPLETE)).sum()),
            infeasible=int((status == Status.INFEASIBLE).sum()),
            best=self.best,
            trial_steps_per_second=rate,
            left=max(0.0, each * (1 + waiting / max(1, self.size))),
        )


def _median(values: np.ndarray) -> float:
    """Return the median; of the two middle values it is the upper one, so that infinities are not averaged."""
    return float(np.sort(values)[len(values) // 2])
