"""Validation accuracy against the learning rate for the four optimizers of the lecture, as one population each.

    python experiments/learning_rates.py --data-dir PATH/TO/mnist

784-128-10 on MNIST, batch size 128, 3 epochs of 54,000 examples, constant learning rate, 13 learning rates half a
decade apart, from 1e-5 to 10, times 5 seeds for each optimizer: 260 trials, every optimizer from the same weights and
with the same order of the data for the same seed. The figure has medians over the seeds, and bands from the worst to
the best.

Measured (median validation accuracy at the best learning rate): sgd 96.43 % at 1, momentum 96.77 % at 0.1, adagrad
96.60 % at 0.32, rmsprop 97.00 % at 0.0032. So tuned they are 0.6 points apart; each falls off a cliff within one decade
above its best rate, and rmsprop alone forgives two decades below it. 5 minutes on 2 busy cores of a shared AMD EPYC
machine.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.cli.entry import script
from mlp_jax.cli.progress import live_table
from mlp_jax.machine import devices
from mlp_jax.report.canvas import save
from mlp_jax.training import population
from mlp_jax.training.trials import Trials

OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop")


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/learning_rates.png")
    """Where the figure goes: .svg, .png or .pdf."""
    seeds: int = 5
    """Number of seeds."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, 7 learning rates and 2 seeds."""


def main(options: Options) -> None:
    """Train every learning rate with every seed, print the best of each optimizer, and draw the figure."""
    devices.start_cpu_devices()
    rates = np.geomspace(1e-5, 10, 7 if options.quick else 13)
    seeds = range(2 if options.quick else options.seeds)
    curves, rows = {}, []
    for optimizer in OPTIMIZERS:
        trained = sweep(configure(options, optimizer), rates, np.asarray(seeds))
        curves[optimizer] = accuracies = trained.metrics["validation_accuracy"].reshape(len(seeds), len(rates))
        best = np.argmax(np.median(accuracies, axis=0))
        low, middle, high = np.quantile(accuracies[:, best], (0, 0.5, 1))
        of_best = f"{rates[best]:.4g}", f"{middle:.2%}", f"{low:.2%}", f"{high:.2%}"
        rows.append(
            (optimizer, *of_best, str(np.sum(trained.status == "INFEASIBLE")), f"{trained.seconds['total']:.1f}")
        )
    print(tables.text(("optimizer", "learning rate", "median", "worst", "best", "infeasible", "seconds"), rows))
    draw(rates, curves, options.figure)
    print(f"figure: {options.figure}")


def sweep(config: mlp_jax.Config, rates: np.ndarray, seeds: np.ndarray) -> Trials:
    """Train every rate with every seed, seeds outermost."""
    rate, seed = (grid.ravel() for grid in np.meshgrid(rates, seeds))
    with live_table() as show:
        return population.train(config, {"learning_rate": rate}, seed, progress=show)


def configure(options: Options, optimizer: str) -> mlp_jax.Config:
    """Return what all trials of one optimizer share."""
    return mlp_jax.Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        optimizer=optimizer,
        schedule="constant",
        batch_size=128,
        epochs=10 if options.quick else 3,
        evaluations=1,
    )


def draw(rates: np.ndarray, curves: dict[str, np.ndarray], path: Path) -> None:
    """Draw a line of medians and a band for each optimizer; a trial that diverged counts with what it had left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for (optimizer, accuracies), marker in zip(curves.items(), "os^D"):
        (line,) = axes.plot(rates, np.median(accuracies, axis=0), marker=marker, markersize=4, label=optimizer)
        axes.fill_between(rates, accuracies.min(axis=0), accuracies.max(axis=0), alpha=0.2, color=line.get_color())
    axes.set(xscale="log", ylim=(0, 1), xlabel="learning rate", ylabel="validation accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(figure, path)


if __name__ == "__main__":
    script(main, Options)
