"""One run: train a trial of a Config to its budget, evaluate it on a schedule, keep it on disk.

Invariant: what is done between two steps (evaluating, saving, showing progress, being interrupted) changes no number
that the steps compute.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mlp_jax import config as configs
from mlp_jax import devices, layout, losses, model, prediction, programs, trial
from mlp_jax.clocks import Clock, Pace
from mlp_jax.config import Config
from mlp_jax.data import Dataset, Split
from mlp_jax.records import Records, finite
from mlp_jax.trial import Cell, Data, TrialState

if TYPE_CHECKING:
    from mlp_jax.checkpoint import Checkpoints

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


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained network and how it came about.

    `status` is COMPLETE (budget used or `stop_at` reached), INCOMPLETE (interrupted) or INFEASIBLE (a loss was not
    finite, at step `failed`). `history` has a row per evaluation, with `noise_trace`, `noise_squared_norm` and their
    ratio `noise_scale` where the Config asks for it; `metrics` are those of the end, as `train_loss`, `test_accuracy`,
    …; `steps_to_target` is inf when `stop_at` was never met and None when none was set.
    """

    config: Config
    cell: Cell
    hyper: dict[str, float]
    dataset: Dataset
    state: TrialState
    status: str
    failed: int | None
    metrics: dict[str, float]
    steps_to_target: float | None
    history: list[dict] = field(repr=False)
    seconds: dict[str, float]

    @property
    def params(self):
        """The trained parameters."""
        return self.state.params

    @property
    def steps(self) -> int:
        """Number of updates."""
        return int(self.state.step)

    def summary(self) -> dict:
        """Return the result as one JSON object; None stands for a number that is not finite."""
        examples = self.steps * self.cell.batch_size
        return finite(
            {
                "dataset": self.config.dataset,
                "optimizer": self.cell.optimizer,
                "hyper": self.hyper,
                "batch_size": self.cell.batch_size,
                "parameters": model.parameter_count(self.cell.network),
                "status": self.status,
                "failed": self.failed,
                "steps": self.steps,
                "epochs": examples / len(self.dataset.train.y),
                "examples": examples,
                "steps_to_target": self.steps_to_target,
                **self.metrics,
                "seconds": self.seconds,
            }
        )

    def table(self) -> str:
        """Return the result as text: the network, how training ended, the metrics of each split, the clocks."""
        names = list(dict.fromkeys(name.split("_", 1)[1] for name in self.metrics))
        splits = list(dict.fromkeys(name.split("_", 1)[0] for name in self.metrics))
        ended = f"{self.status} after {self.steps:,} steps of {self.cell.batch_size} examples"
        if self.failed is not None:
            ended += f"; the loss was not finite at step {self.failed:,}: try a smaller learning rate"
        rows = [f"{'':<12}" + "".join(f"{name:>12}" for name in names)]
        rows += [f"{split:<12}" + "".join(f"{self.metrics[f'{split}_{n}']:>12.4f}" for n in names) for split in splits]
        clocks = "  ".join(f"{part} {seconds:.2f}" for part, seconds in self.seconds.items())
        return "\n".join([model.summary(self.cell.network), "", ended, "", *rows, "", f"seconds: {clocks}"])


def train(
    config: Config,
    *,
    dataset: Dataset | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    mesh: tuple[int, int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> Run:
    """Train one trial as `config` says and return the Run.

    Args:
        dataset: what `config` names, when it is loaded already.
        out: directory for configuration, environment, metrics and checkpoints; None keeps nothing.
        resume: go on from the newest checkpoint in `out`, to the very parameters of an uninterrupted run.
        mesh: (1, number of devices) shares the rows of each mini-batch between all devices, (1, 1) uses one; by
            default as `layout.of_one_trial` says.
        progress: called about four times a second.
        interrupted: asked as often; once it is true the run is saved and returned as INCOMPLETE.

    Raises:
        ValueError: the configuration does not fit the data, `out` holds another run, `resume` comes without it, or
            `mesh` is not for one trial on these devices.
        OSError: `out` can't be written.
    """
    clock = clock or Clock()
    if resume and out is None:
        raise ValueError("resume needs the directory of the run to go on with; give --out too")
    with clock("io"):
        dataset = dataset or configs.load_data(config)
        cell = configs.make_cell(config, dataset)
        total = configs.total_steps(config, len(dataset.train.y), cell.batch_size)
        hyper = configs.make_hyper(config, cell, total)
        over = layout.of_one_trial(mesh, cell.batch_size)
        records = None if out is None else Records(Path(out), config, resume)
    loop = _Loop(config, dataset, cell, hyper, total, clock, records, over)
    try:
        return loop.run(progress or (lambda _: None), interrupted)
    finally:
        loop.close()


def place(cell: Cell, dataset: Dataset, split: Split) -> Data:
    """Put one split on the device, raw, with labels as the loss wants them."""
    dtype = jnp.result_type(float)
    y = jnp.asarray(split.y, dtype if dataset.task == "regression" else jnp.int32)
    center, scale = jnp.asarray(dataset.center, dtype), jnp.asarray(dataset.scale, dtype)
    return Data(jnp.asarray(split.x), losses.labels(cell.network, y), center, scale)


def evaluation_points(config: Config, total: int | None) -> np.ndarray:
    """Return where to evaluate, ascending from 0 to the end: in steps, or in seconds when `total` steps is None.

    `log` spacing covers three decades, or starts at step 1 when the budget has fewer.
    """
    if config.spacing == "linear":
        fractions = np.linspace(0, 1, config.evaluations + 1)
    else:
        smallest = 1e-3 if total is None else max(1e-3, 1 / total)
        fractions = np.append(0.0, np.geomspace(smallest, 1, config.evaluations))
    return np.unique(np.rint(fractions * total)) if total is not None else fractions * (config.seconds or 0.0)


class _Loop:
    """A run in progress: its programs, its state, its history, and when to evaluate next."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        cell: Cell,
        hyper: dict[str, float],
        total: int | None,
        clock: Clock,
        records: Records | None,
        mesh: Mesh | None,
    ) -> None:
        self.config, self.dataset, self.cell, self.hyper = config, dataset, cell, hyper
        self.total, self.clock, self.records = total, clock, records
        self.monitor = configs.monitored(dataset)
        with clock("startup"):
            held, working = trial.needed_bytes(cell, hyper)
            devices.check_memory(2 * held + working, jax.local_devices()[0])
        with clock("io"):
            splits = {name: getattr(dataset, name) for name in configs.SPLITS}
            self.data = {name: place(cell, dataset, split) for name, split in splits.items() if len(split.y)}
            self.traced = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in hyper.items()}
            self.seed = jnp.uint32(config.seed)
        self.state = programs.shared(_start, cell.starting)("training", clock, self.traced, self.seed)
        advance, evaluate = (trial.advance, trial.evaluate) if mesh is None else layout.shared(mesh)
        self.advance = programs.shared(advance, cell)
        self.sums = programs.shared(evaluate, cell.evaluating)
        self.noise = programs.shared(trial.noise, cell.evaluating)
        if mesh is not None:
            with clock("io"):
                on_one = (self.data, self.traced, self.seed, self.state)
                self.data, self.traced, self.seed, self.state = layout.put_everywhere(mesh, on_one)
        self.history: list[dict] = []
        self.checkpoints = None if records is None else self._restore(records)
        self.step = int(self.state.step)
        self.points = evaluation_points(config, total)
        self.pace = Pace(GLANCE)

    def run(self, progress: Callable[[Progress], None], interrupted: Callable[[], bool]) -> Run:
        status = None
        while status is None:
            if not self.history or self.position >= self.next_point:
                self._evaluate()
            status = self._status(interrupted())
            if status is None:
                self._train()
                self._save_when_due()
                progress(self._progress())
        return self._finish(status)

    def close(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.close()

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
            from mlp_jax.checkpoint import Checkpoints
        with self.clock("io"):
            records.write_json("environment.json", devices.describe())
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
        return losses.metrics(sums, self.dataset.target_scale)

    def _noise(self) -> dict[str, float]:
        given = {name: self.hyper.get(name, 0.0) for name in trial.REGULARIZERS}
        regularizers = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in given.items()}
        found = self.noise("evaluation", self.clock, regularizers, self.state.params, self.data["train"])
        return {name: float(found[name]) for name in trial.NOISE}

    def _evaluate(self) -> None:
        wanted = [split for split in configs.SPLITS if split in (*self.config.evaluate_on, self.monitor)]
        metrics = {
            f"{split}_{name}": value
            for split in wanted
            if split in self.data
            for name, value in self._metrics(split).items()
        }
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
        if self._target_met() or self._budget_used():
            return "COMPLETE"
        return "INCOMPLETE" if interrupted else None

    def _target_met(self) -> bool:
        return configs.target_met(self.config, self.dataset, self.history[-1])

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

    def _finish(self, status: str) -> Run:
        if status != "INCOMPLETE" and self.history[-1]["step"] != self.step:
            self._evaluate()
        metrics = {f"{split}_{name}": value for split in self.data for name, value in self._metrics(split).items()}
        if self.checkpoints is not None:
            self._save()
        failed = int(self.state.failed) if int(self.state.failed) >= 0 else self.step
        reached = float(self.step) if self._target_met() else math.inf
        return Run(
            config=self.config,
            cell=self.cell,
            hyper=self.hyper,
            dataset=self.dataset,
            state=self.state,
            status=status,
            failed=failed if status == "INFEASIBLE" else None,
            metrics=metrics,
            steps_to_target=None if self.config.stop_at is None else reached,
            history=self.history,
            seconds=self.clock.seconds,
        )
