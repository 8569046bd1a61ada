"""All the optimizers of Ruder's overview: their paths on two surfaces, and MNIST at equal tuning.

    python experiments/gradient_descent_zoo.py --data-dir PATH/TO/mnist

Surfaces: Beale's function with its minimum at (3, 0.5), and the saddle x² − y². Each optimizer has the same number of
learning rates, a factor of √10 apart, and takes the one with the lowest mean of Beale's function along the path; it
keeps that rate on the saddle. MNIST: 784-64-10, mini-batches of 128, 3 epochs, cosine schedule; each optimizer has
seven learning rates, from 0.3 to 300 times its own default, and five seeds; the rate with the least median validation
error is chosen, and its test errors read.

Measured on MNIST: test error in %, mean [95 % interval] of 5 seeds, and how much more than rmsprop's, paired by seed:

    rmsprop   0.01    2.56 [2.44, 2.66]
    adam      0.01    2.71 [2.59, 2.82]  0.15 [0.03, 0.27]
    nesterov  0.16    2.74 [2.68, 2.79]  0.18 [0.07, 0.30]
    adadelta  3.2     2.74 [2.65, 2.83]  0.19 [0.05, 0.29]
    momentum  0.16    2.76 [2.67, 2.87]  0.20 [0.11, 0.27]
    nadam     0.0063  2.97 [2.87, 3.08]  0.42 [0.26, 0.54]
    adamax    0.02    3.33 [3.23, 3.47]  0.78 [0.62, 0.91]
    amsgrad   0.01    3.57 [3.42, 3.70]  1.02 [0.81, 1.18]
    adagrad   0.32    3.85 [3.61, 4.13]  1.29 [0.99, 1.62]
    sgd       1       4.65 [4.32, 4.92]  2.09 [1.76, 2.35]

No rate is at an edge. Nobody is crowned: the first five lie within 0.2 points, rmsprop was picked as the least of ten,
which widens what chance can do, and momentum, nesterov, adadelta and adam can't be told apart (−0.05 to −0.01, each
interval across 0). What is sure is that nadam, adamax, amsgrad, adagrad and sgd are behind, in three epochs. On Beale's
function nadam and adam come closest, rmsprop jitters, adadelta is on its way; on the saddle the adaptive ones leave
within 20 steps, sgd after 113, momentum after 161. About 5 minutes on 2 busy cores of a shared AMD EPYC machine.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mlp_jax
from mlp_jax import optimizers, tables
from mlp_jax.analysis import bootstrap
from mlp_jax.checks import Count, Positive
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.cli.progress import live_table
from mlp_jax.drawing.canvas import save
from mlp_jax.machine import devices
from mlp_jax.report.looks import LOOKS

QUICK = ("sgd", "momentum", "adam")
SURFACE_RATES = tuple(10.0 ** (-4 + k / 2) for k in range(10))
SURFACE_STEPS = 400
START = {"Beale": (1.0, 1.5), "saddle": (1.0, 0.001)}
HIDDEN = {  # which lines lie on one another
    "Beale": "adamax lies under amsgrad",
    "saddle": "sgd, momentum, nesterov and adagrad lie one on another",
}
MINIMUM = (3.0, 0.5)
SURFACE = ("optimizer", "rate", "beale", "to_minimum", "saddle_steps")


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    epochs: Positive = 3.0
    rates: Count = 7
    """Learning rates for each optimizer, a factor of √10 apart; the second is its default: short runs want more."""
    seeds: Count = 5
    """Number of seeds of each optimizer and rate."""
    figure: Path = Path("figures/gradient_descent_zoo.png")
    """Where the figure of the two surfaces goes: a .png, .svg or .pdf file."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three optimizers, two learning rates, two seeds."""


def main(options: Options) -> None:
    """Print how far each optimizer comes on each surface and on MNIST, and draw the paths."""
    devices.start_cpu_devices()
    names = QUICK if options.quick else tuple(optimizers.CLASSICAL)
    walks = {name: walk(name) for name in names}
    save(draw({name: paths for name, (_, paths) in walks.items()}), options.figure)
    surfaces = [dict(zip(SURFACE, surface_row(name, *walks[name]))) for name in names]
    parts = experiment.Parts(options, sys.modules[__name__])
    raced = [result(name, parts(f"training with {name}", lambda name=name: race(options, name))) for name in names]
    best = min(raced, key=lambda found: found["mean"]["value"])
    heads = ("optimizer", "rate", "Beale at the end", "to the minimum", "steps on the saddle")
    text = tables.text(heads, [surface_text(each) for each in surfaces]) + "\n\n"
    heads = ("optimizer", "rate", "test error, %", f"more than {best['optimizer']}", "edge")
    text += tables.text(heads, [row(found, best) for found in raced]) + f"\n\nfigure: {options.figure}"
    quick = "digits, three optimizers, two rates, two seeds" if options.quick else None
    experiment.show(options, {"surfaces": surfaces, "training": raced, "figure": str(options.figure)}, text, quick)


def surface_row(name: str, rate: float, paths: dict[str, np.ndarray]) -> tuple:
    """Return how one optimizer ends on both surfaces."""
    end = paths["Beale"][-1]
    away = np.abs(paths["saddle"][:, 1]) > 1
    steps = int(np.argmax(away)) if away.any() else None
    return name, rate, float(beale(end)), float(np.hypot(*(end - np.array(MINIMUM)))), steps


def surface_text(found: dict) -> tuple[str, ...]:
    """Return one row of the table of surfaces."""
    name, *numbers, steps = found.values()
    return name, *(f"{number:.2g}" for number in numbers), str(steps or f"> {SURFACE_STEPS}")


def beale(w):
    """Return Beale's function of w = (x, y)."""
    x, y = w[0], w[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def saddle(w):
    """Return x² − y²: a saddle at 0, left along y."""
    return w[0] ** 2 - w[1] ** 2


SURFACES = {"Beale": beale, "saddle": saddle}


def walk(name: str) -> tuple[float, dict[str, np.ndarray]]:
    """Return the learning rate of SURFACE_RATES with the lowest mean of Beale's function, and its paths."""
    paths = {surface: np.asarray(descend(name, surface, jnp.asarray(SURFACE_RATES))) for surface in SURFACES}
    with np.errstate(all="ignore"):  # the largest rates diverge
        best = int(np.nanargmin([beale(path.astype(float).T).mean() for path in paths["Beale"]]))
    return SURFACE_RATES[best], {surface: path[best] for surface, path in paths.items()}


@partial(jax.jit, static_argnums=(0, 1))
def descend(name: str, surface: str, rates: jax.Array) -> jax.Array:
    """Return the path from START for each learning rate, (rates, steps + 1, 2)."""
    hyper = optimizers.complete(name)
    start = jnp.array(START[surface])

    def path(rate):
        traced = hyper | {"learning_rate": rate}

        def step(state, _):
            w, opt_state = state
            grads = jax.grad(SURFACES[surface])(w)
            w, opt_state = optimizers.update(name, "constant", traced, grads, opt_state, w)
            return (w, opt_state), w

        first = (start, optimizers.build(name, "constant", traced).init(start))
        return jnp.concatenate([start[None], jax.lax.scan(step, first, length=SURFACE_STEPS)[1]])

    return jax.vmap(path)(rates)


def race(options: Options, name: str) -> dict:
    """Train `name` at each learning rate with each seed: the rates, and two errors for each of both."""
    default = optimizers.CLASSICAL[name].hyperparameters["learning_rate"].default
    assert default is not None
    rates = [default * 10 ** ((k - 1) / 2) for k in range(2 if options.quick else options.rates)]
    seeds = range(2 if options.quick else options.seeds)
    rate, seed = (grid.ravel() for grid in np.meshgrid(rates, seeds))
    with live_table(quiet=options.json) as show:
        trained = mlp_jax.train_many(configure(options, name), {"learning_rate": rate}, seed, progress=show)
    failed = np.asarray(trained.status) != "COMPLETE"
    errors = {part: np.where(failed, 1.0, trained.metrics[f"{part}_error"]) for part in ("validation", "test")}
    return {"rates": rates} | {part: each.reshape(len(seeds), -1).tolist() for part, each in errors.items()}


def result(name: str, raced: dict) -> dict:
    """Return the rate with the least median validation error, and the test errors of its seeds."""
    validation, test = np.array(raced["validation"]), np.array(raced["test"])
    best = int(np.argmin(np.median(validation, axis=0)))
    errors = 100 * test[:, best]
    edge = "lowest" if best == 0 else "highest" if best == len(raced["rates"]) - 1 else ""
    mean = bootstrap.interval(errors, bootstrap.mean)._asdict()
    return {"optimizer": name, "rate": raced["rates"][best], "edge": edge, "errors": errors.tolist(), "mean": mean}


def row(found: dict, best: dict) -> tuple[str, ...]:
    """Return one row of the table: test error in percent, and how much more than the least, paired by seed."""
    apart = bootstrap.paired(np.array(found["errors"]), np.array(best["errors"]), bootstrap.mean)
    more = "" if found is best else experiment.written(apart, 2)
    mean = experiment.written(bootstrap.Estimate(**found["mean"]), 2)
    return found["optimizer"], f"{found['rate']:.2g}", mean, more, found["edge"]


def configure(options: Options, name: str) -> mlp_jax.Config:
    """Return what the trials of one optimizer share."""
    return mlp_jax.Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        hidden=(64,),
        optimizer=name,
        batch_size=128,
        epochs=options.epochs,
        evaluations=1,
        evaluate_on=("validation", "test"),
    )


def draw(walks: dict[str, dict[str, np.ndarray]]):
    """Return the figure: the paths over each surface's contours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_surface(left, "Beale", walks, (-0.6, 4.2), (-2.0, 2.0), np.logspace(-2, 4, 22))
    draw_surface(right, "saddle", walks, (-1.2, 1.2), (-0.3, 2.0), np.linspace(-4, 1.4, 22))
    left.plot(*MINIMUM, "*", color="black", markersize=14, label="minimum")
    right.plot(0, 0, "x", color="black", markersize=9, label="saddle point")
    handles = {label: handle for axes in (left, right) for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside right center")
    return figure


def draw_surface(axes, surface: str, walks: dict[str, dict[str, np.ndarray]], x, y, levels) -> None:
    """Draw the contours of a surface and the paths on it, cut off where they leave the frame for good."""
    grid = np.mgrid[x[0] : x[1] : 300j, y[0] : y[1] : 300j]
    norm = "log" if surface == "Beale" else None
    axes.contour(*grid, SURFACES[surface](grid), levels=levels, cmap="Greys", norm=norm, linewidths=0.6)
    for number, (name, paths) in enumerate(walks.items()):
        width = 3 - 0.2 * number  # where two paths are one, both are seen
        axes.plot(*paths[surface].T, ".-", color=LOOKS[name][0], markersize=3, linewidth=width, alpha=0.85, label=name)
    axes.plot(*START[surface], "o", color="white", markeredgecolor="black", markersize=8, zorder=3, label="start")
    axes.set(xlim=x, ylim=y, xlabel="x", ylabel="y", title=f"{surface}, {SURFACE_STEPS} steps")
    axes.set_title(f"{axes.get_title()}\n{HIDDEN[surface]}", fontsize=11)


if __name__ == "__main__":
    script(main, Options)
