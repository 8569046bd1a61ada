"""All the optimizers of Ruder's overview: their paths on two surfaces, and MNIST at equal tuning.

    python experiments/gradient_descent_zoo.py --data-dir PATH/TO/mnist

Surfaces: Beale's function with its minimum at (3, 0.5), and the saddle x² − y². Each optimizer has the same number of
learning rates, a factor of √10 apart, and takes the one with the lowest mean of Beale's function along the path; it
keeps that rate on the saddle. MNIST: 784-64-10, mini-batches of 128, 3 epochs, cosine schedule; each optimizer has the
same number of learning rates, from 0.3 to 30 times its own default; one is chosen on the validation examples, and its
test error read.

Measured (MNIST, chosen rate, test error): sgd 1: 4.71 %, momentum 0.16: 2.68 %, nesterov 0.16: 2.79 %, adagrad 0.32:
3.62 %, rmsprop 0.01: 2.66 %, adadelta 3.2: 2.81 %, adam 0.01: 2.65 %, adamax 0.02: 3.59 %, nadam 0.02: 2.86 %, amsgrad
0.032: 3.71 %. Adagrad's and AMSGrad's rates are at their upper edge. One seed: differences below 0.2 % are noise. On
Beale's function nadam and adam come closest, RMSProp jitters, Adadelta is on its way; on the saddle the adaptive ones
leave within 20 steps, sgd after 113, momentum after 161. 90 s on 2 cores of a shared AMD EPYC machine.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mlp_jax
from mlp_jax import optimizers, tables
from mlp_jax.cli.entry import script
from mlp_jax.report.canvas import save

QUICK = ("sgd", "momentum", "adam")
SURFACE_RATES = tuple(10.0 ** (-4 + k / 2) for k in range(10))
SURFACE_STEPS = 400
START = {"Beale": (1.0, 1.5), "saddle": (1.0, 0.001)}
MINIMUM = (3.0, 0.5)


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    epochs: float = 3.0
    rates: int = 5
    """Learning rates for each optimizer, a factor of √10 apart; the second is its default: short runs want more."""
    seed: int = 0
    figure: Path = Path("figures/gradient_descent_zoo.png")
    """Where the figure of the two surfaces goes: a .png, .svg or .pdf file."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three optimizers, two learning rates."""


def main(options: Options) -> None:
    """Print how far each optimizer comes on each surface and on MNIST, and draw the paths."""
    names = QUICK if options.quick else tuple(optimizers.OPTIMIZERS)
    walks = {name: walk(name) for name in names}
    rows = []
    for name, (rate, paths) in walks.items():
        end = paths["Beale"][-1]
        apart = float(np.hypot(*(end - np.array(MINIMUM))))
        rows.append((name, f"{rate:.2g}", f"{float(beale(end)):.2g}", f"{apart:.2g}", escape(paths["saddle"])))
    print(tables.text(("optimizer", "rate", "Beale at the end", "to the minimum", "steps on the saddle"), rows))
    save(draw({name: paths for name, (_, paths) in walks.items()}), options.figure)
    print(f"figure: {options.figure}")
    heads = ("optimizer", "rate", "edge", "validation error", "test error", "training loss")
    print("\n" + tables.text(heads, [race(options, name) for name in names]))


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


def escape(path: np.ndarray) -> str:
    """Return the first step with |y| > 1 on the saddle."""
    away = np.abs(path[:, 1]) > 1
    return str(int(np.argmax(away))) if away.any() else f"> {SURFACE_STEPS}"


def race(options: Options, name: str) -> tuple[str, ...]:
    """Train `name` at each learning rate and return the row of the best on validation, with its test error."""
    default = optimizers.OPTIMIZERS[name].hyperparameters["learning_rate"].default
    assert default is not None
    count = 2 if options.quick else options.rates
    rates = [default * 10 ** ((k - 1) / 2) for k in range(count)]
    runs = [mlp_jax.train(configure(options, name, rate)) for rate in rates]
    errors = [run.metrics["validation_error"] if run.status == "COMPLETE" else np.inf for run in runs]
    best = int(np.argmin(errors))
    metrics = runs[best].metrics
    edge = "yes" if best in (0, count - 1) else ""
    errors = (f"{metrics[f'{part}_error']:.2%}" for part in ("validation", "test"))
    return name, f"{rates[best]:.2g}", edge, *errors, f"{metrics['train_loss']:.4f}"


def configure(options: Options, name: str, rate: float) -> mlp_jax.Config:
    """Return one run."""
    return mlp_jax.Config(
        dataset="digits" if options.quick else "mnist",
        data_dir=options.data_dir,
        hidden=(64,),
        optimizer=name,
        learning_rate=rate,
        batch_size=128,
        epochs=options.epochs,
        seed=options.seed,
        evaluations=1,
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
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    return figure


def draw_surface(axes, surface: str, walks: dict[str, dict[str, np.ndarray]], x, y, levels) -> None:
    """Draw the contours of a surface and the paths on it, cut off where they leave the frame for good."""
    grid = np.mgrid[x[0] : x[1] : 300j, y[0] : y[1] : 300j]
    norm = "log" if surface == "Beale" else None
    axes.contour(*grid, SURFACES[surface](grid), levels=levels, cmap="Greys", norm=norm, linewidths=0.6)
    for number, (name, paths) in enumerate(walks.items()):
        width = 3 - 0.2 * number  # where two paths are one, both are seen
        axes.plot(*paths[surface].T, ".-", color=f"C{number}", markersize=3, linewidth=width, alpha=0.85, label=name)
    axes.plot(*START[surface], "o", color="white", markeredgecolor="black", markersize=8, zorder=3)
    axes.set(xlim=x, ylim=y, xlabel="x", ylabel="y", title=f"{surface}, {SURFACE_STEPS} steps")


if __name__ == "__main__":
    script(main, Options)
