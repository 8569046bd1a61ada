"""L16 to L18: mini-batches, the three batch sizes side by side, and the first-order methods."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses, model, optimizers, rows, sampling, tables, trial
from mlp_jax.lecture import full_gradient
from mlp_jax.lecture.lessons.lesson import Shown, classes, number
from mlp_jax.model import Network

DRAWS = 50  # mini-batches of each size that L16 averages over
SIZES = (1, 4, 16, 64, 256)
TARGET = 0.9
EXAMPLES = 2000  # whose gradients L16 computes
RATES = {1: 0.01, 64: 0.3, "full": 1.0}  # for L17, chosen by hand
GRADIENTS = ((0.1, 10.0), (0.1, 10.0))  # L18 gives every optimizer these, one after the other


def minibatches(batch_size: int = 32, seed: int = 0, dataset: str = "digits", data_dir: str | None = None) -> Shown:
    """Average the gradients of J random examples, and measure the distance from the gradient of all examples."""
    data = classes(dataset, data_dir)
    network = Network(inputs=data.inputs, hidden=(16,), outputs=len(data.classes))
    params, placed = model.init(jax.random.key(seed), network), rows.place(network, data, data.train)
    n = min(len(data.train.y), EXAMPLES)
    sampling.check_size(batch_size, n)
    placed = placed._replace(x=placed.x[:n], y=placed.y[:n])

    def gradient(j):
        x, y = rows.normalize(placed, placed.x[j]), placed.y[j]
        grads = jax.grad(lambda params: losses.cross_entropy(network, model.forward(network, params, x), y))(params)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(grads)])

    index = sampling.minibatch(jnp.uint32(seed), jnp.uint32(0), n=n, batch_size=batch_size)  # <-
    each = jax.vmap(gradient)(index)  # <-
    average = jnp.mean(each, axis=0)  # <-
    _, at_once = trial.gradient(trial.Cell(network=network, batch_size=batch_size), {}, placed, params, index)
    apart = float(jnp.linalg.norm(average - jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(at_once)])))
    of_all = np.asarray(jax.jit(jax.vmap(gradient))(jnp.arange(n)))
    whole, random = of_all.mean(axis=0), np.random.default_rng(seed)
    norm = float(np.linalg.norm(whole))
    spread = {}
    for size in sorted({size for size in (*SIZES, batch_size) if size <= n}):
        batches = random.integers(0, n, (DRAWS, size))
        spread[size] = float(np.mean([np.linalg.norm(of_all[batch].mean(axis=0) - whole) / norm for batch in batches]))
    body = [(f"{size:,}", number(far, 3), number(far * math.sqrt(size), 3)) for size, far in spread.items()]
    text = (
        f"the average of {batch_size} gradients, one by one, and the gradient of their mean loss differ by "
        f"{number(apart / norm, 1)} of the norm of G\n\n"
        f"{tables.text(('J', '‖g_J − G‖ / ‖G‖', 'times √J'), body)}\n\n"
        f"means of {DRAWS} mini-batches drawn with replacement: the distance falls as 1/√J, the work grows as J"
    )
    values = {"spread": {str(size): far for size, far in spread.items()}, "difference": apart / norm}
    given = {
        "J": str(batch_size),
        "n": f"{n:,} examples of {data.name}",
        "network": " → ".join(map(str, network.widths)),
    }
    return Shown("g = (1/|J|) Σ_{j ∈ J} ∂Loss(f(x_j), y_j)/∂W", given, text, values, lambda: _noise(spread))


def batch_sizes(seed: int = 0, dataset: str = "digits", data_dir: str | None = None) -> Shown:
    """Train to the same accuracy with 1, 64 and all examples per step, on a convex and a non-convex problem."""
    from mlp_jax.training import run
    from mlp_jax.training.config import Config

    classes(dataset, data_dir)
    body, values = [], []
    for name, hidden in (("softmax classifier", ()), ("MLP, 32 hidden", (32,))):
        for size, rate in RATES.items():
            config = Config(
                dataset=dataset,
                data_dir=data_dir,
                hidden=hidden,
                output="softmax",
                optimizer="sgd",
                learning_rate=rate,
                schedule="constant",
                batch_size=size,  # <-
                stop_at=TARGET,
                steps=20_000 if size == 1 else 2000,
                evaluations=200,
                seed=seed,
            )
            trained = run.train(config)  # <-
            steps, cell = trained.steps_to_target, trained.cell
            steps = steps if steps is not None and math.isfinite(steps) else None
            counts = (f"{steps:,.0f}", f"{steps * cell.batch_size:,.0f}") if steps else ("not reached", " ")
            body.append((name, str(cell.batch_size), number(rate), *counts))
            values.append({"network": name, "batch_size": cell.batch_size, "steps": steps})
    heads = ("", "B = examples an iteration", "α", f"iterations to {TARGET:.0%}", "examples in all")
    text = f"{tables.text(heads, body)}\n\none seed, α chosen by hand, looked at every 10 iterations (100 at B = 1):\n"
    text += "the measured table, tuned and with intervals, is experiments/batch_size.py"
    given = {"data": dataset, "optimizer": "SGD"}
    return Shown("SGD: B = 1   mini-batch: B > 1   full gradient: B = n", given, text, {"rows": values})


def first_order() -> Shown:
    """Give each optimizer the same two gradients, one entry small and one large; then solve a quadratic by CG."""
    start, body, values = jnp.zeros(2), [], {}
    for name, row in optimizers.CLASSICAL.items():
        hyper, w, moves = optimizers.complete(name), start, []
        state = optimizers.build(name, "constant", hyper).init(w)
        for gradient in GRADIENTS:
            moved, state = optimizers.update(name, "constant", hyper, jnp.asarray(gradient), state, w)  # <-
            moves.append(np.asarray((w - moved) / hyper["learning_rate"]).tolist())
            w = moved
        values[name] = moves
        own = ", ".join(
            f"{key} {number(each.default)}" for key, each in row.hyperparameters.items() if each.default is not None
        )
        body.append((name, *(number(each, 3) for move in moves for each in move), own))
    quadratic = lambda w: 0.5 * (w[0] ** 2 + 100 * w[1] ** 2)
    start = jnp.asarray([1.0, 1.0])
    cg = full_gradient.solve("cg_polak_ribiere", quadratic, start, budget=200, tolerance=1e-4)
    plain = full_gradient.solve(
        "gradient_descent", quadratic, start, budget=2000, tolerance=1e-4, learning_rate=2 / 101
    )
    iterations = {"conjugate gradient": len(cg.history.loss) - 1, "gradient descent": len(plain.history.loss) - 1}
    text = (
        f"{tables.text(('optimizer', 'small', 'large', '2nd small', '2nd large', 'its hyper-parameters'), body)}\n\n"
        f"what each subtracts from w, divided by its learning rate, when the gradient is {vector_of(GRADIENTS[0])} "
        "twice:\nsgd keeps the proportions, momentum adds up, the adaptive ones make both entries alike\n\n"
        f"½(w1² + 100 w2²) from (1, 1) to ‖gradient‖ ≤ 1e-4: conjugate gradient "
        f"{iterations['conjugate gradient']} iterations, plain descent at its best rate "
        f"{iterations['gradient descent']:,}"
    )
    formula = "first-order: W moves by gradients alone"
    return Shown(formula, {"gradient": vector_of(GRADIENTS[0])}, text, {"moves": values, "iterations": iterations})


def vector_of(values: tuple[float, ...]) -> str:
    """Return a pair of numbers as (0.1, 10)."""
    return f"({', '.join(number(value) for value in values)})"


def _noise(spread: dict[int, float]):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    sizes = np.array(list(spread))
    axes.plot(sizes, list(spread.values()), "o", color="#0072b2", label="measured")
    axes.plot(sizes, spread[1] / np.sqrt(sizes), "--", color="0.4", label="1/√J from J = 1")
    axes.set(xscale="log", yscale="log", xlabel="examples in a mini-batch, J", ylabel="‖g_J − G‖ / ‖G‖")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    low, high = min(spread.values()), max(spread.values())
    heights = [height for height in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low / 1.2 < height < high * 1.2]
    axes.set_yticks(heights, [f"{height:g}" for height in heights])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
