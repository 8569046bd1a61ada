"""Trials that are on the devices together: they advance from look to look, in step, and end one by one.

Invariant: a trial that has ended (target met, not finite, budget used) is never trained again. What happens between two
looks (saving, showing progress, an interruption) changes no number that the steps compute.
"""

import math
from collections.abc import Iterable, Iterator, Set
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses, stopping, trial
from mlp_jax.machine.clocks import Clock
from mlp_jax.training.engine import Engine
from mlp_jax.training.look import Look
from mlp_jax.training.task import Task
from mlp_jax.training.timetable import Timetable
from mlp_jax.training.trials import LAST, NEVER, Cutoff, Status, Trials
from mlp_jax.trial import Data, TrialState

EMPTY_CALLS = 6  # calls without a step; the shortest gives the time of a call itself
TIMED_SECONDS = 0.01  # the least that is timed


class Group:
    """The trials `rows` on the devices, each in a lane of its own; lanes without a trial never run.

    With `apart`, steps and evaluations are separate calls, so that each has its own exact time. Otherwise a call does
    both, and its time is divided by the time of one evaluation, which is measured at the start. With `anew`, trials
    start from their seeds, whatever is known about them.
    """

    def __init__(
        self,
        task: Task,
        trials: Trials,
        engine: Engine,
        data: dict[str, Data],
        clock: Clock,
        rows: np.ndarray,
        lanes: int,
        apart: bool,
        evaluation_share: float,
        rungs: Set[int],
        compacts: bool,
        anew: bool = False,
        cutoff: Cutoff = NEVER,
    ) -> None:
        self.task, self.trials, self.engine, self.data, self.clock = task, trials, engine, data, clock
        self.cutoff, self.compacts, first = cutoff, compacts, int(rows[0])
        self.goes_on = bool(trials.started[first]) and not anew
        at = (int(trials.steps[first]), int(trials.next_point[first])) if self.goes_on else (0, 0)
        spent = float(np.nanmax(trials.points["training_seconds"][first], initial=0.0)) if self.goes_on else 0.0
        self.timetable = Timetable(task, clock, apart, evaluation_share, rungs, at, spent)
        self._running: tuple[np.ndarray, jax.Array] | None = None  # the lanes that run, and the copy on the devices
        with clock("io"):
            self._occupy(rows, lanes)
        states = self._states()
        trials.started[rows] = True
        with clock("io"):
            self.lanes = engine.room(states, task.room)
            self._bring_back()

    @property
    def alive(self) -> np.ndarray:
        """For each lane, whether it holds a trial that has not ended."""
        return self.occupied & (self.trials.status[self.rows] == Status.RUNNING)

    def looks(self, stop: float) -> Iterator[None]:
        """Advance to step `stop`, or until every trial has ended, and yield at each look."""
        table = self.timetable
        while self.alive.any() and (table.step < min(stop, self.end) or table.due_here()):
            known = self.cutoff.known(self.trials.steps_to_target)
            self._go(*table.next(min(stop, self.end) if known else min(stop, self.end, table.near())))
            self._end_where_time_is_up()
            self._compact()
            yield

    @property
    def end(self) -> float:
        """The step at which these trials end if they do not meet the target earlier."""
        return math.floor(min(self.cutoff.at(self.trials.steps_to_target), LAST))

    def time(self, steps: int, calls: int) -> float:
        """Return the seconds of one step, without evaluations and without the overhead of a call.

        It takes `steps` steps in `calls` calls. If they take less than a hundredth of a second, further steps are taken
        until that has passed. A trial that fails at once gets the time of its call.
        """
        table, none, seconds, took = self.timetable, np.zeros(self.task.room, bool), 0.0, 0.0
        take = lambda more: self._advance(self.occupied, table.step + more, 0, none, "training")
        call = min(take(0) for _ in range(EMPTY_CALLS))
        at_once, taken, failed = math.ceil(max(1, steps) / calls), np.array(0), np.array(False)
        while not failed.any() and (table.step < steps or seconds < TIMED_SECONDS):
            took = take(at_once)
            seconds += max(0.0, took - call)
            at_once *= 1 if table.step < steps else 2
            taken, failed = jax.device_get((self.lanes.state.step, self.lanes.state.failed >= 0))
        return (seconds or took) / taken.max()

    def put_away(self, ended: bool = False) -> None:
        """Copy states to the host: those of running trials and of trials to keep, and with `ended` those of all."""
        wanted = self.occupied & (self.trials.kept | ended | (self.trials.status[self.rows] == Status.RUNNING))
        self._fetch(np.flatnonzero(wanted))

    def evaluate(self, lanes: np.ndarray, splits: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the present metrics of the trials in these lanes."""
        active = self.engine.put(np.isin(np.arange(len(self.rows)), lanes))
        params, found = jax.vmap(partial(trial.found, self.task.cell))(self.lanes.state), {}
        for split in splits:
            sums = jax.device_get(self.engine.evaluate(self.clock, self.data[split], params, active))
            found |= self._metrics(split, jax.tree.map(lambda leaf: leaf[lanes], sums))
        return found

    def _go(self, until: int, due: int) -> None:
        """Advance to the look at step `until`, with evaluations before the point `due`, and store the results."""
        alive, table = self.alive, self.timetable
        trials, first, begin, before = int(alive.sum()), table.number, table.step, self.clock["training"]
        wanted = table.wanted(due, trials)
        numbers = [number for number in range(first, due) if wanted[number]]
        seconds = self._advance(alive, until, due, wanted, "training" if until > begin else "evaluation")
        table.took(until - begin, len(numbers), trials, seconds)
        table.number = due
        each = (self.clock["training"] - before) / max(1, until - begin)
        with self.clock("evaluation"):
            self._learn(alive, {number: before + each * (int(table.points[number]) - begin) for number in numbers})

    def _advance(self, alive: np.ndarray, until: int, due: int, wanted: np.ndarray, part: str) -> float:
        """Advance the trials in the lanes `alive` to a look, and return the seconds that it took."""
        before, table = self.clock[part], self.timetable
        with self.clock(part):
            beyond = (0, self.lanes.batch_loss.shape[1] - len(table.points))
            points = np.pad(table.points, beyond, constant_values=LAST).astype(np.int32)
            from_to = (np.int32(table.step), np.int32(until), np.int32(table.number), np.int32(due))
            look = Look(*from_to, points, np.pad(wanted, beyond), *self._target(len(points)))
            if self._running is None or not np.array_equal(self._running[0], alive):
                self._running = (alive, self.engine.put(alive))
            of_trials = (self.hyper, self.seeds, self._running[1], self.lanes)
            self.lanes = self.engine.advance(part, self.clock, look, self.data, *of_trials)
        table.step = until
        return self.clock[part] - before

    def _target(self, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of the points and the limits of their sums, in the form for a Look."""
        limits, windows = self.task.limits, np.arange(room, dtype=np.int32)
        windows[: len(self.task.windows)] = self.task.windows
        return windows, np.pad(limits, (0, room - len(limits)), mode="edge")

    def _bring_back(self) -> None:
        """Put earlier results of resumed trials back into their lanes, if the target needs them."""
        if not self.goes_on or self.task.config.stop_smoothing == 1:
            return
        task, monitor = self.task, self.task.monitor
        columns = {name: self.trials.points[f"{monitor}_{name}"][self.rows] for name in task.metrics_of_one}
        count = len(getattr(task.dataset, monitor).y)
        found = stopping.of_metrics(task.cell.loss, columns, count, task.dataset.target_scale)
        sums = self.lanes.sums[monitor]
        put = lambda room, leaf: self.engine.put(np.pad(leaf, ((0, 0), (0, room.shape[1] - leaf.shape[1]))))
        self.lanes.sums[monitor] = jax.tree.map(put, sums, found)

    def _learn(self, alive: np.ndarray, where: dict[int, float]) -> None:
        """Store the results of a look: `where` maps each point that was evaluated to its seconds of training."""
        lanes, rows, trials, state = np.flatnonzero(alive), self.rows[alive], self.trials, self.lanes.state
        table = self.timetable
        found_there = (self.lanes.sums, self.lanes.batch_loss) if where else ({}, np.zeros((0, 0)))
        known = (state.step, state.failed, self.lanes.seen, self.lanes.met)
        ends, (sums, batch_loss) = jax.device_get((known, found_there))
        steps, failed, seen, met = (leaf[lanes] for leaf in ends)
        for number, seconds in where.items():
            came = seen > number
            step = int(table.points[number])
            found = table.place(step, seconds) | {"batch_loss": batch_loss[lanes[came], number] if step else np.nan}
            at = (lanes[came], number)
            for split in self.task.watched:
                found |= self._metrics(split, jax.tree.map(lambda leaf, at=at: leaf[at], sums[split]))
            if self.task.config.noise_scale:
                found |= self._noise(lanes[came])
            trials.note(rows[came], number, found)
        trials.steps[rows], trials.failed[rows], trials.next_point[rows] = steps, failed, table.number
        hit = (met >= 0) & (failed < 0)
        trials.steps_to_target[rows[hit]] = table.points[met[hit]]
        trials.status[rows[hit]] = Status.COMPLETE
        trials.status[rows[failed >= 0]] = Status.INFEASIBLE
        if table.at_the_end:
            trials.status[rows[(failed < 0) & ~hit]] = Status.COMPLETE
        for row in rows[trials.status[rows] != Status.RUNNING].tolist():
            trials.states.pop(row, None)  # it is from an earlier step
        if not self.compacts:  # the lanes of trials that have ended are still there
            for lane in lanes[failed >= 0]:
                self._evaluate_end(int(lane))

    def _metrics(self, split: str, sums: losses.Sums) -> dict[str, np.ndarray]:
        found = losses.metrics(sums, self.task.dataset.target_scale)
        return {f"{split}_{name}": values for name, values in found.items()}

    def _noise(self, lanes: np.ndarray) -> dict[str, np.ndarray]:
        active = self.engine.put(np.isin(np.arange(len(self.rows)), lanes))
        params = self.lanes.state.params
        found = self.engine.noise(self.clock, self.data["train"], self.hyper, params, active)
        return {name: np.asarray(found[name])[lanes] for name in trial.NOISE}

    def _evaluate_end(self, lane: int) -> None:
        """Add an evaluation at the step where a trial failed to its history."""
        lanes, row, table = np.array([lane]), self.rows[lane], self.timetable
        if self.trials.points["step"][row, max(0, table.number - 1)] == self.trials.steps[row]:
            return
        found = table.place(int(self.trials.steps[row]), self.clock["training"])
        found |= {"batch_loss": np.asarray(self.lanes.state.loss)[lane]}
        found |= self.evaluate(lanes, self.task.watched)
        if self.task.config.noise_scale:
            found |= self._noise(lanes)
        self.trials.note(self.rows[lanes], table.number, found)

    def _end_where_time_is_up(self) -> None:
        """If the budget in seconds is used, end all trials after a last evaluation."""
        table = self.timetable
        if not table.time_is_up or not self.alive.any():
            return
        last = self.trials.points["step"][self.rows[self.alive][0]]
        if np.nanmax(last, initial=-1) < table.step:
            table.points[table.number] = table.step
            self._go(table.step, table.number + 1)
        self.trials.status[self.rows[self.alive]] = Status.COMPLETE

    def _occupy(self, rows: np.ndarray, lanes: int) -> np.ndarray:
        """Give each trial of `rows` a lane, dealing them to the devices in turn; return the order of the lanes."""
        count = self.engine.lanes(max(lanes, len(rows)))
        dealt = np.arange(count).reshape(-1, self.engine.shards).T.reshape(-1)
        self.rows = np.concatenate([rows, np.full(count - len(rows), rows[0])])[dealt]
        self.occupied = dealt < len(rows)
        real = jnp.result_type(float)
        self.hyper = self.engine.put({name: v[self.rows].astype(real) for name, v in self.trials.hyper.items()})
        self.seeds = self.engine.put(self.trials.seeds[self.rows].astype(np.uint32))
        return dealt

    def _states(self) -> TrialState:
        """Return the states of all lanes: started from the seeds, or those on the host."""
        if not self.goes_on:
            return self.engine.start(self.clock, self.hyper, self.seeds)
        each = [self.trials.states[row] for row in self.rows.tolist()]
        return self.engine.put(jax.tree.map(lambda *leaves: np.stack(leaves), *each))

    def _compact(self) -> None:
        """If a device runs trials at once, move the running ones into fewer lanes, without the ended ones."""
        alive, shards = self.alive, self.engine.shards
        count = self.engine.lanes(shards * 2 ** math.ceil(math.log2(max(1, -(-alive.sum() // shards)))))
        if not self.compacts or self.engine.block is None or not alive.any() or 2 * count > len(alive):
            return
        if self.trials.kept:
            self._fetch(np.flatnonzero(self.occupied & ~alive))
        index = np.flatnonzero(alive)
        index = np.concatenate([index, np.full(count - len(index), index[0])])
        index = index[self._occupy(self.rows[alive], count)]
        self.lanes, self._running = self.engine.put(jax.tree.map(lambda leaf: _taken(leaf, index), self.lanes)), None

    def _fetch(self, lanes: np.ndarray) -> None:
        if len(lanes):
            states = jax.device_get(self.lanes.state)
            rows = zip(self.rows[lanes].tolist(), lanes.tolist())
            self.trials.states |= {row: jax.tree.map(lambda leaf, k=k: leaf[k], states) for row, k in rows}


def _taken(leaf: jax.Array, index: np.ndarray) -> jax.Array:
    """Return some lanes of an array, and delete the array: full memory has no room for both."""
    taken = leaf[index]
    leaf.delete()
    return taken
