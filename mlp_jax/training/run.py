"""Train one run, as a population of one, with a directory if asked for; and its result."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import model, tables, trial
from mlp_jax.checks import choose
from mlp_jax.data import Dataset, Split, sentence
from mlp_jax.machine.clocks import Clock
from mlp_jax.machine.files import finite
from mlp_jax.rows import normalize, place
from mlp_jax.training import classes, meshes, task
from mlp_jax.training.config import SPLITS, Config
from mlp_jax.training.directory import RunDirectory
from mlp_jax.training.loop import Loop, Options
from mlp_jax.training.trials import Evaluation, Progress, Status, Trials
from mlp_jax.trial import Cell, TrialState


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained network, and how its training went.

    `status` is COMPLETE (the budget was used, or `stop_at` reached), INCOMPLETE (the run was interrupted) or INFEASIBLE
    (the loss was not finite at step `failed`). `metrics` are those at the end: `train_loss`, `test_accuracy`, ….
    `history` has a row for each evaluation, with `noise_trace`, `noise_squared_norm` and their ratio `noise_scale` if
    the Config asks for them. `steps_to_target` is inf if `stop_at` was not reached, None if it was not set.

    >>> run = train(Config(dataset="iris", hidden=(16,), steps=50))
    >>> run.status, run.steps, [row["step"] for row in run.history][:4]
    ('COMPLETE', 50, [0, 2, 5, 8])
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
        return trial.found(self.cell, self.state)

    @property
    def steps(self) -> int:
        """Number of updates."""
        return int(self.state.step)

    def per_class(self, split: str = "test") -> dict:
        """Return the confusion matrix of a split (row: class, column: prediction), and precision and recall by class.

        Raises:
            ValueError: the targets are not classes, the split is unknown, or training failed.
        """
        choose("split", split, SPLITS)
        if not self.dataset.classes or self.status == Status.INFEASIBLE:
            why = "its targets are real numbers" if not self.dataset.classes else "its loss was not finite"
            raise ValueError(f"this run has no results per class, since {why}")
        counts = classes.confusion(self.cell.network, self.params, self.dataset, getattr(self.dataset, split))
        return classes.results(counts, self.dataset.classes)

    def summary(self) -> dict:
        """Return the result as one JSON object; None stands for a number that is not finite."""
        examples = self.steps * self.cell.batch_size
        told = self.dataset.classes and self.status != Status.INFEASIBLE
        per_class = {"per_class": {split: self.per_class(split) for split in ("validation", "test")}} if told else {}
        return finite(
            {
                "dataset": self.config.dataset,
                "data": sentence(self.dataset),
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
                **per_class,
                "seconds": self.seconds,
            }
        )

    def table(self) -> str:
        """Return the result as text: the data, the network, how training ended, each split's metrics, the clocks."""
        names = list(dict.fromkeys(name.split("_", 1)[1] for name in self.metrics))
        splits = list(dict.fromkeys(name.split("_", 1)[0] for name in self.metrics))
        ended = f"{self.status} after {self.steps:,} steps of {self.cell.batch_size} examples"
        if self.failed is not None:
            ended += f"; the loss was not finite at step {self.failed:,}: try a smaller learning rate"
        rows = [(split, *(f"{self.metrics[f'{split}_{name}']:.4f}" for name in names)) for split in splits]
        clocks = "  ".join(f"{part} {seconds:.2f}" for part, seconds in self.seconds.items())
        head = [sentence(self.dataset), "", model.summary(self.cell.network), "", ended, ""]
        return "\n".join([*head, tables.text(("", *names), rows), "", f"seconds: {clocks}"])


def train(
    config: Config,
    *,
    dataset: Dataset | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    mesh: tuple[int, int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    callback: Callable[[Evaluation], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> Run:
    """Train one network as `config` says.

    >>> run = train(Config(dataset="iris", hidden=(16,), epochs=50))
    >>> run.status, run.steps, run.metrics["test_accuracy"] > 0.8
    ('COMPLETE', 169, True)

    Args:
        dataset: the data set that `config` names, if it is loaded already.
        out: directory for the configuration, the environment, the metrics and the checkpoints; None saves nothing.
        resume: continue from the newest checkpoint in `out`; the parameters are those of an uninterrupted run. With a
            constant schedule the budget may be larger than before: parameters and final metrics are then, bit for bit,
            those of a run that had it from the start, and so is the history at steps where both runs are evaluated.
        mesh: (1, number of devices) shares the rows of each mini-batch between all devices, (1, 1) uses one device
            (default: chosen by `meshes.of_one_trial`).
        progress: a function that is called about four times a second.
        callback: a function that gets each evaluation once, soon after it was made, such as a logger (see
            `mlp_jax/training/README.md`).
        interrupted: a function that is called as often; once it returns true, the run is saved and returned INCOMPLETE.

    Raises:
        ValueError: the configuration does not fit the data, `out` holds another run, `resume` is given without `out`,
            or `mesh` does not fit one trial on these devices.
        OSError: `out` can't be written.
    """
    clock = clock or Clock()
    if resume and out is None:
        raise ValueError("resume needs the directory of the run to go on with; give --out too")
    with clock("io"):
        asked = task.resolve(config, dataset)
        over = meshes.of_one_trial(mesh, asked.cell.batch_size)
        hyper = {name: np.array([value]) for name, value in asked.hyper().items()}
        trials = Trials(asked, hyper, np.array([config.seed]))
        trials.kept = True
        directory = None if out is None else RunDirectory(Path(out), trials, resume)
    try:
        if directory is not None:
            directory.open(trials, clock)
        loop = Loop(trials.task, trials, over, Options(apart=True, ends=asked.splits), clock, directory)
        loop.run(progress, interrupted, callback)
    finally:
        if directory is not None:
            directory.close()
    result = _of(trials)
    if result.cell.network.output == "relu" and result.status != Status.INFEASIBLE and _is_dead(result):
        warnings.warn("every output is 0: no example passes the ReLU; try a smaller learning rate", stacklevel=2)
    return result


def _is_dead(run: Run) -> bool:
    """Tell whether the network's output is 0 for each of its first training examples."""
    some = run.dataset.train.x[:1000]
    data = place(run.cell.network, run.dataset, Split(some, run.dataset.train.y[: len(some)]))
    z = jax.vmap(lambda x: model.forward(run.cell.network, run.params, x))(normalize(data, data.x))
    return not bool((z > 0).any())


def _start(trials: Trials) -> TrialState:
    """Return the state before the first step, for a trial that was interrupted before it was put on a device."""
    hyper = {name: float(column[0]) for name, column in trials.hyper.items()}
    return trial.start(trials.cell, hyper, jnp.uint32(trials.seeds[0]))


def _of(trials: Trials) -> Run:
    """Return the Run of the only trial in `trials`."""
    config, status, failed = trials.config, str(trials.status[0]), int(trials.failed[0])
    names = [f"{split}_{name}" for split in trials.task.splits for name in trials.task.metrics_of_one]
    return Run(
        config=config,
        cell=trials.cell,
        hyper={name: float(column[0]) for name, column in trials.hyper.items()},
        dataset=trials.task.dataset,
        state=trials.states[0] if trials.states else _start(trials),
        status=status,
        failed=failed if status == Status.INFEASIBLE else None,
        metrics={name: float(trials.metric(name)[0]) for name in names},
        steps_to_target=None if config.stop_at is None else float(trials.steps_to_target[0]),
        history=trials.rows_of(0),
        seconds=trials.seconds,
    )
