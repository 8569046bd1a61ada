"""Does the full gradient work? SGD, mini-batches, full gradients, conjugate gradients and L-BFGS from one start.

    python experiments/full_gradient.py --data-dir PATH/TO/mnist

The slides say that for a neural network it doesn't. Here is the training loss of 60,000 examples (with l2 = 1e-4)
against passes over the data, on a convex problem, the softmax classifier, and on one that is not, an MLP 784-32-10.
One full gradient is one pass as one epoch of SGD is; a loss alone, as a line search asks for, counts as one too.
A method with a fixed rate has that of four which ends lowest with a seed of its own.

Measured, least to most of 3 seeds: training loss after 200 passes, 20 for SGD, and test error in %. On another machine
the softmax losses agree to 0.001 (the minimum is 0.25925); rounding alone changes the MLP's by up to 8 %:

                                softmax         MLP             test error of both
    SGD, B = 1                  0.266 to 0.269  0.066 to 0.075  7.4 to 7.7   2.9 to 3.3
    SGD, B = 64                 0.270 to 0.271  0.074 to 0.078  7.6 to 7.7   2.9 to 3.0
    full gradient, fixed rate   0.318           0.255 to 0.370  8.3          7.1 to 10.2
    full gradient, line search  0.379           0.371 to 0.407  9.6          9.8 to 10.6
    CG, Fletcher-Reeves         0.263           0.115 to 0.134  7.6          3.8 to 4.3
    CG, Polak-Ribière           0.263           0.108 to 0.143  7.5          3.7 to 4.7
    CG, Hestenes-Stiefel        0.261           0.084 to 0.114  7.4          3.4 to 4.2
    CG, Dai-Yuan                0.260           0.085 to 0.110  7.3          3.3 to 3.9
    L-BFGS                      0.259           0.067 to 0.082  7.3          3.5 to 3.7

Passes that L-BFGS needs for each epoch of the better SGD, to the loss that SGD has after so many epochs:

               1 epoch    2         5         10        20
    softmax    20 to 21   12        7 to 8    5         3 to 4
    MLP        46 to 51   28 to 34  16 to 24  14 to 17  not in 200 passes

So on the MLP the full gradient works, and costs much more than the slides' mini-batches: what L-BFGS pays falls from
about 50 times SGD's passes to 15, the further both go, and plain descent at the best of four rates has not reached in
200 passes what SGD reaches in one. On the convex problem L-BFGS reaches the minimum, 0.007 to 0.012 above which SGD
with a constant rate stays. The slides' "it doesn't work" for a neural network is too strong, as in batch_size.py: it is
dear, most of all early. On the MLP Dai-Yuan and Hestenes-Stiefel come further than Fletcher-Reeves and Polak-Ribière
with every seed. 14 minutes on 2 cores of a shared AMD EPYC machine, beside other work.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mlp_jax
from mlp_jax import losses, model, rows, tables
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.drawing.canvas import COLORS, save
from mlp_jax.lecture import full_gradient

L2 = 1e-4
RATES = {1: (0.001, 0.003, 0.01, 0.03), 64: (0.03, 0.1, 0.3, 1.0), "full": (0.1, 0.3, 1.0, 3.0)}  # by batch size
QUICK = ("gradient_descent", "cg_polak_ribiere", "lbfgs")
NAMES = {
    "sgd_1": "SGD, B = 1", "sgd_64": "SGD, B = 64", "gradient_descent": "full gradient, fixed rate",
    "gradient_descent_line_search": "full gradient, line search", "cg_fletcher_reeves": "CG, Fletcher-Reeves",
    "cg_polak_ribiere": "CG, Polak-Ribière", "cg_hestenes_stiefel": "CG, Hestenes-Stiefel",
    "cg_dai_yuan": "CG, Dai-Yuan", "lbfgs": "L-BFGS",
}  # fmt: skip
ENDED = {  # how a solver ends, in words
    "CONVERGED": "converged", "BUDGET": "budget used", "LINE_SEARCH_FAILED": "line search failed",
    "NON_FINITE": "loss not finite",
}  # fmt: skip
EPOCHS = (1, 2, 5, 10, 20)  # of SGD, whose loss the others are asked to reach


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    passes: Count = 200
    """Budget of the full-gradient methods in passes over the data."""
    epochs: Count = 20
    """Budget of SGD with mini-batches."""
    hidden: Count = 32
    """Width of the MLP's hidden layer."""
    seeds: Count = 3
    """Number of fresh seeds, of the weights and of the order of the examples; seed 0 chooses the rates."""
    figure: Path = Path("figures/full_gradient.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three solvers, one rate, one seed, 40 passes, 4 epochs."""


class Problem(NamedTuple):
    """One network on one data set, and the loss that every method lowers."""

    network: mlp_jax.Network
    train: mlp_jax.Data
    test: mlp_jax.Data
    loss: Callable[[model.Params], jax.Array]
    params: model.Params
    seed: int


@jax.jit
def measure(loss: Callable, params: model.Params) -> jax.Array:
    """Return the training loss."""
    return loss(params)


class Curve(NamedTuple):
    """One method's loss against passes over the data; `test_error` is that of its last parameters."""

    rate: float | None
    passes: list[float]
    loss: list[float]
    test_error: float
    seconds: float
    status: str


Curves = dict[str, list[Curve]]  # method → one for each seed


def main(options: Options) -> None:
    """Print two tables for each problem and draw both."""
    parts = experiment.Parts(options, sys.modules[__name__])
    drawn, result, text = {}, {}, []
    for title, hidden in (("softmax classifier", ()), (f"MLP, {options.hidden} hidden units", (options.hidden,))):
        curves = compare(options, parts, title, hidden)
        lowest = 0.0 if hidden else parts(f"{title}, minimum", partial(minimum, options))
        heads = ("method", "rate", "loss at 1", "10", "end", "passes", "s/pass", "test error, %", "ended")
        text += [
            f"{title}; least to most of {len(curves['sgd_1'])} seeds",
            tables.text(heads, map(row, curves, curves.values())),
        ]
        text += [f"minimum {lowest:.5f}, by L-BFGS to convergence"] if lowest else []
        reached = {name: ratios(curves, name) for name in curves if not name.startswith("sgd")}
        heads = ("passes for each epoch of SGD, after", *(f"{epochs} ep." for epochs in EPOCHS))
        lines = [(NAMES[name], *[spread(values) for values in found.values()]) for name, found in reached.items()]
        text += ["", tables.text(heads, lines), ""]
        drawn[title] = curves, lowest
        ends = {name: [curve.loss[-1] for curve in of] for name, of in curves.items()}
        errors = {name: [curve.test_error for curve in of] for name, of in curves.items()}
        result[title] = {"loss": ends, "test_error": errors, "minimum": lowest or None, "passes_per_epoch": reached}
    save(draw(drawn), options.figure)
    text.append(f"figure: {options.figure}")
    quick = "digits, three solvers, one rate, one seed, 40 passes, 4 epochs" if options.quick else None
    experiment.show(options, result | {"figure": str(options.figure)}, "\n".join(text), quick)


@lru_cache(1)
def pose(options: Options, hidden: tuple[int, ...], seed: int) -> Problem:
    """Load the data without a validation part: what is compared is how fast the training loss falls."""
    data = mlp_jax.load("digits" if options.quick else "mnist", data_dir=options.data_dir, validation=0)
    init = "he" if hidden else "zeros"
    network = mlp_jax.Network(inputs=data.inputs, hidden=hidden, outputs=len(data.classes), init=init)
    cell = mlp_jax.Cell(network=network)
    train, test = (rows.place(cell.network, data, split) for split in (data.train, data.test))
    loss = full_gradient.mean_loss(network, train, l2=L2)
    return Problem(network, train, test, loss, mlp_jax.init(jax.random.key(seed), network), seed)


def compare(options: Options, parts: experiment.Parts, title: str, hidden: tuple[int, ...]) -> Curves:
    """Run every method with every fresh seed, at the rate that ends lowest with seed 0 where it has a fixed one."""

    def made(name: str, rate: float | None, seed: int) -> Curve:
        words = "" if rate is None else f", rate {rate:g}"
        return Curve(
            *parts(f"{title}, {NAMES[name]}{words}, seed {seed}", partial(run, options, hidden, seed, name, rate))
        )

    chosen = {
        name: rates[0] if len(rates) == 1 else best([made(name, rate, 0) for rate in rates]).rate
        for name, rates in methods(options.quick).items()
    }
    of_seed = []
    for seed in range(1, 2 if options.quick else 1 + options.seeds):
        differ = lambda name, seed=seed: (
            seed if hidden or name.startswith("sgd") else 1
        )  # all examples, from zeros: one
        of_seed.append({name: made(name, rate, differ(name)) for name, rate in chosen.items()})
    return {name: [each[name] for each in of_seed] for name in chosen}


def methods(quick: bool) -> Mapping[str, tuple[float | None, ...]]:
    """Return the methods and the rates that each is given."""
    rates = {size: given[2:3] if quick else given for size, given in RATES.items()}
    solvers = dict.fromkeys(QUICK if quick else full_gradient.SOLVERS, (None,))
    return {"sgd_1": rates[1], "sgd_64": rates[64]} | solvers | {"gradient_descent": rates["full"]}


def run(options: Options, hidden: tuple[int, ...], seed: int, name: str, rate: float | None) -> Curve:
    """Run one method at one rate."""
    epochs, passes = (4, 40) if options.quick else (options.epochs, options.passes)
    problem = pose(options, hidden, seed)
    if name.startswith("sgd"):
        return stochastic(problem, int(name.removeprefix("sgd_")), rate or 0.0, epochs)
    return deterministic(problem, name, rate, passes)


def best(curves: list[Curve]) -> Curve:
    """Return the curve that ends lowest."""
    return min(curves, key=lambda curve: np.nan_to_num(curve.loss[-1], nan=np.inf))


def loss_at(curve: Curve, passes: float) -> float:
    """Return the loss of the last iterate within so many passes."""
    return curve.loss[np.searchsorted(curve.passes, passes * (1 + 1e-4), side="right") - 1]


def ratios(curves: Curves, name: str) -> dict[str, list[float | None]]:
    """Return how many passes `name` takes for each epoch of the better SGD, to its loss; None: more than the budget."""
    found: dict[str, list[float | None]] = {}
    for seed, curve in enumerate(curves[name]):
        for epochs in EPOCHS:
            both = [curves[sgd][seed] for sgd in ("sgd_1", "sgd_64")]
            loss = min(loss_at(each, epochs) for each in both)
            there = np.nonzero(np.asarray(curve.loss) <= loss)[0]
            reached = len(there) > 0 and epochs <= max(each.passes[-1] for each in both) * (1 + 1e-4)
            found.setdefault(str(epochs), []).append(curve.passes[there[0]] / epochs if reached else None)
    return found


def stochastic(problem: Problem, batch_size: int, rate: float, epochs: int) -> Curve:
    """Train with SGD at a constant rate and measure the loss on the way."""
    n = len(problem.train.y)
    cell = mlp_jax.Cell(network=problem.network, optimizer="sgd", batch_size=batch_size)
    hyper = {name: jnp.asarray(value) for name, value in mlp_jax.complete(cell, learning_rate=rate, l2=L2).items()}
    seed, total = jnp.uint32(problem.seed), epochs * n // batch_size
    state = mlp_jax.start(cell, hyper, seed)
    steps, values = np.unique(np.append(0, np.geomspace(total / epochs / 20, total, 25)).astype(int)), []
    seconds = 0.0
    for here, there in zip(np.append(0, steps), steps):
        begin = time.perf_counter()
        state = jax.block_until_ready(mlp_jax.advance(cell, hyper, seed, problem.train, state, jnp.int32(there - here)))
        seconds += time.perf_counter() - begin
        values.append(float(measure(problem.loss, state.params)))
    ended = "NON_FINITE" if int(state.failed) >= 0 else "BUDGET"
    return Curve(rate, (steps * batch_size / n).tolist(), values, error(problem, state.params), seconds, ended)


def deterministic(problem: Problem, name: str, rate: float | None, passes: int) -> Curve:
    """Run a full-gradient solver."""
    begin = time.perf_counter()
    solution = full_gradient.solve(name, problem.loss, problem.params, budget=passes, learning_rate=rate)
    seconds = time.perf_counter() - begin
    ends = error(problem, solution.params), seconds, solution.status
    return Curve(rate, solution.history.passes.tolist(), solution.history.loss.tolist(), *ends)


def error(problem: Problem, params: model.Params) -> float:
    """Return the share of test examples that are classified wrongly."""
    sums = mlp_jax.evaluate(mlp_jax.Cell(network=problem.network), params, problem.test)
    return float(losses.metrics(sums)["error"])


def minimum(options: Options) -> float:
    """Return the convex problem's lowest loss."""
    problem = pose(options, (), 0)
    return float(full_gradient.solve("lbfgs", problem.loss, problem.params, budget=1000).history.loss.min())


def row(name: str, of: list[Curve]) -> tuple[str, ...]:
    """Return one row of the table, from the least of the seeds to the most."""
    at = [spread([loss_at(curve, passes) for curve in of], 3) for passes in (1, 10, np.inf)]
    spent = f"{max(curve.passes[-1] for curve in of):.0f}", f"{min(c.seconds / c.passes[-1] for c in of):.2f}"
    rates = sorted({curve.rate for curve in of if curve.rate is not None})
    words = ", ".join(f"{rate:g}" for rate in rates)
    errors = spread([100 * curve.test_error for curve in of], 1)
    return NAMES[name], words, *at, *spent, errors, ", ".join(sorted({ENDED[curve.status] for curve in of}))


def spread(values: list[float | None], digits: int = 0) -> str:
    """Return the least and the most of the seeds; – where one of them did not come so far."""
    if None in values:
        return "–"
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))  # pyright: ignore[reportArgumentType]
    return low if low == high else f"{low} to {high}"


def style(name: str) -> dict:
    """Return how a method is drawn: SGD thick, plain descent grey, conjugate gradients green, each with its dashes."""
    if name.startswith("sgd"):
        return {"color": COLORS[1] if name == "sgd_1" else COLORS[4], "linewidth": 2.8}
    if name.startswith("gradient_descent"):
        return {"color": "0.45", "linestyle": "--" if "line_search" in name else "-"}
    if name == "lbfgs":
        return {"color": COLORS[0], "linewidth": 1.8}
    return {"color": COLORS[2], "linestyle": ("-", "--", ":", "-.")[sorted(full_gradient.CONJUGACY).index(name)]}


def draw(drawn: dict[str, tuple[Curves, float]]):
    """Return the figure: one panel for each problem, with the first seed of each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (title, (curves, lowest)) in zip(panels, drawn.items()):
        for name, (curve, *_) in curves.items():
            passes, loss = np.asarray(curve.passes), np.asarray(curve.loss) - lowest
            seen = (passes > 0) & (loss > 0)  # a logarithmic axis has no place for the start, nor for the minimum
            axes.plot(passes[seen], loss[seen], label=NAMES[name], **style(name))
        axes.set(xscale="log", yscale="log", title=title, xlabel="passes over the data (epochs)")
        axes.set_ylabel("training loss − its minimum" if lowest else "training loss")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=5, frameon=False)
    return figure


if __name__ == "__main__":
    script(main, Options)
