"""Two ways to output one of two classes (L10 of the lecture): sigmoid with labels 0, 1 and tanh with labels −1, 1.

    python experiments/binary.py

breast_cancer (569 examples, 30 features), 30-16-1, binary cross-entropy, momentum. (1 + tanh z)/2 = sigmoid(2z), so
the tanh output is the sigmoid output of a network whose last layer counts twice: the accuracies should agree.

Measured, test accuracy in %, median [least, most] of 10 seeds of weights and split: sigmoid 96.93 [95.61, 99.12], tanh
97.37 [94.74, 100.00]; tanh more than sigmoid, paired by seed 0.00 [−0.88, 1.75], which is two of 114 test examples at
most. 3 s of CPU time on a shared AMD EPYC machine, with programs from the cache.
"""

import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    seeds: Count = 10
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
    accuracies = {output: 100 * np.array(each) for output, each in found.items()}
    compared = {**accuracies, "tanh − sigmoid": accuracies["tanh"] - accuracies["sigmoid"]}
    spreads = {name: experiment.spread(each) for name, each in compared.items()}
    rows = [(name, experiment.written(each, 2)) for name, each in spreads.items()]
    text = tables.text(("output", "test accuracy, %"), rows)
    text += f"\nmedian [least, most] of {len(found['tanh'])} seeds; the difference is paired by seed"
    result = {name: each._asdict() for name, each in spreads.items()}
    experiment.show(options, {"test_accuracy": result}, text, "one seed" if options.quick else None)


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
