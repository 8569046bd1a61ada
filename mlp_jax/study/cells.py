"""The cells of a study, one for each optimizer and batch size.

Invariant: a cell depends on the study, its optimizer and batch size, and the data's content; it does not depend on the
study's other cells or its number of rounds.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

from mlp_jax import optimizers
from mlp_jax.analysis import response
from mlp_jax.data import Dataset
from mlp_jax.study.plan import ACCURACY, BATCH_SIZES, CONSTANT, ROUNDS, Study, digest, identity
from mlp_jax.study.spaces import Space
from mlp_jax.training import config as configs
from mlp_jax.training import task
from mlp_jax.training.config import Config

SPARE = int(response.STOP)  # the most steps of a trial, as a multiple of those in which another one met the target


class Facts(NamedTuple):
    """The facts about the data on which a study's cells depend: a hash of the content, sizes, and the score's name.

    Studies that were made before `pixels` was kept took everything for pixels.
    """

    fingerprint: str
    examples: int
    score: str
    pixels: bool = True


class StudyCell(NamedTuple):
    """One optimizer at one batch size. `budget` is the number of steps within which the target must first be met.

    `id` is a hash of everything that decides the results, including the content of the data, but not their place.
    """

    id: str
    optimizer: str
    batch_size: int
    budget: int
    config: Config
    space: dict[str, Space]

    @property
    def free(self) -> list[str]:
        """The hyper-parameters that are searched."""
        return [name for name, space in self.space.items() if len(space.choices) != 1]

    @property
    def whole(self) -> tuple[str, ...]:
        """The hyper-parameters whose values are whole numbers."""
        return optimizers.whole(self.optimizer, self.config.schedule)


def facts(study: Study, dataset: Dataset) -> Facts:
    """Return the facts of the study's data."""
    config = _config(study, study.optimizers[0], 1, 1)
    return Facts(dataset.fingerprint, len(dataset.train.y), configs.score(config, dataset), dataset.levels > 0)


def check(study: Study, dataset: Dataset) -> None:
    """Raise a ValueError unless every cell of the study, and its target, fits its data."""
    for name in study.optimizers:
        if study.versions.get(name, "") != (now := optimizers.version(name)):
            raise ValueError(
                f"the study has optimizer {name!r} in version {study.versions.get(name)}, and its module is now {now}: "
                "bring that back, or start another study"
            )
    asked = (study.target, study.target_metric)
    if dataset.task == "regression" and asked == (ACCURACY, "auto"):
        raise ValueError(
            f"{dataset.name!r} has real targets, and a study of these needs a target; give target, the RMSE to reach: "
            f"{dataset.target_scale * float(dataset.train.y.std()):.4g} is that of predicting the mean"
        )
    for cell in of(study, facts(study, dataset)):
        task.make_cell(cell.config, dataset)


def of(study: Study, data: Facts) -> Iterator[StudyCell]:
    """Yield the cells of a study; large batches come first, since they are the fastest and early results help.

    Default batch sizes that are larger than the data are left out.
    """
    max_steps = {data.examples if size == "full" else size: study.max_steps_at(size) for size in study.batch_sizes}
    if study.batch_sizes == BATCH_SIZES:
        max_steps = {size: steps for size, steps in max_steps.items() if size <= data.examples}
    for batch_size in sorted(max_steps, reverse=True):
        epochs = math.ceil(study.max_epochs * data.examples / batch_size)
        budget = max(1, min(max_steps[batch_size], epochs))
        for optimizer in study.optimizers:
            config = _config(study, optimizer, batch_size, budget)
            config = dataclasses.replace(config, init=task.initializer(config, data.pixels))
            asked = {"config": _decisive(config), "data": data.fingerprint, "protocol": study.protocol}
            asked |= {"space": identity(study)["spaces"][optimizer], "method": study.method, "seed": study.seed}
            if optimizer in study.versions:
                asked["version"] = study.versions[optimizer]
            if study.method != ROUNDS:
                asked |= {"points": study.points, "seeds": study.seeds, "racing": study.racing}
            space = dict(study.spaces[optimizer])
            if study.schedule != CONSTANT:
                space["schedule_steps"] = Space(choices=(budget,))  # a trial may go on beyond it, with the last rate
            yield StudyCell(digest(asked), optimizer, batch_size, budget, config, space)


def _config(study: Study, optimizer: str, batch_size: int, budget: int) -> Config:
    return dataclasses.replace(
        study.workload,
        optimizer=optimizer,
        batch_size=batch_size,
        schedule=study.schedule,
        steps=budget * (SPARE if study.method == ROUNDS else 1),
        stop_at=study.target,
        stop_metric=study.target_metric,
        stop_smoothing=study.smoothing,
        evaluations=study.evaluations,
        spacing="log",
    )


def _decisive(config: Config) -> dict:
    return {k: v for k, v in configs.to_dict(config).items() if k not in ("data_dir", "noise_scale")}
