"""Two ways to output one of two classes (L10 of the lecture): sigmoid with labels 0, 1 and tanh with labels −1, 1.

    python experiments/binary.py

breast_cancer (569 examples, 30 features), 30-16-1, binary cross-entropy, momentum. (1 + tanh z)/2 = sigmoid(2z), so
the tanh output is the sigmoid output of a network whose last layer counts twice: the accuracies should agree.

Measured: sigmoid 96.67 % (lowest 94.74 %), tanh 97.19 % (lowest 95.61 %): 0.5 points apart, which is 3 of 570 test
examples. 8 s on 2 cores of a shared AMD EPYC machine.
"""

import statistics
import sys
from dataclasses import dataclass
from functools import partial

import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    seeds: Count = 5
    """Number of seeds, of the weights and of the split."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """One seed."""


def main(options: Options) -> None:
    """Train both outputs on the same splits and print their test accuracy."""
    parts = experiment.Parts(options, sys.modules[__name__])
    found = {}
    for output in ("sigmoid", "tanh"):
        seeds = range(1 if options.quick else options.seeds)
        found[output] = [parts(f"{output}, seed {seed}", partial(train, output, seed)) for seed in seeds]
    rows = [(output, f"{statistics.mean(each):.2%}", f"{min(each):.2%}") for output, each in found.items()]
    text = tables.text(("output", "test accuracy", "lowest"), rows)
    experiment.show(options, {"test_accuracy": found}, text, "one seed" if options.quick else None)


def train(output: str, seed: int) -> float:
    """Return the test accuracy of one output and seed."""
    return mlp_jax.train(configure(output, seed)).metrics["test_accuracy"]


def configure(output: str, seed: int) -> mlp_jax.Config:
    """Return the run for one output function and seed."""
    return mlp_jax.Config(
        dataset="breast_cancer", hidden=(16,), output=output, epochs=30, seed=seed, split_seed=seed, evaluations=1
    )


if __name__ == "__main__":
    script(main, Options)
