"""When the host looks at trials that advance in step, and which of their points are evaluated.

Invariant: with an evaluation share of 1 every point is evaluated, whatever the clock says; the times of looks change no
number.
"""

import math
from collections.abc import Set

import numpy as np

from mlp_jax.machine.clocks import Clock, Pace
from mlp_jax.training.task import Task
from mlp_jax.training.trials import LAST

GLANCE = 1.0  # seconds to the next look at the clock and at an interrupt
GLANCE_ALONE = 0.25
GROWTH = 1.25  # a look goes at most so much further, as long as it is unknown where trials end


class Timetable:
    """Where the trials of a task are, and what comes next.

    They are at `step`, and the next of their `points` has the number `number`. With `apart` a look has steps or an
    evaluation, never both. `seconds` is how long they were trained before.
    """

    def __init__(
        self, task: Task, clock: Clock, apart: bool, share: float, rungs: Set[int], at: tuple[int, int], seconds: float
    ) -> None:
        self.task, self.clock, self.share, self.rungs = task, clock, share, rungs
        self.apart = apart or task.config.noise_scale
        self.pace = Pace(GLANCE_ALONE if apart or task.total is None else GLANCE)
        self.step, self.number = at
        self.points = np.full(task.room, LAST, np.int64)  # points in seconds are set when their time has come
        if task.total is not None:
            self.points[: len(task.points)] = task.points
        self.begin_seconds = clock["training"] - seconds
        self.evaluation_seconds = 0.0  # for one evaluation of one trial

    @property
    def spent(self) -> float:
        """The seconds of training since these trials began."""
        return self.clock["training"] - self.begin_seconds

    @property
    def time_is_up(self) -> bool:
        """Whether the budget in seconds is used, or the largest step that a program can count is reached."""
        seconds = self.task.config.seconds
        return seconds is not None and (self.spent >= seconds or self.step >= LAST - 1)

    @property
    def at_the_end(self) -> bool:
        """Whether the budget in steps is used, and every point evaluated."""
        return self.task.total is not None and self.step >= self.task.total and self.number >= len(self.task.points)

    def due_here(self) -> bool:
        """Return whether the next point must be evaluated before another step is taken."""
        if self.task.total is None:
            times = self.task.points
            if self.number < len(times) and self.spent >= times[self.number] and self.points[self.number] == LAST:
                self.points[self.number] = self.step
        return bool(self.points[self.number] <= self.step)

    def near(self) -> float:
        """Return a step that is not far away: the next point, or a quarter beyond the present step."""
        return float(max(GROWTH * self.step, self.points[self.number]))

    def next(self, stop: float) -> tuple[int, int]:
        """Return the step of the next look, and the number of the first point that is not evaluated by then."""
        if self.due_here():
            return self.step, self.number + 1
        until = self._until(stop)
        return until, self.number if self.apart else int(np.searchsorted(self.points, until, side="right"))

    def _until(self, stop: float) -> int:
        """Return the step of the next look: after a GLANCE, but not beyond the next point if it is evaluated apart."""
        if self.task.total is None:
            upcoming = self.task.points[self.number] if self.number < len(self.task.points) else math.inf
            room = min((upcoming - self.spent) * self.pace.rate, LAST - 1 - self.step)
        else:
            room = min(self.points[self.number], stop) - self.step if self.apart else stop - self.step
        if self.task.config.seconds is not None:
            room = min(room, (self.task.config.seconds - self.spent) * self.pace.rate)
        return self.step + self.pace.of(float(room))

    def wanted(self, due: int, trials: int) -> np.ndarray:
        """Tell which points to evaluate: all but those that would exceed the evaluations' share of the time."""
        wanted = np.ones(self.task.room, bool)
        if self.share >= 1 or self.apart:
            return wanted
        each, training, spent = self.evaluation_seconds * trials, self.clock["training"], self.clock["evaluation"]
        for number in range(self.number, due):
            step = int(self.points[number])
            at = training + (step - self.step) / max(self.pace.rate, 1e-9)
            must = step in self.rungs or step == self.task.total
            wanted[number] = must or spent + each <= self.share * (spent + each + at)
            spent += each * wanted[number]
        return wanted

    def took(self, steps: int, evaluations: int, trials: int, seconds: float) -> None:
        """Divide the time of a look between its steps and its evaluations of each trial, and update the pace."""
        if steps == 0:
            self.evaluation_seconds = seconds / max(1, trials)
            return
        evaluating = min(0.9 * seconds, self.evaluation_seconds * trials * evaluations)
        self.clock.move("training", "evaluation", evaluating)
        self.pace.took(steps, max(seconds - evaluating, 1e-9))

    def place(self, step: int, seconds: float) -> dict[str, float]:
        """Return a history's columns for a trial's position, after so many seconds on the clock."""
        examples = step * self.task.cell.batch_size
        epoch = examples / len(self.task.dataset.train.y)
        return {"step": step, "examples": examples, "epoch": epoch, "training_seconds": seconds - self.begin_seconds}
