"""Does the full gradient work? SGD, mini-batches, full gradients, conjugate gradients and L-BFGS from one start.

    python experiments/full_gradient.py --data-dir PATH/TO/mnist

The slides say that for a neural network it doesn't. Here is the training loss of 60,000 examples (with l2 = 1e-4)
against passes over the data, on a convex problem, the softmax classifier, and on one that is not, an MLP 784-32-10.
One full gradient is one pass as one epoch of SGD is; a loss alone, as a line search asks for, counts as one too.
Methods with a fixed rate show the best of four.

Measured: loss after 200 passes, 20 for SGD (s per pass and wall time are those of a crowded machine):

                                softmax   MLP      test error of both
    SGD, B = 1                   0.2711  0.0692      7.8 %   3.2 %
    SGD, B = 64                  0.2722  0.0782      7.8 %   3.3 %
    full gradient, fixed rate    0.3184  0.2648      8.3 %   7.3 %
    full gradient, line search   0.3786  0.3955      9.6 %  10.3 %
    CG, Fletcher-Reeves          0.2630  0.1328      7.5 %   4.2 %
    CG, Polak-Ribière            0.2615  0.1197      7.4 %   3.9 %
    CG, Hestenes-Stiefel         0.2606  0.0953      7.4 %   3.4 %
    CG, Dai-Yuan                 0.2596  0.0970      7.4 %   3.4 %
    L-BFGS                       0.2593  0.0720      7.3 %   3.4 %      (softmax: minimum 0.25925)

So the slide is right about plain descent: on the MLP 200 full gradients do what one epoch of mini-batches does. With
conjugate directions or L-BFGS the full gradient works: on the MLP it needs about ten times the passes of SGD; on the
convex problem it reaches the minimum, 0.01 above which SGD with a constant rate stays. At 200 passes CG is 0.1 to 1.4 %
above L-BFGS, given 800 at most 0.04 % (SciPy from the same start: L-BFGS-B 0.25925, CG 0.2615 at 200 passes and 0.25927
in the end). L-BFGS on the MLP ends between 0.072 and 0.074, by rounding. 4 min 53 s on 2 cores of a shared AMD EPYC
machine.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import mlp_jax
from mlp_jax import losses, model, rows, tables
from mlp_jax.cli.entry import script
from mlp_jax.lecture import full_gradient
from mlp_jax.report.canvas import save

L2 = 1e-4
RATES = {1: (0.001, 0.003, 0.01, 0.03), 64: (0.03, 0.1, 0.3, 1.0), "full": (0.1, 0.3, 1.0, 3.0)}  # by batch size
QUICK = ("gradient_descent", "cg_polak_ribiere", "lbfgs")


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    passes: int = 200
    """Budget of the full-gradient methods in passes over the data."""
    epochs: int = 20
    """Budget of SGD with mini-batches."""
    hidden: int = 32
    """Width of the MLP's hidden layer."""
    seed: int = 0
    figure: Path = Path("figures/full_gradient.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three solvers, one rate, 40 passes, 4 epochs."""


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

    method: str
    passes: np.ndarray
    loss: np.ndarray
    test_error: float
    seconds: float
    status: str


def main(options: Options) -> None:
    """Print a table for each problem and draw both."""
    drawn = {}
    for title, hidden in (("softmax classifier", ()), (f"MLP, {options.hidden} hidden units", (options.hidden,))):
        problem = pose(options, hidden)
        print(f"{title}: {mlp_jax.parameter_count(problem.network):,} parameters, {len(problem.train.y):,} examples")
        curves = list(compare(options, problem))
        heads = ("method", "loss at 1", "10", "end", "passes", "s/pass", "test error", "ended")
        print(tables.text(heads, map(row, curves)), flush=True)
        lowest = 0.0 if hidden else minimum(problem, 5 * options.passes)
        print(f"minimum {lowest:.5f}, by L-BFGS to convergence\n" if lowest else "", flush=True)
        drawn[title] = curves, lowest
    save(draw(drawn), options.figure)
    print(f"figure: {options.figure}")


def pose(options: Options, hidden: tuple[int, ...]) -> Problem:
    """Load the data without a validation part: what is compared is how fast the training loss falls."""
    data = mlp_jax.load("digits" if options.quick else "mnist", data_dir=options.data_dir, validation=0)
    init = "he" if hidden else "zeros"
    network = mlp_jax.Network(inputs=data.inputs, hidden=hidden, outputs=len(data.classes), init=init)
    cell = mlp_jax.Cell(network=network)
    train, test = (rows.place(cell.network, data, split) for split in (data.train, data.test))
    loss = full_gradient.mean_loss(network, train, l2=L2)
    return Problem(network, train, test, loss, mlp_jax.init(jax.random.key(options.seed), network), options.seed)


def compare(options: Options, problem: Problem) -> Iterator[Curve]:
    """Run every method; of several rates the one with the lowest loss at the end is kept."""
    epochs, passes = (4, 40) if options.quick else (options.epochs, options.passes)
    rates = {size: given[2:3] if options.quick else given for size, given in RATES.items()}
    for size in (1, 64):
        yield best([stochastic(problem, size, rate, epochs) for rate in rates[size]])
    for name in QUICK if options.quick else full_gradient.SOLVERS:
        fixed = rates["full"] if name == "gradient_descent" else (None,)
        yield best([deterministic(problem, name, rate, passes) for rate in fixed])


def best(curves: list[Curve]) -> Curve:
    """Return the curve that ends lowest."""
    return min(curves, key=lambda curve: np.nan_to_num(curve.loss[-1], nan=np.inf))


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
    label = f"SGD, B = {batch_size}, rate {rate:g}"
    ended = "NON_FINITE" if int(state.failed) >= 0 else "BUDGET"
    return Curve(label, steps * batch_size / n, np.array(values), error(problem, state.params), seconds, ended)


def deterministic(problem: Problem, name: str, rate: float | None, passes: int) -> Curve:
    """Run a full-gradient solver."""
    begin = time.perf_counter()
    solution = full_gradient.solve(name, problem.loss, problem.params, budget=passes, learning_rate=rate)
    seconds = time.perf_counter() - begin
    label = name if rate is None else f"{name}, rate {rate:g}"
    ends = error(problem, solution.params), seconds, solution.status
    return Curve(label, solution.history.passes, solution.history.loss, *ends)


def error(problem: Problem, params: model.Params) -> float:
    """Return the share of test examples that are classified wrongly."""
    sums = mlp_jax.evaluate(mlp_jax.Cell(network=problem.network), params, problem.test)
    return losses.metrics(sums)["error"]


def minimum(problem: Problem, budget: int) -> float:
    """Return the convex problem's lowest loss."""
    return float(full_gradient.solve("lbfgs", problem.loss, problem.params, budget=budget).history.loss.min())


def row(curve: Curve) -> tuple[str, ...]:
    """Return one row of the table; a loss is that of the last iterate within so many passes."""
    at = [curve.loss[np.searchsorted(curve.passes, passes, side="right") - 1] for passes in (1, 10, np.inf)]
    spent = f"{curve.passes[-1]:.0f}", f"{curve.seconds / curve.passes[-1]:.2f}"
    return curve.method, *(f"{loss:.4f}" for loss in at), *spent, f"{curve.test_error:.2%}", curve.status


def style(method: str) -> dict:
    """Return how a method is drawn: stochastic thick and warm, plain descent gray, conjugate gradients green."""
    if method.startswith("SGD"):
        return {"color": "crimson" if "B = 1," in method else "darkorange", "linewidth": 2.8}
    if method.startswith("gradient_descent"):
        return {"color": "gray", "linestyle": "--" if "line_search" in method else "-"}
    if method == "lbfgs":
        return {"color": "royalblue", "linewidth": 1.8}
    return {"color": "seagreen", "linestyle": ("-", "--", ":", "-.")[sorted(full_gradient.CONJUGACY).index(method)]}


def draw(drawn: dict[str, tuple[list[Curve], float]]):
    """Return the figure: one panel for each problem."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 6.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (title, (curves, lowest)) in zip(panels, drawn.items()):
        for curve in curves:
            axes.plot(curve.passes, curve.loss - lowest, label=curve.method, **style(curve.method))
        axes.set(xscale="log", yscale="log", title=title, xlabel="passes over the data (epochs)")
        axes.set_ylabel("training loss − its minimum" if lowest else "training loss")
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=3)
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    script(main, Options)
