"""Backpropagation (L13, L14 of the lecture): a scalar example, the gradient by hand, the memory of updating early.

    python experiments/backpropagation.py --data-dir PATH/TO/mnist

Prints one iteration of f(x) = w2·max{0, w1·max{0, w0·x}} in the slides' order, each weight updated as soon as its
derivative exists, and draws it: as a graph, as a strip of frames and as a film (backpropagation_strip.png, _film.gif);
compares the written-out gradient of a 784-128-64-10 network, mean over 64 images, with jax.grad and with central
differences; and lists what a step with momentum takes beside parameters, optimizer state and mini-batch when (a) all
gradients are computed before a second program updates, (b) both are one program, as any jitted step is, (c) W^(k) is
updated as soon as its gradient exists.

Measured: the gradient differs from jax.grad by 1e-7 of its largest entry in float32 and less than 1e-15 in float64,
from central differences by 7e-10. MiB of a step, as XLA's CPU compiler plans them:

                  (a)     (b)     (c)
    10 × 2048   148.6    24.6    25.0    (c) takes 83 % less than (a)
    30 × 512     32.7     8.1     8.3    75 % less
    3 × 4096    130.2    67.2    68.0    48 % less: one matrix is half of all
    784-800-10    2.6     2.6     2.6    nothing: one matrix is all

Updating as it goes saves what (a) holds and (b) does not: beside an ordinary jitted step it saves nothing (1 to 2 %
more). (c) holds one layer's gradient (16 MiB for 2048²) and the activations, (a) all gradients. (b) is as small as
(c) because XLA orders the program by itself so that each layer is updated before the next gradient is computed, and one
spare matrix serves all layers; it can't where the optimizer needs every gradient first: clipped by the norm of the
whole gradient, (b) of the first row takes 144.6 MiB. 30 to 50 s on 2 cores of a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import mlp_jax
from mlp_jax import losses, model, tables
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.drawing.canvas import COLORS, save
from mlp_jax.lecture import backpropagation, filmstrip, scalar
from mlp_jax.lecture.backpropagation import Memory
from mlp_jax.model import Network

LOSS = "cross_entropy"
BATCH_SIZE = 64
ENTRIES = 40  # of each W and b that central differences are taken of
H = 1e-5  # half their width, in float64
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/backpropagation.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST and small networks, in seconds."""


def main(options: Options) -> None:
    """Print the trace, the checks and the memory table, and draw the graph and the table."""
    parts = experiment.Parts(options, sys.modules[__name__])
    steps = scalar.trace(w0=0.5, w1=1.2, w2=0.8, x=2.0, y=1.5, learning_rate=0.1)
    compared = parts("gradient by hand", partial(differences, options))
    chosen = networks(options.quick)
    plans = {name: Memory(*parts(f"memory of {name}", partial(plan, net))) for name, net in chosen.items()}
    deep = next(iter(chosen.values()))
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9))
    whole = parts("memory, clipped", lambda: backpropagation.memory(deep, LOSS, clipped, BATCH_SIZE).ordinary)
    draw(steps, plans, options.figure)
    strip, film = (options.figure.with_name(f"{options.figure.stem}_{name}") for name in ("strip.png", "film.gif"))
    save(filmstrip.strip(steps), strip)
    filmstrip.save_film(steps, film)
    lines = [
        f"gradient by hand in {dtype}, largest difference from {against:<20} {difference:.1e}"
        for dtype, against, difference in compared
    ]
    text = (
        f"{scalar.table(steps)}\n\n" + "\n".join(lines) + f"\n\n{memory_table(plans)}\n"
        f"clipped by the norm of the whole gradient, (b) of the first row takes {whole / MIB:.1f} MiB\n"
        f"figures: {options.figure}, {strip}, {film}"
    )
    result = {"differences": [dict(zip(("dtype", "against", "difference"), each)) for each in compared]}
    result |= {"memory": {name: each._asdict() for name, each in plans.items()}, "clipped": whole}
    experiment.show(options, result, text, "digits, one small network" if options.quick else None)


def differences(options: Options) -> list[tuple[str, str, float]]:
    """Compare the mean gradient of one mini-batch: data type, what with, largest difference over largest entry."""
    dataset = mlp_jax.load("digits" if options.quick else "mnist", data_dir=options.data_dir)
    network = Network(inputs=dataset.inputs, hidden=(128, 64), outputs=len(dataset.classes))
    drawn = jax.jit(partial(model.init, network=network))(jax.random.key(0))
    rows = (dataset.train.x[:BATCH_SIZE] - dataset.center) * dataset.scale
    labels = dataset.train.y[:BATCH_SIZE].astype(np.int32)
    found = []
    for dtype in ("float32", "float64"):
        params = jax.tree.map(lambda leaf, dtype=dtype: np.array(leaf, dtype), drawn)
        with jax.enable_x64(dtype == "float64"):
            mean_loss = jax.jit(partial(_mean_loss, network, rows.astype(dtype), labels))
            ours = jax.jit(partial(_mean_gradient, network, rows.astype(dtype), labels))(params)
            ours, theirs = jax.tree.map(np.asarray, (ours, jax.jit(jax.grad(mean_loss))(params)))
            found.append((dtype, "jax.grad", _largest(jax.tree.map(np.subtract, ours, theirs)) / _largest(theirs)))
            if dtype == "float64":
                found.append((dtype, "central differences", _from_central(mean_loss, params, ours) / _largest(theirs)))
    return found


def networks(quick: bool) -> dict[str, Network]:
    """Return the networks whose memory is planned, by what they are called."""
    if quick:
        return {"6 × 256": Network(inputs=256, hidden=(256,) * 5, outputs=10)}
    return {
        "10 × 2048": Network(inputs=2048, hidden=(2048,) * 9, outputs=10),
        "30 × 512": Network(inputs=512, hidden=(512,) * 29, outputs=10),
        "3 × 4096": Network(inputs=4096, hidden=(4096,) * 2, outputs=10),
        "784-800-10": Network(inputs=784, hidden=(800,), outputs=10),
    }


def plan(network: Network) -> Memory:
    """Return the memory that a step with momentum takes on `network`."""
    return backpropagation.memory(network, LOSS, optax.sgd(0.1, momentum=0.9), BATCH_SIZE)


def memory_table(plans: dict[str, Memory]) -> str:
    """Return the plans as text, in MiB, and how much less (c) takes than (a) and (b)."""
    rows = []
    for name, (first, ordinary, early) in plans.items():
        sizes = (f"{size / MIB:.1f}" for size in (first, ordinary, early))
        rows.append((name, *sizes, *(f"{round(100 * (early / other - 1))}" for other in (first, ordinary))))
    heads = ("MiB", "(a) gradients first", "(b) one program", "(c) as you go", "(c) beside (a), %", "beside (b), %")
    return tables.text(heads, rows)


def draw(steps: tuple[scalar.Step, ...], plans: dict[str, Memory], path: Path) -> None:
    """Draw the scalar example's graph above the memory of each network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    graph, bars = figure.subplots(2, 1)
    graph.set_title(
        "L = ½ (w2·max{0, w1·max{0, w0·x}} − y)²: values in blue, ∂L/∂node in red, each edge's derivative in violet",
        fontsize=10,
    )
    scalar.draw(tuple(step for step in steps if step.kind == "value" and step.part != "after"), graph)
    names = ("(a) all gradients, then a second program", "(b) both in one program", "(c) update as you go")
    for shift, name, color in zip((-0.27, 0, 0.27), names, ("0.75", COLORS[5], COLORS[0])):
        sizes = [memory[names.index(name)] / MIB for memory in plans.values()]
        drawn = bars.bar(np.arange(len(plans)) + shift, sizes, 0.25, label=name, color=color)
        bars.bar_label(drawn, fmt="{:.0f}" if max(sizes) > 10 else "{:.1f}", fontsize=8)
    bars.set_xticks(range(len(plans)), list(plans))
    bars.set_ylabel("MiB beside parameters and state")
    bars.set_title(f"memory of a step with momentum, batch size {BATCH_SIZE}; layers × width", fontsize=10)
    bars.spines[["top", "right"]].set_visible(False)
    bars.legend(frameon=False, fontsize=9)
    save(figure, path)


def _mean_loss(network: Network, x, labels, params):
    of_example = lambda x, y: losses.LOSSES[LOSS](network, mlp_jax.forward(network, params, x), y)
    return jnp.mean(jax.vmap(of_example)(x, labels))


def _mean_gradient(network: Network, x, labels, params):
    each = jax.vmap(lambda x, y: backpropagation.gradient(network, LOSS, params, x, y)[1])(x, labels)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), each)


def _largest(arrays) -> float:
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(arrays))


def _from_central(mean_loss, params, grads) -> float:
    """Return the largest difference from (L(w + H) − L(w − H)) / 2H over ENTRIES random entries of each array."""
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    apart = []
    for leaf, grad in zip(leaves, jax.tree.leaves(grads), strict=True):
        for place in map(tuple, rng.integers(0, leaf.shape, (ENTRIES, leaf.ndim))):
            before, sides = leaf[place], []
            for moved in (before + H, before - H):
                leaf[place] = moved
                sides.append(float(mean_loss(jax.tree.unflatten(structure, leaves))))
            leaf[place] = before
            apart.append(abs((sides[0] - sides[1]) / (2 * H) - float(grad[place])))
    return max(apart)


if __name__ == "__main__":
    script(main, Options)
