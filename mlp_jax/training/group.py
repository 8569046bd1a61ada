"""Trials that are on the devices together: they go on from look to look, in step, and end one by one.

Invariant: a trial that has ended (its target met, not finite, out of its budget) is never trained again. What is done
between two looks (saving, showing progress, being interrupted) changes no number that the steps compute.
"""

import math
from collections.abc import Iterable, Iterator, Set

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses, trial
from mlp_jax.machine.clocks import Clock, Pace
from mlp_jax.training.engine import Engine
from mlp_jax.training.look import Look
from mlp_jax.training.task import Task
from mlp_jax.training.trials import LAST, NEVER, Cutoff, Status, Trials
from mlp_jax.trial import Data, TrialState

GLANCE = 1.0  # seconds to the next look at the clock and at an interrupt
GLANCE_ALONE = 0.25
GROWTH = 1.25  # how much further a look goes at most while it is open where trials end


class Group:
    """Trials `rows` on the devices, each in a lane of its own; lanes without a trial never run.

    With `apart`, steps and evaluations are in calls of their own, so that each has its own time to the last call; else
    a look holds both, and the time of one evaluation, measured at the start, divides it. With `anew` they start from
    their seeds whatever is known of them.
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
        self.apart, self.share, self.rungs = apart or task.config.noise_scale, evaluation_share, rungs
        self.pace = Pace(GLANCE_ALONE if apart or task.total is None else GLANCE)
        self.cutoff, self.compacts, first = cutoff, compacts, int(rows[0])
        self.goes_on = bool(trials.started[first]) and not anew
        self.step, self.number = (int(trials.steps[first]), int(trials.next_point[first])) if self.goes_on else (0, 0)
        self.points = np.full(task.room, LAST, np.int64)  # those in seconds are set when their time has come
        if task.total is not None:
            self.points[: len(task.points)] = task.points
        self.begin_seconds = clock["training"] - (self._seconds_of(first) if self.goes_on else 0.0)
        self.evaluation_seconds = 0.0  # of one evaluation on the way of one trial
        self._running: tuple[np.ndarray, jax.Array] | None = None  # as it was when it was last put on the devices
        with clock("io"):
            self._occupy(rows, lanes)
        states = self._states(rows)
        trials.started[rows] = True
        with clock("io"):
            self.lanes = engine.room(states, task.room)
            self._bring_back()

    @property
    def alive(self) -> np.ndarray:
        """Which lanes hold a trial that has not ended."""
        return self.occupied & (self.trials.status[self.rows] == Status.RUNNING)

    @property
    def spent(self) -> float:
        """Seconds of training since these trials began."""
        return self.clock["training"] - self.begin_seconds

    def looks(self, stop: float) -> Iterator[None]:
        """Go on to step `stop`, or until every trial has ended, pausing at each look."""
        while self.alive.any() and (self.step < min(stop, self.end) or self._due_here()):
            stop_here = self._near(stop)
            if self._due_here():
                self._go(self.step, self.number + 1, "evaluation")
            elif self.apart:
                self._go(self._until(stop_here), self.number, "training")
            else:
                until = self._until(stop_here)
                self._go(until, int(np.searchsorted(self.points, until, side="right")), "training")
            self._end_where_time_is_up()
            self._compact()
            yield

    @property
    def end(self) -> float:
        """The step at which these trials end if they do not meet the target before."""
        return math.floor(min(self.cutoff.at(self.trials.steps_to_target), LAST))

    def _near(self, stop: float) -> float:
        """Return how far the next look may go: not much while it is open where trials end."""
        if self.cutoff.known(self.trials.steps_to_target):
            return min(stop, self.end)
        return min(stop, self.end, float(max(GROWTH * self.step, self.points[self.number])))

    def time(self, steps: int, at_once: int) -> float:
        """Return the seconds that so many steps take, without an evaluation, after a call that takes none."""
        seconds, none = 0.0, np.zeros(self.task.room, bool)
        self._advance(self.occupied, self.step, 0, none, "training")
        while self.step < steps:
            seconds += self._advance(self.occupied, min(steps, self.step + at_once), 0, none, "training")
        return seconds

    def put_away(self) -> None:
        """Bring the states of the trials that go on, and of those that are kept, to the host."""
        wanted = self.occupied & (self.trials.kept | (self.trials.status[self.rows] == Status.RUNNING))
        self._fetch(np.flatnonzero(wanted))

    def evaluate(self, lanes: np.ndarray, splits: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the metrics of the trials in these lanes as they are now."""
        active = self.engine.put(np.isin(np.arange(len(self.rows)), lanes))
        params, found = self.lanes.state.params, {}
        for split in splits:
            sums = jax.device_get(self.engine.evaluate(self.clock, self.data[split], params, active))
            found |= self._metrics(split, jax.tree.map(lambda leaf: leaf[lanes], sums))
        return found

    def _due_here(self) -> bool:
        """Whether the next point is here, to be evaluated before any step is taken."""
        if self.task.total is None:
            times = self.task.points
            if self.number < len(times) and self.spent >= times[self.number] and self.points[self.number] == LAST:
                self.points[self.number] = self.step
        return bool(self.points[self.number] <= self.step)

    def _until(self, stop: float) -> int:
        """Return where to look next: in a glance, but not beyond the next point where that is evaluated apart."""
        if self.task.total is None:
            upcoming = self.task.points[self.number] if self.number < len(self.task.points) else math.inf
            room = (upcoming - self.spent) * self.pace.rate
        else:
            room = min(self.points[self.number], stop) - self.step if self.apart else stop - self.step
        if self.task.config.seconds is not None:
            room = min(room, (self.task.config.seconds - self.spent) * self.pace.rate)
        return self.step + self.pace.of(float(room))

    def _go(self, until: int, due: int, part: str) -> None:
        """Go to a look, with the evaluations up to the point `due`, and note what was found."""
        alive, begin, before = self.alive, self.step, self.clock["training"]
        wanted = self._wanted(due, until)
        numbers = [number for number in range(self.number, due) if wanted[number]]
        seconds = self._advance(alive, until, due, wanted, part)
        self._divide(seconds, part, numbers, alive, until - begin)
        self.number = due
        each = (self.clock["training"] - before) / max(1, until - begin)
        with self.clock("evaluation"):
            self._learn(alive, {number: before + each * (int(self.points[number]) - begin) for number in numbers})

    def _advance(self, alive: np.ndarray, until: int, due: int, wanted: np.ndarray, part: str) -> float:
        """Take the trials in the lanes `alive` to a look, and return the seconds that this took."""
        before = self.clock[part]
        with self.clock(part):
            beyond = (0, self.lanes.batch_loss.shape[1] - len(self.points))
            points = np.pad(self.points, beyond, constant_values=LAST).astype(np.int32)
            from_to = (np.int32(self.step), np.int32(until), np.int32(self.number), np.int32(due))
            look = Look(*from_to, points, np.pad(wanted, beyond), *self._target(len(points)))
            if self._running is None or not np.array_equal(self._running[0], alive):
                self._running = (alive, self.engine.put(alive))
            of_trials = (self.hyper, self.seeds, self._running[1], self.lanes)
            self.lanes = self.engine.advance(part, self.clock, look, self.data, *of_trials)
        self.step = until
        return self.clock[part] - before

    def _target(self, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of the points and the limits of their sums, as a look has them."""
        limits, windows = self.task.limits, np.arange(room, dtype=np.int32)
        windows[: len(self.task.windows)] = self.task.windows
        return windows, np.pad(limits, (0, room - len(limits)), mode="edge")

    def _bring_back(self) -> None:
        """Give lanes of trials that go on what was found of them, where the target is about that too."""
        if not self.goes_on or self.task.config.stop_smoothing == 1:
            return
        task, monitor = self.task, self.task.monitor
        columns = {name: self.trials.points[f"{monitor}_{name}"][self.rows] for name in task.metrics_of_one}
        count = len(getattr(task.dataset, monitor).y)
        found = losses.of_metrics(task.cell.loss, columns, count, task.dataset.target_scale)
        sums = self.lanes.sums[monitor]
        put = lambda room, leaf: self.engine.put(np.pad(leaf, ((0, 0), (0, room.shape[1] - leaf.shape[1]))))
        self.lanes.sums[monitor] = jax.tree.map(put, sums, found)

    def _wanted(self, due: int, until: int) -> np.ndarray:
        """Tell which points to evaluate: all, but those on the way that would take more than their share of time."""
        wanted = np.ones(self.task.room, bool)
        if self.share >= 1 or self.apart:
            return wanted
        each, training = self.evaluation_seconds * self.alive.sum(), self.clock["training"]
        spent = self.clock["evaluation"]
        for number in range(self.number, due):
            step = int(self.points[number])
            at = training + (step - self.step) / max(self.pace.rate, 1e-9)
            must = step in self.rungs or step == self.task.total
            wanted[number] = must or spent + each <= self.share * (spent + each + at)
            spent += each * wanted[number]
        return wanted

    def _divide(self, seconds: float, part: str, numbers: list[int], alive: np.ndarray, steps: int) -> None:
        """Give the evaluations of a look their part of its time, and learn how many steps a second are taken."""
        if part == "evaluation":
            self.evaluation_seconds = seconds / max(1, int(alive.sum()))
            return
        evaluating = min(0.9 * seconds, self.evaluation_seconds * int(alive.sum()) * len(numbers))
        self.clock.move("training", "evaluation", evaluating)
        self.pace.took(steps, max(seconds - evaluating, 1e-9))

    def _learn(self, alive: np.ndarray, where: dict[int, float]) -> None:
        """Note what a look has found: `where` holds the points that were evaluated, with their seconds of training."""
        lanes, rows, trials, state = np.flatnonzero(alive), self.rows[alive], self.trials, self.lanes.state
        found_there = (self.lanes.sums, self.lanes.batch_loss) if where else ({}, np.zeros((0, 0)))
        known = (state.step, state.failed, self.lanes.seen, self.lanes.met)
        ends, (sums, batch_loss) = jax.device_get((known, found_there))
        steps, failed, seen, met = (leaf[lanes] for leaf in ends)
        for number, seconds in where.items():
            came = seen > number
            found = self._place(int(self.points[number]), seconds) | {
                "batch_loss": batch_loss[lanes[came], number] if self.points[number] else np.nan
            }
            at = (lanes[came], number)
            for split in self.task.watched:
                found |= self._metrics(split, jax.tree.map(lambda leaf, at=at: leaf[at], sums[split]))
            if self.task.config.noise_scale:
                found |= self._noise(lanes[came])
            trials.note(rows[came], number, found)
        trials.steps[rows], trials.failed[rows], trials.next_point[rows] = steps, failed, self.number
        hit = (met >= 0) & (failed < 0)
        trials.steps_to_target[rows[hit]] = self.points[met[hit]]
        trials.status[rows[hit]] = Status.COMPLETE
        trials.status[rows[failed >= 0]] = Status.INFEASIBLE
        if self.task.total is not None and self.step >= self.task.total:
            trials.status[rows[(failed < 0) & ~hit & self._seen_all()]] = Status.COMPLETE
        if not self.compacts:  # the lanes of trials that have ended are still there
            for lane in lanes[failed >= 0]:
                self._evaluate_end(int(lane))

    def _seen_all(self) -> bool:
        return self.number >= len(self.task.points)

    def _place(self, step: int, seconds: float) -> dict[str, float]:
        examples = step * self.task.cell.batch_size
        epoch = examples / len(self.task.dataset.train.y)
        return {"step": step, "examples": examples, "epoch": epoch, "training_seconds": seconds - self.begin_seconds}

    def _metrics(self, split: str, sums: losses.Sums) -> dict[str, np.ndarray]:
        found = losses.metrics(sums, self.task.dataset.target_scale)
        return {f"{split}_{name}": values for name, values in found.items()}

    def _noise(self, lanes: np.ndarray) -> dict[str, np.ndarray]:
        active = self.engine.put(np.isin(np.arange(len(self.rows)), lanes))
        params = self.lanes.state.params
        found = self.engine.noise(self.clock, self.data["train"], self.hyper, params, active)
        return {name: np.asarray(found[name])[lanes] for name in trial.NOISE}

    def _evaluate_end(self, lane: int) -> None:
        """Add to a trial's history what it is where it failed."""
        lanes, row = np.array([lane]), self.rows[lane]
        if self.trials.points["step"][row, max(0, self.number - 1)] == self.trials.steps[row]:
            return
        found = self._place(int(self.trials.steps[row]), self.clock["training"])
        found |= {"batch_loss": np.asarray(self.lanes.state.loss)[lane]}
        found |= self.evaluate(lanes, self.task.watched)
        if self.task.config.noise_scale:
            found |= self._noise(lanes)
        self.trials.note(self.rows[lanes], self.number, found)

    def _end_where_time_is_up(self) -> None:
        """End all trials where the budget in seconds is used, after a last evaluation there."""
        seconds = self.task.config.seconds
        if seconds is None or self.spent < seconds or not self.alive.any():
            return
        rows = self.rows[self.alive]
        last = self.trials.points["step"][rows[0]]
        if np.nanmax(last, initial=-1) < self.step:
            self.points[self.number] = self.step
            self._go(self.step, self.number + 1, "evaluation")
        self.trials.status[self.rows[self.alive]] = Status.COMPLETE

    def _occupy(self, rows: np.ndarray, lanes: int) -> np.ndarray:
        """Give each trial of `rows` a lane, of at least so many, dealt to the devices in turn; return who got which."""
        count = self.engine.lanes(max(lanes, len(rows)))
        dealt = np.arange(count).reshape(-1, self.engine.shards).T.reshape(-1)
        self.rows = np.concatenate([rows, np.full(count - len(rows), rows[0])])[dealt]
        self.occupied = dealt < len(rows)
        real = jnp.result_type(float)
        self.hyper = self.engine.put({name: v[self.rows].astype(real) for name, v in self.trials.hyper.items()})
        self.seeds = self.engine.put(self.trials.seeds[self.rows].astype(np.uint32))
        return dealt

    def _states(self, rows: np.ndarray) -> TrialState:
        """Return the states of all lanes: from the seeds, or those that were put away."""
        if not self.goes_on:
            return self.engine.start(self.clock, self.hyper, self.seeds)
        each = [self.trials.states[row] for row in self.rows.tolist()]
        return self.engine.put(jax.tree.map(lambda *leaves: np.stack(leaves), *each))

    def _seconds_of(self, row: int) -> float:
        return float(np.nanmax(self.trials.points["training_seconds"][row], initial=0.0))

    def _compact(self) -> None:
        """Where a device takes all its trials at once, let those that run move together and leave the rest behind."""
        alive, shards = self.alive, self.engine.shards
        count = shards * 2 ** math.ceil(math.log2(max(1, -(-alive.sum() // shards))))
        if not self.compacts or self.engine.block != 0 or not alive.any() or 2 * count > len(alive):
            return
        if self.trials.kept:
            self._fetch(np.flatnonzero(self.occupied & ~alive))
        index = np.flatnonzero(alive)
        index = np.concatenate([index, np.full(count - len(index), index[0])])
        index = index[self._occupy(self.rows[alive], count)]
        self.lanes, self._running = self.engine.put(jax.tree.map(lambda leaf: leaf[index], self.lanes)), None

    def _fetch(self, lanes: np.ndarray) -> None:
        if len(lanes):
            states = jax.device_get(self.lanes.state)
            rows = zip(self.rows[lanes].tolist(), lanes.tolist())
            self.trials.states |= {row: jax.tree.map(lambda leaf, k=k: leaf[k], states) for row, k in rows}
