"""A run in progress: steps to the next look at the clock, evaluations on a schedule, checkpoints now and then.

Invariant: what is done between two steps (evaluating, saving, showing progress, being interrupted) changes no number
that the steps compute.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mlp_jax import losses, trial
from mlp_jax.data import Dataset
from mlp_jax.machine import devices, environment, programs
from mlp_jax.machine.clocks import Clock, Pace
from mlp_jax.rows import place
from mlp_jax.training import config as configs
from mlp_jax.training import meshes, prediction
from mlp_jax.training.config import Config
from mlp_jax.training.directory import Records
from mlp_jax.trial import Cell

if TYPE_CHECKING:
    from mlp_jax.machine.checkpoint import Checkpoints

GLANCE = 0.25  # seconds of training between two looks at the clock, the budget and an interrupt
CHECKPOINT_SECONDS = 30.0
_start = jax.jit(trial.start, static_argnums=0)


class Progress(NamedTuple):
    """What a live line shows; `metrics` are those of the last evaluation, `left` is in seconds (None: unknown)."""

    step: int
    total_steps: int | None
    epoch: float
    batch_loss: float
    metrics: dict[str, float]
    examples_per_second: float
    left: float | None


class Task(NamedTuple):
    """What a Config means on its data: the cell, all hyper-parameters, the budget in steps (None: seconds bind)."""

    config: Config
    dataset: Dataset
    cell: Cell
    hyper: dict[str, float]
    total: int | None


def resolve(config: Config, dataset: Dataset) -> Task:
    """Return what `config` means on `dataset`.

    Raises:
        ValueError: it does not fit.
    """
    cell = configs.make_cell(config, dataset)
    total = configs.total_steps(config, len(dataset.train.y), cell.batch_size)
    return Task(config, dataset, cell, configs.make_hyper(config, cell, total), total)


class Loop:
    """A run in progress: its programs, its state, its history, and when to evaluate next."""

    def __init__(self, task: Task, clock: Clock, records: Records | None, mesh: Mesh | None) -> None:
        self.config, self.dataset, self.cell, self.hyper, self.total = config, dataset, cell, hyper, total = task
        self.clock, self.records = clock, records
        self.monitor = configs.monitored(dataset)
        with clock("startup"):
            held, working = trial.needed_bytes(cell, hyper)
            devices.check_memory(2 * held + working, jax.local_devices()[0])
        with clock("io"):
            splits = {name: getattr(dataset, name) for name in configs.SPLITS}
            self.data = {name: place(cell.network, dataset, split) for name, split in splits.items() if len(split.y)}
            self.traced = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in hyper.items()}
            self.seed = jnp.uint32(config.seed)
        self.state = programs.shared(_start, cell.starting)("training", clock, self.traced, self.seed)
        advance, evaluate = (trial.advance, trial.evaluate) if mesh is None else meshes.shared(mesh)
        self.advance = programs.shared(advance, cell)
        self.sums = programs.shared(evaluate, cell.evaluating)
        self.noise = programs.shared(trial.noise, cell.evaluating)
        if mesh is not None:
            with clock("io"):
                on_one = (self.data, self.traced, self.seed, self.state)
                self.data, self.traced, self.seed, self.state = meshes.put_everywhere(mesh, on_one)
        self.history: list[dict] = []
        self.checkpoints = None if records is None else self._restore(records)
        self.step = int(self.state.step)
        self.points = configs.evaluation_points(config, total)
        self.pace = Pace(GLANCE)

    def run(self, progress: Callable[[Progress], None], interrupted: Callable[[], bool]) -> str:
        """Train to the end of the budget, the target, a failure or an interrupt, and return the status."""
        status = None
        while status is None:
            if not self.history or self.position >= self.next_point:
                self._evaluate()
            status = self._status(interrupted())
            if status is None:
                self._train()
                self._save_when_due()
                progress(self._progress())
        if status != "INCOMPLETE" and self.history[-1]["step"] != self.step:
            self._evaluate()
        self.metrics = {name: value for split in self.data for name, value in self._metrics(split).items()}
        if self.checkpoints is not None:
            self._save()
        return status

    def close(self) -> None:
        """Wait for what is still being written."""
        if self.checkpoints is not None:
            self.checkpoints.close()

    @property
    def failed(self) -> int:
        """The step whose loss was not finite; the last one where it was only the evaluation's."""
        return int(self.state.failed) if int(self.state.failed) >= 0 else self.step

    @property
    def target_met(self) -> bool:
        """Whether the last evaluation meets `stop_at`."""
        return configs.target_met(self.config, self.dataset, self.history[-1])

    @property
    def position(self) -> float:
        """How far the run is, in the unit of `points`."""
        return self.clock["training"] if self.total is None else self.step

    @property
    def next_point(self) -> float:
        last = self.history[-1]["training_seconds" if self.total is None else "step"]
        return next((point for point in self.points if point > last), np.inf)

    def _restore(self, records: Records) -> "Checkpoints":
        with self.clock("startup"):
            from mlp_jax.machine.checkpoint import Checkpoints
        with self.clock("io"):
            records.write_json("environment.json", environment.describe())
            records.write_json("model.json", prediction.remember(self.cell, self.hyper, self.dataset))
            checkpoints = Checkpoints(records.checkpoints)
            self.saved_at = time.perf_counter()
            if checkpoints.latest is not None:
                self.state, note = checkpoints.restore(self.state)
                self.history = note["history"]
                self.clock.continue_from(note["seconds"])
            return checkpoints

    def _train(self) -> None:
        """Advance to the next look at the clock, or to the next point if that comes first."""
        if self.total is None:
            room = (self.next_point - self.position) * self.pace.rate
        else:
            room = min(self.next_point, self.total) - self.step
        steps, before = self.pace.of(room), self.clock["training"]
        fixed = (self.traced, self.seed, self.data["train"])
        self.state = self.advance("training", self.clock, *fixed, self.state, np.int32(steps))
        self.step = int(self.state.step)
        self.pace.took(steps, self.clock["training"] - before)

    def _metrics(self, split: str) -> dict[str, float]:
        sums = jax.device_get(self.sums("evaluation", self.clock, self.state.params, self.data[split]))
        return {f"{split}_{name}": value for name, value in losses.metrics(sums, self.dataset.target_scale).items()}

    def _noise(self) -> dict[str, float]:
        given = {name: self.hyper.get(name, 0.0) for name in trial.REGULARIZERS}
        regularizers = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in given.items()}
        found = self.noise("evaluation", self.clock, regularizers, self.state.params, self.data["train"])
        return {name: float(found[name]) for name in trial.NOISE}

    def _evaluate(self) -> None:
        wanted = [split for split in self.data if split in (*self.config.evaluate_on, self.monitor)]
        metrics = {name: value for split in wanted for name, value in self._metrics(split).items()}
        self.history.append(self._row() | metrics | (self._noise() if self.config.noise_scale else {}))
        if self.records is not None:
            with self.clock("io"):
                self.records.write_metrics(self.history)

    def _row(self) -> dict[str, int | float]:
        examples = self.step * self.cell.batch_size
        return {
            "step": self.step,
            "examples": examples,
            "epoch": examples / len(self.dataset.train.y),
            "training_seconds": self.clock["training"],
            "batch_loss": float(self.state.loss) if self.step else float("nan"),
        }

    def _status(self, interrupted: bool) -> str | None:
        if int(self.state.failed) >= 0 or not math.isfinite(self.history[-1][f"{self.monitor}_loss"]):
            return "INFEASIBLE"
        if self.target_met or self._budget_used():
            return "COMPLETE"
        return "INCOMPLETE" if interrupted else None

    def _budget_used(self) -> bool:
        out_of_time = self.config.seconds is not None and self.clock["training"] >= self.config.seconds
        return out_of_time or (self.total is not None and self.step >= self.total)

    def _save_when_due(self) -> None:
        if self.checkpoints is not None and time.perf_counter() - self.saved_at >= CHECKPOINT_SECONDS:
            self._save()

    def _save(self) -> None:
        assert self.checkpoints is not None
        with self.clock("io"):
            self.checkpoints.save(self.step, self.state, {"history": self.history, "seconds": self.clock.seconds})
        self.saved_at = time.perf_counter()

    def _progress(self) -> Progress:
        seconds = [] if self.config.seconds is None else [self.config.seconds - self.clock["training"]]
        steps = [] if self.total is None else [(self.total - self.step) / self.pace.rate]
        row = self._row()
        return Progress(
            step=self.step,
            total_steps=self.total,
            epoch=row["epoch"],
            batch_loss=row["batch_loss"],
            metrics=self.history[-1],
            examples_per_second=self.pace.rate * self.cell.batch_size,
            left=max(0.0, min(seconds + steps)),
        )
