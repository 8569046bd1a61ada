"""The baselines that DeepOBS and AlgoPerf never published for these networks: every optimizer, at equal tuning.

    python experiments/baselines.py --data-dir PATH/TO/mnist
    python experiments/baselines.py --data-dir PATH/TO/mnist --check

DeepOBS' protocol (Schneider et al. 2019): 36 learning rates, equally spaced in the logarithm from 1e-5 to 1e2, with one
seed each, then 10 seeds of the best, all else at its default and the rate constant. Two workloads: `mnist_logreg`, the
softmax classifier from zeros at B = 128 for 50 epochs, to 92 % validation accuracy; and AlgoPerf's MNIST, 784-128-10
with sigmoids, on 50,000 examples with 10,000 for validation (bytes divided by 255, from which AlgoPerf subtracts a mean
too), at B = 128 for at most 20 epochs, to 97 % of the validation part. The best rate has the highest validation
accuracy at the end, or meets the target there soonest; the test part is read of the ten seeds alone. Steps to target
are the first evaluation that meets it, seconds those of training alone.

The score is that of the profile over both workloads: 1 for an optimizer that is soonest everywhere, 0 for one that
takes over four times the least steps.

On two cores of a shared AMD EPYC machine with jax 0.10.2, 27 optimizers (training took 80 minutes beside other work,
the seconds were measured alone). AlgoPerf's MNIST: muon takes the fewest steps to 97 %, 781 (2.0 epochs), but 2.3 s;
schedule_free_adamw 977 and 0.54 s, rmsprop 1,367 and 0.57 s, momentum 1,628 and 0.69 s, adam 2,083 and 0.90 s, sgd
3,255 and 1.3 s. Of the ten seeds of adamw, sign_sgd and ademamix fewer than half get there. `mnist_logreg`: lion has
the highest test accuracy, 92.88 ± 0.06 %; adam has 92.76 ± 0.06, momentum 92.49 ± 0.05, sgd 92.49 ± 0.06; sign_sgd and
ademamix end below 92 %. The score is 0.96 for schedule_free_adamw, 0.78 for yogi, 0.77 for muon, 0.66 for adam, 0.63
for momentum and 0.33 for sgd.

± is the deviation over ten seeds, all at one rate. Which rate is best was told by one seed, as the protocol has it, and
that luck is in no number here: adam and adamw differ by a decay of 1e-4, got the rates 0.0063 and 0.016, and only the
former meets 97 % with half of the seeds. `mlp-jax study` tunes so that its intervals hold this luck too. Steps are
those of an evaluation: there is one in a third of an epoch, and in 1.25 epochs of `mnist_logreg`.

`--check` repeats sgd and adam on both workloads with two seeds at the published rates, and fails if an accuracy is more
than four published deviations from the published mean. DeepOBS' mnist_mlp (784-1000-500-100-10, 100 epochs) is for a
machine with an accelerator, and was not run: `--workload mnist_mlp`.
"""

import dataclasses
import itertools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from mlp_jax import Config, data, optimizers, tables, train_many
from mlp_jax.analysis import bootstrap, comparison
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import Asked, Parts, script
from mlp_jax.data import Dataset
from mlp_jax.drawing import canvas
from mlp_jax.machine import devices, files
from mlp_jax.training.trials import NEVER, Cutoff, Trials

RATES, LEAST, LARGEST, SEEDS = 36, 1e-5, 1e2, 10
TIMED_STEPS, TIMED_SEEDS = 1000, 5
WORST = 8  # times the least steps at the figure's right edge
CHECKED, CHECKED_WORKLOADS, CHECK_SEEDS = ("sgd", "adam"), ("mnist_logreg", "algoperf_mnist"), 2
PUBLISHED = Path(__file__).parents[1] / "benchmarks" / "results"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network on data with a budget, the accuracy to reach, and whether a trial ends there."""

    config: Config
    target: float
    ends: bool


WORKLOADS = {
    "mnist_logreg": Workload(
        config=Config(
            dataset="mnist", hidden=(), init="zeros", batch_size=128, epochs=50.0, schedule="constant",
            validation=5000,
        ),
        target=0.92,
        ends=False,
    ),
    "algoperf_mnist": Workload(
        config=Config(
            dataset="mnist", hidden=(128,), activation="sigmoid", batch_size=128, epochs=20.0, schedule="constant",
            validation=10_000, evaluations=60,
        ),
        target=0.97,
        ends=True,
    ),
    "mnist_mlp": Workload(
        config=Config(
            dataset="mnist", hidden=(1000, 500, 100), init="truncated_normal", batch_size=128, epochs=100.0,
            schedule="constant", validation=5000,
        ),
        target=0.98,
        ends=False,
    ),
}  # fmt: skip
QUICK = {
    "digits_logreg": Workload(
        config=Config(hidden=(), init="zeros", batch_size=64, epochs=3.0, schedule="constant", validation=0.2),
        target=0.8,
        ends=False,
    )
}


@dataclass(frozen=True, kw_only=True)
class Options(Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    workload: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAMES")] = ("mnist_logreg", "algoperf_mnist")
    """mnist_logreg, algoperf_mnist or mnist_mlp."""
    csv: Path | None = None
    """Where the table goes as CSV."""
    figure: Path = Path("figures/baselines.png")
    """Where the figure goes: .svg, .png or .pdf."""
    check: tyro.conf.FlagCreatePairsOff[bool] = False
    """Repeat a part of the published table instead, and fail if it is not found again."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three optimizers, four rates, two seeds."""


def main(options: Options) -> None:
    """Tune every optimizer by DeepOBS' protocol, and print what each reaches and when."""
    devices.start_cpu_devices()
    if options.check:
        raise SystemExit(check(options))
    names = ("sgd", "adam", "muon") if options.quick else tuple(optimizers.BUILT_IN)
    parts, rows = Parts(options, sys.modules[__name__]), []
    for workload, asked in chosen(options).items():
        dataset = loaded(asked, options)
        for name in names:
            make = lambda name=name, asked=asked, dataset=dataset: tuned(asked, dataset, name, options.quick)
            rows.append({"workload": workload, "optimizer": name} | parts(f"{workload}: {name}", make))
        for row in rows[-len(names) :]:
            make = lambda row=row, asked=asked, dataset=dataset: step_seconds(asked, dataset, row)
            row["seconds"] = row["steps"] * parts(f"{workload}: {row['optimizer']}: seconds of a step", make)
    add_scores(rows)
    if options.csv is not None:
        write(rows, options.csv)
    canvas.save(draw(rows), options.figure)
    heads = ("workload", "optimizer", "rate", "test accuracy, %", "steps", "epochs", "seconds", "score")
    text = tables.text(heads, [cells(row) for row in rows])
    quick = "digits, three optimizers, four rates, two seeds" if options.quick else None
    found = {"rows": rows, "figure": str(options.figure)}
    experiment.show(options, found, f"{text}\n\nfigure: {options.figure}", quick)


def chosen(options: Options) -> dict[str, Workload]:
    """Return the workloads that are asked for.

    Raises:
        ValueError: one is unknown.
    """
    if options.quick:
        return QUICK
    if unknown := [name for name in options.workload if name not in WORKLOADS]:
        raise ValueError(f"unknown workload {unknown[0]!r}; choose of {', '.join(WORKLOADS)}")
    return {name: WORKLOADS[name] for name in options.workload}


def loaded(asked: Workload, options: Options) -> Dataset:
    """Return the data of a workload."""
    config = asked.config
    return data.load(config.dataset, data_dir=options.data_dir, validation=config.validation, scaling=config.scaling)


def tuned(asked: Workload, dataset: Dataset, name: str, quick: bool) -> dict[str, Any]:
    """Return the best of the learning rates, and what ten seeds of it reach."""
    rates = np.geomspace(LEAST, LARGEST, 4 if quick else RATES)
    soonest = Cutoff(factor=1.0) if asked.ends else NEVER
    searched = trained(asked, dataset, name, rates, np.zeros(len(rates), int), cutoff=soonest)
    rate = float(rates[best(searched, asked.target)])
    seeds = np.arange(1, 1 + (2 if quick else SEEDS))
    return {"rate": rate} | reached(asked, dataset, name, rate, seeds)


def trained(
    asked: Workload, dataset: Dataset, name: str, rates: np.ndarray, seeds: np.ndarray, **options: Any
) -> Trials:
    """Train one trial for each rate and seed."""
    config = dataclasses.replace(asked.config, optimizer=name, stop_at=asked.target if asked.ends else None)
    return train_many(config, {"learning_rate": rates}, seeds, dataset=dataset, evaluation_share=1.0, **options)


def best(trials: Trials, target: float) -> int:
    """Return the trial that meets the target soonest, if trials end there, else the one that ends best.

    Of those that meet it at the same evaluation it is the one that is best there.
    """
    steps, accuracy = crossed(trials, "validation_accuracy", target), trials.points["validation_accuracy"]
    last = np.array([row[np.isfinite(row)][-1] if np.isfinite(row).any() else -1.0 for row in accuracy])
    soonest = trials.config.stop_at is not None and np.isfinite(steps).any()
    able = steps == steps.min() if soonest else np.isin(trials.status, ("COMPLETE",))
    return int(np.argmax(np.where(able, last, -1.0)))


def crossed(trials: Trials, metric: str, target: float) -> np.ndarray:
    """Return the first evaluated step of each trial at which a metric meets the target; inf where none does."""
    met = trials.points[metric] >= target
    first = np.argmax(met, axis=1)
    steps = trials.points["step"][np.arange(len(met)), first]
    return np.where(met.any(axis=1), steps, np.inf)


def reached(asked: Workload, dataset: Dataset, name: str, rate: float, seeds: np.ndarray) -> dict[str, Any]:
    """Return what the seeds of a rate reach: test accuracy with its deviation, and the median steps to the target."""
    asked = changed(asked, evaluate_on=("validation", "test"))
    trials = trained(asked, dataset, name, np.full(len(seeds), rate), seeds)
    accuracy = trials.metrics["test_accuracy"]
    steps = float(bootstrap.median(crossed(trials, "validation_accuracy", asked.target)))
    return {
        "accuracy": float(np.mean(accuracy)),
        "deviation": float(np.std(accuracy, ddof=1)),
        "steps": steps,
        "epochs": steps * trials.cell.batch_size / len(dataset.train.y),
    }


def step_seconds(asked: Workload, dataset: Dataset, row: dict[str, Any]) -> float:
    """Return the median time of a step of an optimizer, of a few trials that have the device to themselves."""
    short = dataclasses.replace(changed(asked, steps=TIMED_STEPS, epochs=None), ends=False)
    seeds = np.arange(TIMED_SEEDS)
    trials = trained(short, dataset, row["optimizer"], np.full(len(seeds), row["rate"]), seeds, timed=True)
    return float(np.median(np.nanmax(trials.points["training_seconds"], axis=1) / np.maximum(trials.steps, 1)))


def changed(asked: Workload, **changes: Any) -> Workload:
    """Return a workload with changes to its configuration."""
    return dataclasses.replace(asked, config=dataclasses.replace(asked.config, **changes))


def add_scores(rows: list[dict[str, Any]]) -> None:
    """Add to each row how many times the least steps it has, and its optimizer's score over all workloads."""
    names, workloads = (list(dict.fromkeys(row[key] for row in rows)) for key in ("optimizer", "workload"))
    known = {(row["optimizer"], row["workload"]): row["steps"] for row in rows}
    steps = [[known[name, workload] for workload in workloads] for name in names]
    ratios = comparison.ratios(np.array(steps, float))
    scores = comparison.score(ratios).tolist()
    for row in rows:
        place = names.index(row["optimizer"])
        row["ratio"] = float(ratios[place, workloads.index(row["workload"])])
        row["score"] = scores[place]


def draw(rows: list[dict[str, Any]]):
    """Return the figure of the performance profile: how many times the least steps each optimizer takes, best above."""
    from matplotlib.figure import Figure

    names = sorted({row["optimizer"]: row["score"] for row in rows}.items(), key=lambda pair: pair[1])
    place = {name: number for number, (name, _) in enumerate(names)}
    figure = Figure(figsize=(7.5, 1.2 + 0.25 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(comparison.R_MAX, WORST, color="0.93", linewidth=0)
    for color, workload in zip(canvas.COLORS, dict.fromkeys(row["workload"] for row in rows)):
        own = [row for row in rows if row["workload"] == workload]
        ratio = np.array([row["ratio"] for row in own])
        heights = np.array([place[row["optimizer"]] for row in own])
        there = ratio < WORST
        axes.plot(ratio[there], heights[there], "o", color=color, alpha=0.85, label=workload, clip_on=False)
        axes.plot(np.full((~there).sum(), WORST), heights[~there], ">", color=color, alpha=0.85, clip_on=False)
    axes.set(xscale="log", xlim=(1, WORST), ylim=(-0.6, len(names) - 0.4))
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.minorticks_off()
    axes.set_yticks(range(len(names)), [f"{name}  {score:.2f}" for name, score in names])
    axes.set_xlabel("steps to the target, in those of the soonest optimizer (▸: more, or never)")
    axes.set_title("Optimizers with their scores; beyond 4 times nothing counts", fontsize=10)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncol=2, frameon=False)
    return figure


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return one row of the table as text."""
    number = lambda value, form: format(value, form) if math.isfinite(value) else "–"
    accuracy = f"{100 * row['accuracy']:.2f} ± {100 * row['deviation']:.2f}"
    cost = number(row["steps"], ",.0f"), number(row["epochs"], ".2f"), number(row["seconds"], ".3g")
    return row["workload"], row["optimizer"], f"{row['rate']:.3g}", accuracy, *cost, f"{row['score']:.2f}"


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the table as CSV."""
    import pandas

    files.make_folder(path.parent)
    files.replace(path, lambda partial: pandas.DataFrame(rows).to_csv(partial, index=False))


def check(options: Options) -> int:
    """Repeat a part of the newest published table; return the exit code, 1 where an accuracy is not found again."""
    import pandas

    published = sorted(PUBLISHED.glob("baselines-*.csv"))
    if not published:
        raise ValueError(f"no baselines are published in {PUBLISHED} yet; run this script with --csv first")
    table = pandas.read_csv(published[-1]).set_index(["workload", "optimizer"])
    said, wrong = {}, []
    for workload, name in itertools.product(CHECKED_WORKLOADS, CHECKED):
        asked, row = WORKLOADS[workload], table.loc[workload, name]
        found = reached(asked, loaded(asked, options), name, float(row["rate"]), np.arange(1, 1 + CHECK_SEEDS))
        said[f"{workload}: {name}"] = {"published": float(row["accuracy"]), "found": found["accuracy"]}
        if abs(found["accuracy"] - row["accuracy"]) > 4 * row["deviation"]:
            wrong.append(f"{workload}: {name}")
    print(json.dumps({"checked": said, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    script(main, Options)
