"""The slides' softmax classifier on MNIST beside ours: 84.64 % train and 83.58 % test accuracy on the slides.

    python experiments/softmax_mnist.py --data-dir PATH/TO/mnist

W ∈ R^{10×785} with a feature of all ones, mean cross-entropy, SGD with momentum 0.9, a learning rate that falls as a
cosine over 54,000 examples an epoch. Twice: with mini-batches of 64, rate 0.02, 20 epochs; and as the slides write it
(L7 of the lecture), one example j drawn at random with replacement, V ← βV + G, W ← W − αV, α = 0.0005, 5 epochs.

Measured (seed 0): mini-batches 92.95 % train and 92.48 % test; the slides' 84.64 % is passed at step 48, their 83.58 %
at step 27, that is after 3,072 and 1,728 examples. One random example at a time: 92.41 % and 92.30 %, passed at steps
2,221 and 1,758, which are as many examples. 5 s of training, 12 s in all on 2 cores of a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import tyro

import mlp_jax
from mlp_jax import tables
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
    seed: int = 0
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, in seconds."""


def main(options: Options) -> None:
    """Train both ways, print the accuracies beside the slides', and the first evaluated step that passes them."""
    parts = experiment.Parts(options, sys.modules[__name__])
    found = {way: parts(way, partial(train, options, way)) for way in WAYS}
    rows = []
    for way, each in found.items():
        for name, slides in SLIDES.items():
            reference = [] if options.quick else [f"{slides:.2%}", f"{each['passed'][name] or 'never':,}"]
            rows.append((name.split("_")[0], way, f"{each['steps']:,}", f"{each[name]:.2%}", *reference))
    heads = ("", "way", "steps", "ours", *([] if options.quick else ["slides", "passed at step"]))
    network = mlp_jax.Network(inputs=64 if options.quick else 784, outputs=10, bias="ones")
    text = f"{mlp_jax.summary(network)}\n\n{tables.text(heads, rows)}\n\nrandom guess {1 / network.outputs:.0%}"
    experiment.show(options, found, text, "digits instead of MNIST" if options.quick else None)


def train(options: Options, way: str) -> dict:
    """Train one way and return its accuracies, its steps, and the step that passes each of the slides' accuracies."""
    with live_line(quiet=options.json) as show:
        run = mlp_jax.train(configure(options, way), progress=show)
    passed = {name: next((row["step"] for row in run.history if row[name] >= SLIDES[name]), None) for name in SLIDES}
    return {name: run.metrics[name] for name in SLIDES} | {"steps": run.steps, "passed": passed}


def configure(options: Options, way: str) -> mlp_jax.Config:
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
        seed=options.seed,
        spacing="log",
        evaluations=60,
        evaluate_on=("train", "test"),
        **WAYS[way],
    )


if __name__ == "__main__":
    script(main, Options)
