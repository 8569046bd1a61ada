"""Without activations a network collapses to a linear model (L11 of the lecture), on MNIST.

    python experiments/linear_collapse.py --data-dir PATH/TO/mnist

784-256-128-10 with identity activations is z = W^(2)(W^(1)(W^(0)x + b^(0)) + b^(1)) + b^(2): after training, its output
is compared with that of one layer, the product of its matrices. Its accuracy stands beside the softmax classifier's,
which is the same family of functions, and beside that of the same widths with ReLU. All three: momentum 0.9, cosine
over 5 epochs of 54,000 examples, batch size 64, 5 seeds.

Measured, test accuracy in %, median [least, most] of 5 seeds: softmax classifier 92.30 [92.21, 92.34], identity network
92.24 [92.15, 92.25], ReLU network 97.68 [97.63, 97.79]; the identity network more than the softmax classifier, paired
by seed −0.06 [−0.19, 0.01]. The product of the matrices gives the identity network's z within 8e-6, where the largest z
is 28, and with every seed the same prediction for all 10,000 images. 83 s of CPU time on a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mlp_jax
from mlp_jax import Config, tables
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.cli.progress import live_line
from mlp_jax.drawing.canvas import COLORS, save
from mlp_jax.model import Layer, Params

NETWORKS = {  # name → hidden widths, activation, learning rate
    "softmax classifier": ((), "relu", 0.05),
    "identity 256-128": ((256, 128), "identity", 0.005),
    "ReLU 256-128": ((256, 128), "relu", 0.02),
}


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/linear_collapse.png")
    """Where the figure goes: .svg, .png or .pdf."""
    seeds: Count = 5
    """Number of seeds, of the weights and of the order of the examples."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, two seeds."""


def main(options: Options) -> None:
    """Train the three networks, print their accuracies and how far the identity network is from one matrix."""
    parts = experiment.Parts(options, sys.modules[__name__])
    seeds = range(2 if options.quick else options.seeds)
    made = {name: [parts(f"{name}, seed {at}", partial(train, options, name, at)) for at in seeds] for name in NETWORKS}
    found: dict[str, Any] = {name: gathered(each) for name, each in made.items()}
    rows = []
    for name, each in found.items():
        accuracies = (experiment.written(Estimate(**each[part]), 2) for part in ("train", "test"))
        rows.append((name, f"{each['parameters']:,}", *accuracies))
    apart = [each["collapse"] for each in made["identity 256-128"]]
    collapse = {"difference": max(each["difference"] for each in apart)}
    collapse |= {"largest": max(each["largest"] for each in apart), "same": min(each["same"] for each in apart)}
    test = {name: np.array([100 * of["test"] for of in each]) for name, each in made.items()}
    less = experiment.spread(test["identity 256-128"] - test["softmax classifier"])
    text = (
        f"{tables.text(('', 'parameters', 'train, %', 'test, %'), rows)}\n"
        f"median [least, most] of {len(seeds)} seeds; identity − softmax classifier, test, paired by seed: "
        f"{experiment.written(less, 2)}\n\n"
        "identity network against the product of its matrices, on all test examples and seeds:\n"
        f"largest difference of z {collapse['difference']:.1e} (largest z {collapse['largest']:.1f}), "
        f"same prediction {collapse['same']:.2%}\nfigure: {options.figure}"
    )
    draw(made, options.figure)
    found |= {"collapse": collapse, "identity_minus_softmax": less._asdict(), "figure": str(options.figure)}
    experiment.show(options, found, text, "digits, two seeds" if options.quick else None)


def gathered(each: list[dict]) -> dict[str, Any]:
    """Return what the seeds of one network have together: its parameters, and its accuracies in %."""
    accuracies = {part: experiment.spread([100 * of[part] for of in each])._asdict() for part in ("train", "test")}
    return {"parameters": each[0]["parameters"]} | accuracies


def train(options: Options, name: str, seed: int) -> dict:
    """Train one network; return its accuracies, at the end and on the way, and what its matrices alone do."""
    with live_line(quiet=options.json) as show:
        run = mlp_jax.train(configure(options, seed, *NETWORKS[name]), progress=show)
    curve = [(row["epoch"], row["test_accuracy"]) for row in run.history if row["step"]]
    found = {"parameters": mlp_jax.parameter_count(run.cell.network), "curve": curve}
    found |= {part: run.metrics[f"{part}_accuracy"] for part in ("train", "test")}
    if run.cell.network.activation == "identity":
        found["collapse"] = dict(zip(("difference", "largest", "same"), compare(run)))
    return found


def configure(options: Options, seed: int, hidden: tuple[int, ...], activation: str, learning_rate: float) -> Config:
    """Return the run of one network; the test part is evaluated on the way for the figure, nothing is chosen by it."""
    return Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        hidden=hidden,
        activation=activation,
        learning_rate=learning_rate,
        schedule="cosine",
        batch_size=64,
        epochs=40 if options.quick else 5,
        seed=seed,
        evaluate_on=("test",),
        evaluations=10 if options.quick else 20,
    )


def collapse(params: Params) -> Layer:
    """Return the one layer that equals these layers without activations, multiplied in float64."""
    W, b = np.eye(params[0].W.shape[1]), np.zeros(params[0].W.shape[1])
    for layer in params:
        W = np.asarray(layer.W, np.float64) @ W
        b = np.asarray(layer.W, np.float64) @ b + np.asarray(layer.b)
    return Layer(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32))


def compare(run: mlp_jax.Run) -> tuple[float, float, float]:
    """Return the largest difference of z between a network and its collapse, the largest z, the share that agrees."""
    x = jnp.asarray((run.dataset.test.x - run.dataset.center) * run.dataset.scale, jnp.float32)
    network = run.cell.network
    linear = mlp_jax.Network(inputs=network.inputs, outputs=network.outputs)
    z = jax.vmap(partial(mlp_jax.forward, network, run.params))(x)
    collapsed = jax.vmap(partial(mlp_jax.forward, linear, (collapse(run.params),)))(x)
    agree = jnp.mean(z.argmax(axis=1) == collapsed.argmax(axis=1))
    return float(jnp.abs(z - collapsed).max()), float(jnp.abs(z).max()), float(agree)


def draw(made: dict[str, list[dict]], path: Path) -> None:
    """Draw each network's test accuracy against the epoch: the median of the seeds, and from the least to the most."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (name, each), color, style, marker in zip(made.items(), COLORS, ("-", "--", "-"), "os^"):
        (epochs, *_), accuracies = np.array([of["curve"] for of in each]).transpose(2, 0, 1)
        low, middle, high = np.quantile(100 * accuracies, (0, 0.5, 1), axis=0)
        axes.plot(epochs, middle, style, color=color, marker=marker, markersize=3, label=name)
        axes.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0)
    axes.legend(frameon=False, reverse=True, loc="center right")
    axes.set(xlabel="epoch", ylabel="test accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


if __name__ == "__main__":
    script(main, Options)
