"""All that is known about trials: their status, how they ended, and their metrics at each point of evaluation.

Invariant: what is known about a trial that has ended no longer changes.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from mlp_jax import trial
from mlp_jax.trial import Cell, TrialState

if TYPE_CHECKING:
    import pandas

    from mlp_jax.training.task import Task

LAST = 2**31 - 1  # a step that no trial reaches
WHOLE = ("step", "examples")  # columns of a history that are whole numbers


class Status(enum.StrEnum):
    """How a trial ended.

    COMPLETE: it used its budget or reached the target. INFEASIBLE: its loss was not finite. INCOMPLETE: it was
    interrupted, lost the race, or was cut off. RUNNING: it has not ended.
    """

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"
    INFEASIBLE = "INFEASIBLE"


class Cutoff(NamedTuple):
    """When trials that have not reached the target end.

    They end at `steps`. With a `factor`, once any trial has reached the target, the others end at `factor` times the
    fewest steps that a trial took to the target, even if that is later than `steps`.
    """

    steps: float = math.inf
    factor: float | None = None

    def at(self, steps_to_target: np.ndarray) -> float:
        """Return the step at which trials end, given the steps to target of all trials, inf for those without."""
        least = self._least(steps_to_target)
        return self.factor * least if self.factor is not None and least < math.inf else self.steps

    def known(self, steps_to_target: np.ndarray) -> bool:
        """Tell whether that step is final, unless a trial meets the target even sooner."""
        return self.factor is None or self._least(steps_to_target) < math.inf

    def _least(self, steps_to_target: np.ndarray) -> float:
        return float(np.min(steps_to_target, initial=math.inf))


NEVER = Cutoff()


class Progress(NamedTuple):
    """The progress that is shown while trials train.

    `step`, `epoch`, `batch_loss` and `metrics` are those of the first trial on the devices; `best` is the best
    monitored score of any trial so far. Rates are per second, `left` is in seconds.
    """

    cell: Cell
    total_steps: int | None
    step: int
    epoch: float
    batch_loss: float
    metrics: dict[str, float]
    running: int
    done: int
    infeasible: int
    best: float
    trial_steps_per_second: float
    left: float

    @property
    def examples_per_second(self) -> float:
        """The number of examples per second of all running trials together."""
        return self.trial_steps_per_second * self.cell.batch_size


class Evaluation(NamedTuple):
    """An evaluation of a trial at one step, as a callback gets it.

    `metrics` has the columns of a history: examples, epoch, training_seconds, batch_loss and the metrics of the splits
    that are evaluated during training; at the trial's end it has the metrics of all splits.
    """

    cell: Cell
    trial: int
    seed: int
    hyper: dict[str, float]
    step: int
    metrics: dict[str, float]


class Trials:
    """Trials of one cell, trained or in training: trial i has `hyper[name][i]` and `seeds[i]`.

    `status` is a Status; `failed` is the step at which a loss was not finite (−1 for other trials); `steps` counts
    updates; `steps_to_target` is inf for a trial that did not reach the target. `metrics` are those at the end of each
    trial, or at its last evaluation before it failed. `points` has for each column of a history an array with a row for
    each trial and an entry for each point of evaluation (NaN if the trial did not get there). `states` holds, by
    number, the states of the trials to keep. `seconds` are those of the clock, `compilations` counts the training
    programs that were compiled, and `interrupted` is true if some trials did not end.

    >>> from mlp_jax import Config, train_many
    >>> config = Config(dataset="iris", hidden=(4,), steps=20)
    >>> trained = train_many(config, {"learning_rate": [0.01, 0.1, 1.0]}, seeds=[0, 0, 0])
    >>> trained.size, trained.status.tolist()
    (3, ['COMPLETE', 'COMPLETE', 'COMPLETE'])
    >>> trained.frame().columns.tolist()[:4]
    ['trial', 'learning_rate', 'momentum', 'schedule_steps']
    """

    def __init__(self, task: "Task", hyper: dict[str, np.ndarray], seeds: np.ndarray) -> None:
        count = len(seeds)
        self.task, self.hyper, self.seeds = task, hyper, seeds
        self.status = np.full(count, Status.RUNNING.value, dtype="<U10")
        self.started = np.zeros(count, bool)
        self.steps = np.zeros(count, np.int64)
        self.failed = np.full(count, -1, np.int64)
        self.steps_to_target = np.full(count, np.inf)
        self.next_point = np.zeros(count, np.int64)
        self.points: dict[str, np.ndarray] = {}
        self.make_room()
        self.metrics: dict[str, np.ndarray] = {}
        self.states: dict[int, TrialState] = {}
        self.seconds: dict[str, float] = {}
        self.compilations, self.interrupted = 0, False
        self.kept = False

    @property
    def config(self):
        """The configuration of the trials."""
        return self.task.config

    @property
    def cell(self) -> Cell:
        """The cell to which all trials belong."""
        return self.task.cell

    @property
    def size(self) -> int:
        """Number of trials."""
        return len(self.seeds)

    @property
    def params(self) -> Any:
        """The trained parameters, stacked, on the host; None unless they were asked for."""
        if not self.kept or len(self.states) < self.size:
            return None
        each = [trial.found(self.cell, self.states[row]) for row in range(self.size)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *each)

    def make_room(self, before: tuple[float, ...] = ()) -> None:
        """Empty the histories, and make room in them for the points `before` and all later points of the task."""
        self.task = dataclasses.replace(self.task, before=before) if before else self.task
        self.points = {name: np.full((self.size, self.task.room), np.nan) for name in self.task.columns}

    def note(self, rows: np.ndarray, number: int, found: Mapping[str, Any]) -> None:
        """Store the results of the trials `rows` at the point `number`, which is their last evaluation so far."""
        for name, values in found.items():
            self.points[name][rows, number] = values
        for name in self.task.metric_names:
            if name in found:
                self.metric(name)[rows] = found[name]

    def metric(self, name: str) -> np.ndarray:
        """Return each trial's value of a metric at its end, NaN if it is not known yet."""
        return self.metrics.setdefault(name, np.full(self.size, np.nan))

    def cut(self, end: float) -> None:
        """Remove what happened after the step `end`; a trial that went on is INCOMPLETE and has missed the target."""
        beyond = self.points["step"] > end
        over = (self.steps_to_target > end) & ((self.steps > end) | (self.status == Status.RUNNING))
        self.status[over], self.steps_to_target[over], self.failed[over] = Status.INCOMPLETE, np.inf, -1
        self.steps[over] = np.minimum(self.steps[over], int(min(end, LAST)))
        for column in self.points.values():
            column[beyond] = np.nan
        last = np.maximum(0, (~np.isnan(self.points["step"])).cumsum(axis=1).argmax(axis=1))
        for name in self.task.metric_names:
            self.metric(name)[over] = self.points[name][over, last[over]]

    def forget(self, rows: np.ndarray) -> None:
        """Remove all results of trials that must start again."""
        self.started[rows] = False
        self.status[rows], self.steps[rows], self.failed[rows], self.steps_to_target[rows] = (
            Status.RUNNING,
            0,
            -1,
            np.inf,
        )
        self.next_point[rows] = 0
        for column in (*self.points.values(), *self.metrics.values()):
            column[rows] = np.nan
        for row in rows.tolist():
            self.states.pop(row, None)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Columns with an entry for each evaluation of each trial: trial, step, examples, epoch, seconds, metrics."""
        trial, point = np.nonzero(~np.isnan(self.points["step"]))
        found = {name: values[trial, point] for name, values in self.points.items()}
        return {"trial": trial} | {k: v.astype(np.int64) if k in WHOLE else v for k, v in found.items()}

    def rows_of(self, trial: int) -> list[dict[str, Any]]:
        """Return the history of one trial, with a row for each evaluation."""
        (there,) = np.nonzero(~np.isnan(self.points["step"][trial]))
        kind = lambda name: int if name in WHOLE else float
        return [{k: kind(k)(v[trial, point]) for k, v in self.points.items()} for point in there]

    def evaluation(self, trial: int, point: int) -> Evaluation:
        """Return the evaluation of a trial at a point."""
        found = {name: float(values[trial, point]) for name, values in self.points.items()}
        step = int(found.pop("step"))
        if not step:
            del found["batch_loss"]  # there was no mini-batch yet
        return self._evaluation(trial, step, found)

    def end(self, trial: int) -> Evaluation:
        """Return the evaluation of a trial at its end."""
        known = {name: float(values[trial]) for name, values in self.metrics.items()}
        return self._evaluation(trial, int(self.steps[trial]), known)

    def _evaluation(self, trial: int, step: int, metrics: dict[str, float]) -> Evaluation:
        hyper = {name: float(column[trial]) for name, column in self.hyper.items()}
        return Evaluation(self.cell, trial, int(self.seeds[trial]), hyper, step, metrics)

    def known(self, trial: int) -> int:
        """Return the number of the first point after the last evaluation of a trial."""
        (there,) = np.nonzero(~np.isnan(self.points["step"][trial]))
        return int(there[-1]) + 1 if len(there) else 0

    def frame(self) -> "pandas.DataFrame":
        """Return a row for each trial: hyper-parameters, seed, status, steps, metrics."""
        import pandas

        columns = {"trial": np.arange(self.size), **self.hyper, "seed": self.seeds, "status": self.status}
        ends = {"steps": self.steps, "failed": self.failed, "steps_to_target": self.steps_to_target}
        return pandas.DataFrame(columns | ends | self.metrics)

    def history_frame(self) -> "pandas.DataFrame":
        """Return a row for each evaluation of each trial: hyper-parameters, seed, step, metrics."""
        import pandas

        return self.frame()[["trial", *self.hyper, "seed"]].merge(pandas.DataFrame(self.history), on="trial")
