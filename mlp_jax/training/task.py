"""What a Config means on its data: the cell, the budget in steps, where to evaluate, what the target is.

Invariant: a task is a function of the Config and the Dataset alone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlp_jax import losses, trial
from mlp_jax.analysis import crossing
from mlp_jax.data import Dataset
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.trial import Cell


@dataclass(frozen=True, kw_only=True)
class Task:
    """A Config, resolved on its data; `total` is the budget in steps, None where seconds alone bind."""

    config: Config
    dataset: Dataset
    cell: Cell
    total: int | None

    @property
    def monitor(self) -> str:
        """The split that decides when a trial ends and which is best."""
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
        """The splits that are evaluated on the way, the monitored one first."""
        asked = [name for name in self.splits if name in self.config.evaluate_on and name != self.monitor]
        return (self.monitor, *asked)

    @cached_property
    def points(self) -> np.ndarray:
        """Where to evaluate, ascending: in steps, or in seconds of training where seconds alone bind."""
        return configs.evaluation_points(self.config, self.total)

    @property
    def room(self) -> int:
        """How many evaluations a trial can have: one more than there are points, where it ends between two."""
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
        """For each point the number of the first one that is taken together with it to meet the target."""
        return crossing.windows(self.points.astype(float), self.config.stop_smoothing)

    @cached_property
    def limits(self) -> np.ndarray:
        """The monitored sums that just meet `stop_at`, see `losses.limit`, over one evaluation, two, and so on."""
        count = len(getattr(self.dataset, self.monitor).y)
        most = int(np.max(np.arange(len(self.windows)) - self.windows, initial=0)) + 1
        how = (self.config.stop_at, self.dataset.target_scale, self.by_loss)
        return np.array([losses.limit(self.cell.loss, count * several, *how) for several in range(1, most + 1)])

    @property
    def less_is_better(self) -> bool:
        """Whether the score is an error."""
        return configs.less_is_better(self.score)

    def hyper(self, **changes: float) -> dict[str, float]:
        """Return all hyper-parameters of a trial, those in `changes` in the place of the Config's."""
        return configs.make_hyper(self.config, self.cell, self.total, **changes)


def resolve(config: Config, dataset: Dataset | None = None) -> Task:
    """Return what `config` means on `dataset`, or on the data that it names.

    Raises:
        ValueError: it does not fit.
    """
    dataset = dataset or configs.load_data(config)
    cell = configs.make_cell(config, dataset)
    total = configs.total_steps(config, len(dataset.train.y), cell.batch_size, dataset.task)
    if total is None and config.stop_smoothing != 1:
        raise ValueError(
            f"stop_smoothing {config.stop_smoothing!r} needs evaluations at known steps; "
            "give a budget in steps or epochs"
        )
    return Task(config=config, dataset=dataset, cell=cell, total=total)
