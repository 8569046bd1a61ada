"""A Config resolved on its data: the cell, the budget in steps, the points of evaluation, the target.

Invariant: a task depends only on the Config, the Dataset and, if training goes on, on the earlier points of evaluation.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlp_jax import losses, model, sampling, stopping, trial
from mlp_jax.analysis import crossing
from mlp_jax.data import Dataset
from mlp_jax.model import Network
from mlp_jax.training import budget
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.trial import Cell

OUTPUT_FOR = {"multiclass": "softmax", "binary": "sigmoid", "regression": "identity"}
DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class Task:
    """A Config, resolved on its data; `total` is the budget in steps, None if only seconds limit the training.

    `before` holds the points at which a run that goes on was evaluated; it may have had a smaller budget then.
    """

    config: Config
    dataset: Dataset
    cell: Cell
    total: int | None
    before: tuple[float, ...] = ()

    @property
    def monitor(self) -> str:
        """The split that decides when a trial ends and which trial is best."""
        return configs.monitored(self.dataset)

    @property
    def score(self) -> str:
        """The metric that the target is about."""
        return configs.score(self.config, self.dataset)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have examples."""
        return tuple(name for name in configs.SPLITS if len(getattr(self.dataset, name).y))

    @property
    def watched(self) -> tuple[str, ...]:
        """The splits that are evaluated during training, the monitored one first."""
        asked = [name for name in self.splits if name in self.config.evaluate_on and name != self.monitor]
        return (self.monitor, *asked)

    @cached_property
    def points(self) -> np.ndarray:
        """The points of evaluation, ascending: in steps, or in seconds if only seconds limit the training."""
        points = budget.evaluation_points(self.config, self.total)
        return np.append(self.before, points[points > self.before[-1]]) if self.before else points

    @property
    def room(self) -> int:
        """The most evaluations of a trial: one more than there are points, for a trial that ends between two."""
        return len(self.points) + 1

    @cached_property
    def metrics_of_one(self) -> tuple[str, ...]:
        """The metrics of one split."""
        return tuple(losses.metrics(losses.nothing(self.cell.loss)))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics of the watched splits."""
        shown = [split for split in configs.SPLITS if split in self.watched]
        return tuple(f"{split}_{name}" for split in shown for name in self.metrics_of_one)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a history."""
        noise = trial.NOISE if self.config.noise_scale else ()
        return ("step", "examples", "epoch", "training_seconds", "batch_loss", *self.metric_names, *noise)

    @property
    def by_loss(self) -> bool:
        """Whether the target is a loss."""
        return self.config.stop_metric == "loss"

    @cached_property
    def windows(self) -> np.ndarray:
        """For each point, the number of the first point in its window, over which the target must be met."""
        return crossing.windows(self.points.astype(float), self.config.stop_smoothing)

    @cached_property
    def limits(self) -> np.ndarray:
        """The limits of the monitored sums for `stop_at`, over one evaluation, two, and so on; see `stopping.limit`."""
        count = len(getattr(self.dataset, self.monitor).y)
        most = int(np.max(np.arange(len(self.windows)) - self.windows, initial=0)) + 1
        how = (self.config.stop_at, self.dataset.target_scale, self.by_loss)
        return np.array([stopping.limit(self.cell.loss, count * several, *how) for several in range(1, most + 1)])

    @property
    def less_is_better(self) -> bool:
        """Whether the score is an error."""
        return configs.less_is_better(self.score)

    def hyper(self, **changes: float) -> dict[str, float]:
        """Return all hyper-parameters of a trial, with `changes` in place of the Config's."""
        return configs.make_hyper(self.config, self.cell, self.total, **changes)


def resolve(config: Config, dataset: Dataset | None = None) -> Task:
    """Return the Task of `config` on `dataset`, or on the data that it names.

    Raises:
        ValueError: the configuration does not fit the data.
    """
    dataset = dataset or configs.load_data(config)
    cell = make_cell(config, dataset)
    total = budget.total_steps(config, len(dataset.train.y), cell.batch_size, dataset.task)
    if total is None and config.stop_smoothing != 1:
        raise ValueError(
            f"stop_smoothing {config.stop_smoothing!r} needs evaluations at known steps; "
            "give a budget in steps or epochs"
        )
    return Task(config=config, dataset=dataset, cell=cell, total=total)


def make_cell(config: Config, dataset: Dataset) -> Cell:
    """Return the cell of this run on this data.

    Raises:
        ValueError: the output does not fit the task, or the batch size does not fit the data.
    """
    n = len(dataset.train.y)
    output = OUTPUT_FOR[dataset.task] if config.output == "auto" else config.output
    sizes = {"full": n, "auto": min(DEFAULT_BATCH_SIZE, n)}
    batch_size = sizes[config.batch_size] if isinstance(config.batch_size, str) else config.batch_size
    sampling.check_size(batch_size, n)
    if config.stop_at is not None and configs.monitored(dataset) == "train":
        raise ValueError("stop_at needs validation examples; give validation more than 0")
    if config.stop_metric not in ("auto", "loss", usual := configs.usual_metric(dataset)):
        raise ValueError(
            f"stop_metric {config.stop_metric!r} does not fit {dataset.name!r}, whose task is {dataset.task}; "
            f"use {usual} or loss"
        )
    network = Network(
        inputs=dataset.inputs,
        hidden=config.hidden,
        outputs=_outputs(output, dataset),
        activation=config.activation,
        output=output,
        bias=config.bias,
        init=initializer(config, dataset.levels > 0),
        init_std=config.init_std,
        output_start=float(np.maximum(dataset.train.y, 0).mean()) if output == "relu" else 0.0,
    )
    return Cell(
        network=network,
        loss=losses.FITTING[output][0] if config.loss == "auto" else config.loss,
        optimizer=config.optimizer,
        schedule=config.resolved_schedule,
        batch_size=batch_size,
        sampling=config.sampling,
    )


def initializer(config: Config, pixels: bool) -> str:
    """Return how the weights start, where features are pixels or where they are not."""
    return config.init if config.init != "auto" else "he" if pixels else "glorot"


def _outputs(output: str, dataset: Dataset) -> int:
    fits = {"softmax": ("multiclass", "binary"), "sigmoid": ("binary",), "tanh": ("binary",)}
    tasks = fits.get(output, ("regression",))
    if dataset.task not in tasks:
        allowed = ", ".join(name for name in model.OUTPUTS if dataset.task in fits.get(name, ("regression",)))
        what = f"{len(dataset.classes)} classes" if dataset.classes else "real targets"
        raise ValueError(f"output {output!r} does not fit {dataset.name!r}, which has {what}; use {allowed}")
    if output == "relu" and (lowest := float(dataset.train.y.min())) < 0:
        lowest = lowest * dataset.target_scale + dataset.target_center
        warnings.warn(f"output relu can't reach negative targets, and {dataset.name!r} has {lowest:g}", stacklevel=2)
    return len(dataset.classes) if output == "softmax" else 1
