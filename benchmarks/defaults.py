"""Do defaults train, on whatever comes, and as well as scikit-learn's? Every output and loss, and 20 data sets.

    python benchmarks/defaults.py              # about a quarter of an hour
    python benchmarks/defaults.py --quick      # few of each: shows only that it runs

First, each output and loss on 1 to 1,000 features and 20 to 100,000 rows, on 20 seeds with nothing else asked: no trial
may be INFEASIBLE, and each must have learnt what there is to learn. The targets are what a network of two units says of
three directions of the features, which come in units of their own; with fewer than ten rows to a feature only what was
trained on is asked for, else the validation part. Learnt means that the worst seed came half of the way from chance
(accuracy 1/classes, R² 0) to 1.

Second, 20 data sets (six that scikit-learn ships, fourteen that it draws) with ten splits each: `mlp_jax.train` and the
estimators of `mlp_jax.sklearn`, by default, and scikit-learn's MLP by default on the same rows, with X and real targets
standardised for it. An entry is worse where the 95 % interval of the mean difference of its scores (accuracy, R²) over
the splits lies below 0: of 40 true ties, one.

Measured on 2 cores of a shared AMD EPYC machine: none of 980 trials was INFEASIBLE, and all 49 settings were learnt. Of
the 20 data sets the defaults of `train` and of the estimators are better than scikit-learn's on six and worse on none,
alike on the rest; intervals are in the record. These splits told which start and which budget the defaults have; on ten
others they are better on seven and worse on none. Before, with He's start and 20 epochs, they were better on three and
worse on nine.
"""

import argparse
import functools
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import records
import scipy.stats
from sklearn import compose, datasets, neural_network
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlp_jax
from mlp_jax import Config, Dataset, losses, train_many
from mlp_jax.machine import devices
from mlp_jax.sklearn import MLPClassifier, MLPRegressor
from mlp_jax.training.trials import Status

SIZES = ((20, 1), (20, 1000), (1000, 1), (1000, 30), (1000, 1000), (20_000, 30), (100_000, 1))
CHANCE = {"softmax": 1 / 3, "sigmoid": 1 / 2, "tanh": 1 / 2}  # each class is as likely as another; R² by chance is 0
LEARNT = 0.5  # of the way from chance to 1: with few rows to a feature nobody comes much further
ROWS = 800  # of a data set that is drawn
SPLITS, SEEDS = 10, 20
SHIPPED = ("iris", "wine", "breast_cancer", "digits", "diabetes", "linnerud")
Drawn = Callable[[int], tuple[np.ndarray, np.ndarray]]


class Setting(NamedTuple):
    """An output with a loss, and a size of the data."""

    output: str
    loss: str
    rows: int
    features: int


def settings(quick: bool) -> Iterator[Setting]:
    """Yield every output and loss with every size of the data."""
    sizes = SIZES[2:3] if quick else SIZES
    for (output, fitting), size in itertools.product(losses.FITTING.items(), sizes):
        yield from (Setting(output, loss, *size) for loss in (fitting[:1] if quick else fitting))


def problem(setting: Setting) -> Dataset:
    """Draw features in units of their own, and targets that follow from three directions of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(setting.rows, setting.features)).astype(np.float32)
    directions = np.linalg.qr(rng.normal(size=(setting.features, min(3, setting.features))))[0]
    seen = x @ directions
    y = seen[:, 0] + 0.5 * np.abs(seen[:, -1]) + 0.05 * rng.normal(size=setting.rows)
    x = x * 10 ** rng.uniform(-3, 3, setting.features) + rng.normal(size=setting.features)
    if losses.is_regression(setting.loss):
        spread = (y - y.min()) / y.std() if setting.output == "relu" else y
        return Dataset.of(x, 12 * spread + 40, target_scaling="scale" if setting.output == "relu" else "standard")
    bounds = np.quantile(y, [1 / 3, 2 / 3] if setting.output == "softmax" else [1 / 2])
    return Dataset.of(x, np.array(["low", "middle", "high"])[np.digitize(y, bounds)], stratify=True)


def trained(setting: Setting, seeds: int) -> dict:
    """Train a trial for each seed by default, and say how many failed, and what the worst has learnt."""
    dataset, begin = problem(setting), time.perf_counter()
    config = Config(
        dataset=dataset.name,
        output=setting.output,
        loss=setting.loss,
        evaluations=1,
        evaluate_on=("train", "validation"),
    )
    trials = train_many(config, seeds=np.arange(seeds), dataset=dataset, evaluation_share=1.0)
    metric = "r2" if losses.is_regression(setting.loss) else "accuracy"
    part = "validation" if setting.rows >= 10 * setting.features and setting.rows > 100 else "train"
    scores = trials.metrics[f"{part}_{metric}"]
    infeasible = int((trials.status == Status.INFEASIBLE).sum())
    found = {"metric": f"{part}_{metric}", "worst": float(np.min(scores)), "median": float(np.median(scores))}
    chance = CHANCE.get(setting.output, 0.0)
    learnt = bool(infeasible == 0 and (np.min(scores) - chance) / (1 - chance) >= LEARNT)
    return setting._asdict() | found | {
        "seeds": seeds,
        "infeasible": infeasible,
        "learnt": learnt,
        "seconds": time.perf_counter() - begin,
    }  # fmt: skip


def data_sets() -> dict[str, Drawn]:
    """Return the data sets by name, each drawn from a seed; those that are shipped are as they are."""
    shipped = {name: functools.partial(_shipped, name) for name in SHIPPED}
    classes = functools.partial(datasets.make_classification, ROWS, class_sep=1.0)
    return shipped | {
        "two classes": lambda seed: classes(random_state=seed),
        "five classes": lambda seed: classes(
            n_features=30, n_informative=8, n_classes=5, n_clusters_per_class=1, random_state=seed
        ),
        "wrong labels": lambda seed: classes(n_features=10, n_informative=6, flip_y=0.2, random_state=seed),
        "rare class": lambda seed: classes(n_features=8, n_informative=5, weights=[0.9], random_state=seed),
        "moons": lambda seed: datasets.make_moons(ROWS, noise=0.25, random_state=seed),
        "circles": lambda seed: datasets.make_circles(ROWS, noise=0.12, factor=0.6, random_state=seed),
        "blobs": lambda seed: datasets.make_blobs(ROWS, n_features=6, centers=8, cluster_std=3.0, random_state=seed)[
            :2
        ],
        "shells": lambda seed: datasets.make_gaussian_quantiles(
            n_samples=ROWS, n_features=5, n_classes=4, random_state=seed
        ),
        "friedman 1": lambda seed: datasets.make_friedman1(ROWS, noise=1.0, random_state=seed),
        "friedman 2": lambda seed: datasets.make_friedman2(ROWS, noise=100.0, random_state=seed),
        "friedman 3": lambda seed: datasets.make_friedman3(ROWS, noise=0.1, random_state=seed),
        "linear": lambda seed: datasets.make_regression(ROWS, 10, noise=10.0, random_state=seed)[:2],
        "linear, many features": lambda seed: datasets.make_regression(
            ROWS, 200, n_informative=10, noise=10.0, random_state=seed
        )[:2],
        "swiss roll": lambda seed: datasets.make_swiss_roll(ROWS, noise=0.5, random_state=seed),
    }


def _shipped(name: str, _: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x, y if y.ndim == 1 else y[:, 0]  # linnerud: the weight


def scores(draw: Drawn, split: int) -> dict[str, float]:
    """Return the test score of each contender on one split of a data set."""
    x, y = draw(split)
    regression = y.dtype.kind == "f"
    dataset = Dataset.of(x, y, split_seed=split, task="regression" if regression else "classification")
    metric = "r2" if regression else "accuracy"
    run = mlp_jax.train(Config(dataset=dataset.name, seed=split, evaluations=1), dataset=dataset)
    unit = lambda part: part.y * dataset.target_scale + dataset.target_center if regression else part.y
    train, test = dataset.train, dataset.test
    kinds = (MLPRegressor, neural_network.MLPRegressor) if regression else (MLPClassifier, neural_network.MLPClassifier)
    theirs = make_pipeline(StandardScaler(), kinds[1](random_state=split))
    if regression:
        theirs = compose.TransformedTargetRegressor(theirs, transformer=StandardScaler())
    found = {"train": run.metrics[f"test_{metric}"]}
    contenders: dict[str, Any] = {"estimator": kinds[0](random_state=split), "scikit-learn": theirs}
    for name, model in contenders.items():
        found[name] = float(model.fit(train.x, unit(train)).score(test.x, unit(test)))
    return found


def compared(name: str, draw: Drawn, splits: int) -> dict:
    """Compare the contenders on one data set, by the differences on each split."""
    each = [scores(draw, split) for split in range(splits)]
    columns = {key: np.array([one[key] for one in each]) for key in each[0]}
    found: dict = {"data": name, "scikit-learn": float(columns["scikit-learn"].mean())}
    for ours in ("train", "estimator"):
        differences = columns[ours] - columns["scikit-learn"]
        half = scipy.stats.t.ppf(0.975, splits - 1) * differences.std(ddof=1) / np.sqrt(splits)
        interval = [float(differences.mean() - half), float(differences.mean() + half)]
        found[ours] = {"score": float(columns[ours].mean()), "difference": interval, "worse": interval[1] < 0}
    return found


def main() -> None:
    """Measure, print a line for each setting and data set, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few settings and data sets, no record")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    devices.start_cpu_devices()
    settled, sets = [], []
    for setting in settings(quick):
        settled.append(one := trained(setting, 2 if quick else SEEDS))
        verdict = "learnt" if one["learnt"] else f"NOT LEARNT, {one['infeasible']} infeasible"
        print(
            f"{setting.output}/{setting.loss}, {setting.rows:,} × {setting.features:,}: {one['metric']} of the worst "
            f"seed {one['worst']:.3f}, median {one['median']:.3f}: {verdict} ({one['seconds']:.0f} s)",
            flush=True,
        )
    for name, draw in itertools.islice(data_sets().items(), 0, 5 if quick else None, 4 if quick else 1):
        sets.append(one := compared(name, draw, 2 if quick else SPLITS))
        told = [
            f"{ours} {one[ours]['score']:.3f} [{one[ours]['difference'][0]:+.3f}, {one[ours]['difference'][1]:+.3f}]"
            + " WORSE" * one[ours]["worse"]
            for ours in ("train", "estimator")
        ]
        print(f"{name}: scikit-learn {one['scikit-learn']:.3f}, {', '.join(told)}", flush=True)
    if not quick:
        print(records.write("defaults", {"settings": settled, "data": sets, "environment": records.environment()}))


if __name__ == "__main__":
    main()
