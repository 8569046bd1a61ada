"""The slides' softmax classifier on MNIST beside ours: 84.64 % train and 83.58 % test accuracy on the slides.

    python experiments/softmax_mnist.py --data-dir PATH/TO/mnist

W ∈ R^{10×785} with a feature of all ones, mean cross-entropy, SGD with momentum 0.9, a learning rate that falls as a
cosine over 54,000 examples an epoch. Twice: with mini-batches of 64, rate 0.02, 20 epochs; and as the slides write it
(L7 of the lecture), one example j drawn at random with replacement, V ← βV + G, W ← W − αV, α = 0.0005, 5 epochs.

Measured, accuracy in %, median [least, most] of 5 seeds; and the step at which the slides' 84.64 % train and 83.58 %
test are passed, from the least to the most:

    mini-batches of 64: 92.96 [92.94, 92.97] train and 92.48 [92.44, 92.52] test, passed at steps 48 to 61 and 27 to 43
    one random example: 92.32 [92.30, 92.41] train and 92.18 [92.12, 92.30] test, passed at steps 1,563 to 2,221 and
                        1,100 to 1,758

A step of the first has 64 examples: it passes the slides' training accuracy after 3,072 to 3,904 of them, the second
after 1,563 to 2,221, neither of them tuned for that. 46 s of CPU time on a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.cli.progress import live_line

SLIDES = {"train_accuracy": 0.8464, "test_accuracy": 0.8358}
WAYS: dict[str, dict[str, Any]] = {
    "mini-batches of 64": {"batch_size": 64, "learning_rate": 0.02, "epochs": 20},
    "one random example": {"batch_size": 1, "sampling": "replacement", "learning_rate": 0.0005, "epochs": 5},
}


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    seeds: Count = 5
    """Number of seeds, of the order of the examples: the weights begin at zero."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, two seeds."""


def main(options: Options) -> None:
    """Train both ways, print the accuracies beside the slides', and the first evaluated step that passes them."""
    parts = experiment.Parts(options, sys.modules[__name__])
    seeds = range(2 if options.quick else options.seeds)
    found = {way: [parts(f"{way}, seed {seed}", partial(train, options, way, seed)) for seed in seeds] for way in WAYS}
    rows = []
    for way, each in found.items():
        for name, slides in SLIDES.items():
            ours = experiment.written(experiment.spread([100 * of[name] for of in each]), 2)
            passed = experiment.written(experiment.spread([of["passed"][name] or np.inf for of in each]), 0)
            reference = [] if options.quick else [f"{100 * slides:.2f}", passed]
            rows.append((name.split("_")[0], way, f"{each[0]['steps']:,}", ours, *reference))
    heads = ("accuracy, %", "way", "steps", "ours", *([] if options.quick else ["slides", "passed at step"]))
    network = mlp_jax.Network(inputs=64 if options.quick else 784, outputs=10, bias="ones")
    text = f"{mlp_jax.summary(network)}\n\n{tables.text(heads, rows)}\n\n"
    text += f"median [least, most] of {len(seeds)} seeds; a random guess: {100 / network.outputs:g} %"
    experiment.show(options, found, text, "digits instead of MNIST, two seeds" if options.quick else None)


def train(options: Options, way: str, seed: int) -> dict:
    """Train one way and return its accuracies, its steps, and the step that passes each of the slides' accuracies."""
    with live_line(quiet=options.json) as show:
        run = mlp_jax.train(configure(options, way, seed), progress=show)
    passed = {name: next((row["step"] for row in run.history if row[name] >= SLIDES[name]), None) for name in SLIDES}
    return {name: run.metrics[name] for name in SLIDES} | {"steps": run.steps, "passed": passed}


def configure(options: Options, way: str, seed: int) -> mlp_jax.Config:
    """Return the run: the test part is evaluated on the way, since here it is what is looked at, not chosen by."""
    return mlp_jax.Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        hidden=(),
        bias="ones",
        init="zeros",
        optimizer="momentum",
        momentum=0.9,
        schedule="cosine",
        seed=seed,
        spacing="log",
        evaluations=60,
        evaluate_on=("train", "test"),
        **WAYS[way],
    )


if __name__ == "__main__":
    script(main, Options)
