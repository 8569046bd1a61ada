"""The cells that a study consists of, one for each optimizer and batch size, and the jobs that each is.

Invariant: every cell has the same number of seeds and of points (but one point where nothing is free, and of a grid as
many as fit), and trials of one seed start from the same weights and see the same order of the data, whatever the
optimizer.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.study import spaces
from mlp_jax.study.plan import MOST, Study, digest
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config

FRESH = MOST  # the winners' seeds begin here, away from those of the tuning


class StudyCell(NamedTuple):
    """All points and seeds of one optimizer at one batch size.

    `id` is a hash of everything that decides its results, the content of the data among it, but not where they lie.
    """

    id: str
    optimizer: str
    batch_size: int
    config: Config
    points: dict[str, np.ndarray]
    seeds: tuple[int, ...]


class Job(NamedTuple):
    """What must be made of a cell: its tuning, or the runs alone of the `point` that won there.

    With `noise_scale` the first of these runs measures it.
    """

    cell: StudyCell
    point: int | None = None
    noise_scale: bool = False

    @property
    def phase(self) -> str:
        """Where the store keeps the part that this job makes."""
        return "tuning" if self.point is None else "winners"

    @property
    def name(self) -> str:
        """What the store calls the part that this job makes."""
        return self.cell.id if self.point is None else f"{self.cell.id}-{self.point}{'-noise' * self.noise_scale}"


def of(study: Study, dataset: Dataset) -> Iterator[StudyCell]:
    """Yield the cells of a study, large batches, the quickest, first: a whole picture shows early.

    Raises:
        ValueError: a batch size is larger than the number of training examples.
    """
    n, data = len(dataset.train.y), dataset.fingerprint
    max_steps = {n if size == "full" else size: study.max_steps_at(size) for size in study.batch_sizes}
    for batch_size in sorted(max_steps, reverse=True):
        for optimizer in study.optimizers:
            config = dataclasses.replace(
                study.workload,
                optimizer=optimizer,
                batch_size=batch_size,
                schedule="constant",
                steps=max_steps[batch_size],
                epochs=study.max_epochs,
                stop_at=study.target,
                evaluations=study.evaluations,
                spacing="log",
            )
            configs.make_cell(config, dataset)
            yield _cell(study, config, data)


def _cell(study: Study, config: Config, data: str) -> StudyCell:
    points = spaces.points(study.spaces[config.optimizer], study.points, study.method, study.search_seed)
    seeds = tuple(range(study.seeds))
    kept = {k: v for k, v in configs.to_dict(config).items() if k not in ("data_dir", "noise_scale")}
    asked = {"config": kept, "data": data, "points": {k: v.tolist() for k, v in points.items()}, "seeds": seeds}
    asked |= {"racing": study.racing, "protocol": study.protocol}
    return StudyCell(digest(asked), config.optimizer, config.batch_size, config, points, seeds)  # pyright: ignore[reportArgumentType]
