"""Dense tables of real trials: steps to target at every rate of a fine grid, each with many seeds.

Invariant: a trial of a table is one that a study could train. It goes on a little beyond the target, so that tables of
fewer looks, read from the same trials, are not cut off by what more looks saw.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlp_jax.analysis import crossing
from mlp_jax.analysis.testbed import Table
from mlp_jax.data import Dataset
from mlp_jax.study import Study, cells, changed
from mlp_jax.training import budget
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.training.population import train_many
from mlp_jax.training.trials import Cutoff, Trials

RATES, SEEDS = 49, 16  # of each cell: rates, evenly over the space, and trials at each of them
LOOKS = (240, 120, 480)  # log-spaced over the last three decades of the steps; the first is what a study has
BEYOND = 0.1  # of the target's error: a trial ends when it has so much less


def make(
    study: Study,
    optimizer: str,
    dataset: Dataset,
    *,
    rates: int = RATES,
    seeds: int = SEEDS,
    said: Callable[[str], None] = lambda _: None,
) -> dict[int, Table]:
    """Train the dense table of one optimizer of a study and return it as seen by each number of looks.

    A trial that has not met the target is stopped at 4 times the steps of the first one that has.
    """
    asked = changed(study, {}, {"optimizers": (optimizer,), "evaluations": max(LOOKS) + 1})
    ((name, space),) = asked.spaces[optimizer].items()
    places = space.at(np.linspace(0, 1, rates))
    found = {}
    for cell in cells.of(asked, cells.facts(asked, dataset)):
        own = np.random.default_rng([asked.seed, cell.batch_size]).integers(0, 2**31, rates * seeds)
        config = dataclasses.replace(cell.config, stop_at=_beyond(asked, configs.score(cell.config, dataset)))
        until = Cutoff(float(cell.budget), float(cells.SPARE))
        hyper = {name: np.repeat(places, seeds)}
        trials = train_many(config, hyper, own, dataset=dataset, cutoff=until, evaluation_share=1.0)
        found[cell.batch_size] = {looks: _steps(trials, asked, looks).reshape(rates, seeds) for looks in LOOKS}
        said(f"{optimizer} at B = {cell.batch_size:,}: {trials.seconds['training']:.0f} s")
    sizes = sorted(found)
    stacked = {looks: np.stack([found[size][looks] for size in sizes]) for looks in LOOKS}
    return {looks: Table(np.array(sizes, float), places, steps) for looks, steps in stacked.items()}


def second(folder: Path) -> Study:
    """Return the study of a second data set, whose file is written to the folder: 1,800 drawn rows of five classes."""
    import pandas
    from sklearn.datasets import make_classification

    shape = {"n_samples": 1800, "n_features": 20, "n_informative": 12, "n_redundant": 8}
    hard = {"n_classes": 5, "n_clusters_per_class": 3, "class_sep": 1.5, "flip_y": 0}
    x, y = map(np.asarray, make_classification(**shape, **hard, random_state=0))
    folder.mkdir(parents=True, exist_ok=True)
    table = pandas.DataFrame(x.round(4), columns=[f"x{number}" for number in range(x.shape[1])])
    table.assign(label=[f"class {number}" for number in y]).to_csv(folder / "classes.csv", index=False)
    workload = Config(dataset=str(folder / "classes.csv"), column="label", hidden=(64,), validation=0.2)
    return Study(workload=workload, target=0.72)


def _beyond(study: Study, score: str) -> float:
    """Return the target at which trials end."""
    if configs.less_is_better(score):
        return (1 - BEYOND) * study.target
    return study.target + BEYOND * (1 - study.target)


def _steps(trials: Trials, study: Study, looks: int) -> np.ndarray:
    """Return the steps to the study's own target, as trials with so many looks have them."""
    task, score = trials.task, trials.task.score
    power = 2 if score.endswith("_rmse") else 1  # the mean of squares is what a window takes together
    definition = crossing.Definition(study.target**power, task.less_is_better, study.smoothing)
    fewer = dataclasses.replace(task.config, evaluations=looks + 1)
    kept = np.flatnonzero(np.isin(task.points, budget.evaluation_points(fewer, task.total)))
    there = trials.points["step"][:, kept] == task.points[kept]
    scores = np.where(there, trials.points[score][:, kept] ** power, np.nan)
    return crossing.steps_to_targets(task.points[kept], scores, definition)
