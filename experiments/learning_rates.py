"""What a learning rate costs that is not the best: four optimizers of the lecture, thirteen rates, nine seeds.

    python experiments/learning_rates.py --data-dir PATH/TO/mnist

784-64-10 on MNIST, batch size 128, 2 epochs of 54,000 examples, constant learning rate, 13 learning rates half a
decade apart, from 1e-5 to 10, times 9 seeds for each optimizer: 468 trials, every optimizer from the same weights and
with the same order of the data for the same seed. The first 3 seeds choose each optimizer's best rate, the one with the
least median validation error; the other 6 say what it reaches, and what other rates cost beside it, paired by seed.
From the least to the most of 6 seeds holds the median with 97 %.

Measured, validation error in % at the best rate, and how many points more at a factor from it, median [least, most]:

                               sgd           momentum            adagrad            rmsprop
    best rate                 0.32                0.1               0.32             0.0032
    error there     5.0 [4.7, 5.3]     4.1 [3.7, 4.4]     4.5 [4.0, 4.7]     3.9 [3.8, 4.5]
    × 1/100      17.6 [17.3, 18.0]    9.8 [9.3, 10.1]   10.2 [9.7, 11.1]  16.5 [15.2, 17.7]
    × 1/10          4.9 [4.7, 5.3]     3.4 [3.0, 3.6]     3.1 [2.5, 3.6]     3.8 [3.4, 4.4]
    × 1/√10         2.5 [2.1, 2.9]     1.3 [0.7, 1.5]     0.7 [0.4, 1.1]     1.4 [1.2, 2.1]
    × √10           0.4 [0.1, 1.0]     1.7 [0.9, 2.7]  76.3 [37.3, 85.7]    0.2 [−0.2, 1.2]
    × 10         84.9 [74.2, 85.5]  69.8 [65.6, 75.8]  81.1 [74.1, 86.3]     2.2 [1.0, 4.3]

Below its best rate no optimizer falls off a cliff, and none is forgiving: a tenth of it costs 2.5 to 5.4 points, a
hundredth 9.3 to 18.0, rmsprop nearly as much as sgd. Above it they differ: ten times the rate costs sgd, momentum and
adagrad 65 to 86 points, and adagrad 37 to 86 at √10 times already, while rmsprop loses 1.0 to 4.3. So tuned, all
four lie between 3.7 and 5.3 %, and momentum below sgd: a tenth of the best rate costs more than the choice of the
optimizer does. 9 minutes on 2 busy cores of a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

import mlp_jax
from mlp_jax import tables
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.cli.progress import live_table
from mlp_jax.drawing.canvas import GREY, save
from mlp_jax.machine import devices
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import legend, log_y, name_x, sheet
from mlp_jax.study.summary import number

OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop")
BESIDE = {"1/100": -2.0, "1/10": -1.0, "1/√10": -0.5, "√10": 0.5, "10": 1.0}  # decades from the best rate
GUESS = 90.0  # validation error in % of a guess, which is what a trial without a finite loss counts with


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    seeds: Count = 9
    """Number of seeds; the first third chooses the best rates, the others measure."""
    figure: Path = Path("figures/learning_rates.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, 7 learning rates, 3 seeds, 10 epochs."""


def main(options: Options) -> None:
    """Train every learning rate with every seed, print what each optimizer's rates reach, and draw it."""
    devices.start_cpu_devices()
    parts = experiment.Parts(options, sys.modules[__name__])
    count = 3 if options.quick else options.seeds
    if count < 2:
        raise ValueError(f"seeds {count} is not allowed; give at least 2, for a third of them chooses the rates")
    choosing, rates = max(1, count // 3), np.geomspace(1e-5, 10, 7 if options.quick else 13)
    errors = {}
    for name in OPTIMIZERS:
        made = [parts(f"{name}, seed {seed}", partial(sweep, options, name, rates, seed)) for seed in range(count)]
        errors[name] = np.array(made, float)
    found = [judge(name, rates, errors[name][:choosing], errors[name][choosing:]) for name in OPTIMIZERS]
    save(draw(rates, {name: of[choosing:] for name, of in errors.items()}), options.figure)
    heads = ("optimizer", "best rate", "error there, %", *(f"× {factor}" for factor in BESIDE))
    text = tables.text(heads, [row(each) for each in found])
    text += f"\n\nmedian [least, most] of {count - choosing} fresh seeds; at each factor from the best rate, how many"
    text += f"\npoints more, paired by seed: ↑ where some loss was not finite, which counts as {GUESS:g} %"
    text += f"\n\nfigure: {options.figure}"
    quick = "digits, seven rates, three seeds, ten epochs" if options.quick else None
    experiment.show(options, {"optimizers": found, "figure": str(options.figure)}, text, quick)


def sweep(options: Options, name: str, rates: np.ndarray, seed: int) -> list[float]:
    """Return the validation error in % at every rate, with one seed; NaN where a loss was not finite."""
    with live_table(quiet=options.json) as show:
        asked = {"learning_rate": rates}, np.full(len(rates), seed)
        trained = mlp_jax.train_many(configure(options, name), *asked, progress=show)
    error = 100 * (1 - trained.metrics["validation_accuracy"])
    return np.where(trained.status == "INFEASIBLE", np.nan, error).tolist()


def configure(options: Options, name: str) -> mlp_jax.Config:
    """Return what all trials of one optimizer share."""
    return mlp_jax.Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        hidden=(64,),
        optimizer=name,
        schedule="constant",
        batch_size=128,
        epochs=10 if options.quick else 2,
        evaluations=1,
    )


def judge(name: str, rates: np.ndarray, choosing: np.ndarray, fresh: np.ndarray) -> dict[str, Any]:
    """Return the best rate by the seeds that choose, and by the fresh ones what it reaches and what others cost."""
    best, error = int(np.argmin(np.median(counted(choosing), axis=0))), counted(fresh)
    costs: dict[str, Any] = {}
    for factor, decades in BESIDE.items():
        there = np.flatnonzero(np.isclose(np.log10(rates / rates[best]), decades))
        if len(there):
            costs[factor] = experiment.spread(error[:, there[0]] - error[:, best])._asdict()
            costs[factor] |= {"not_finite": int(np.isnan(fresh[:, there[0]]).sum())}
    return {
        "optimizer": name,
        "rate": float(rates[best]),
        "error": experiment.spread(error[:, best])._asdict(),
        "costs": costs,
    }


def counted(errors: np.ndarray) -> np.ndarray:
    """Return errors in which a trial without a finite loss counts as a guess."""
    return np.nan_to_num(errors, nan=GUESS)


def row(found: dict[str, Any]) -> tuple[str, ...]:
    """Return one row of the table."""
    costs = [written(found["costs"][factor]) if factor in found["costs"] else "–" for factor in BESIDE]
    return found["optimizer"], f"{found['rate']:.2g}", written(found["error"]), *costs


def written(of: dict[str, float]) -> str:
    """Return a median with its ends, as 3.4 [3.2, 3.7], and whether something was not finite."""
    estimate = Estimate(of["value"], of["low"], of["high"])
    return experiment.written(estimate, 1) + (" ↑" if of.get("not_finite") else "")


def draw(rates: np.ndarray, errors: dict[str, np.ndarray]) -> Figure:
    """Draw the median of each optimizer's seeds and a band from their least to their most."""
    figure, axes = sheet(3.8)
    for name, of in errors.items():
        colour, marker = LOOKS[name]
        each = counted(of)
        axes.fill_between(rates, each.min(axis=0), each.max(axis=0), color=colour, alpha=0.18, linewidth=0)
        axes.plot(rates, np.median(each, axis=0), color=colour, marker=marker, markersize=4, linewidth=1.2, label=name)
    axes.axhline(GUESS, color=GREY, linewidth=1, linestyle=":", label="a guess, or not finite", zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    name_x(axes, "learning rate", [axes])
    log_y([axes], "validation error, %")
    return legend(figure, axes.get_legend_handles_labels()[0], 5)


if __name__ == "__main__":
    script(main, Options)
