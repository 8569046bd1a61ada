"""L13 to L15: the backward pass, the scalar example, and one iteration, with every number on the way."""

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses, model, optimizers, rows, tables, trial
from mlp_jax.lecture import backpropagation, scalar
from mlp_jax.lecture.lessons.lesson import Shown, classes, number
from mlp_jax.model import Network


def backward(
    hidden: tuple[int, ...] = (32, 16),
    rate: float = 0.1,
    seed: int = 0,
    dataset: str = "digits",
    data_dir: str | None = None,
) -> Shown:
    """Run one example forward and backward; update each W as soon as its gradient exists, and free used derivatives."""
    network, data = _classifier(dataset, data_dir, hidden)
    params = list(model.init(jax.random.key(seed), network))
    x, y = rows.normalize(data, data.x[0]), data.y[0]
    kept = backpropagation.forward(network, tuple(params), x)  # <-
    loss = losses.cross_entropy(network, kept.z[-1], y)  # <-
    table = _Held()
    for k, dz, below, grads in backpropagation.backward(network, "cross_entropy", tuple(params), kept, y):  # <-
        if not table.derivatives:
            table.take(f"∂L/∂z^({k + 1})", dz, "f(x) − one-hot y")
        if below is not None:
            table.take(f"∂L/∂z^({k})", below, f"W^({k})ᵀ ∂L/∂z^({k + 1}) where z^({k}) > 0, else 0")
        table.take(f"∂L/∂W^({k})", grads.W, f"∂L/∂z^({k + 1}) x^({k})ᵀ")
        table.free(f"∂L/∂z^({k + 1})", dz)
        params[k] = params[k]._replace(W=params[k].W - rate * grads.W)  # <-
        table.note(f"W^({k})", params[k].W, f"W^({k}) − α ∂L/∂W^({k})")
        table.free(f"∂L/∂W^({k})", grads.W)
    after = losses.cross_entropy(network, model.forward(network, tuple(params), x), y)
    everything = sum(layer.W.size for layer in params) + sum(z.size for z in kept.z)
    text = (
        f"{tables.text(('in this order', 'shape', 'norm', 'held', 'as'), table.rows)}\n\n"
        f"held: numbers of derivatives in memory then, {table.most:,} at most; all together are {everything:,}\n"
        f"L = {number(loss, 6)} before, {number(after, 6)} after"
    )
    values = {"loss": float(loss), "loss_after": float(after), "derivatives": table.derivatives, "held": table.most}
    formula = "∂L/∂z^(k) = ∂z^(k+1)/∂z^(k) · ∂L/∂z^(k+1),  ∂L/∂W^(k) = ∂z^(k+1)/∂W^(k) · ∂L/∂z^(k+1)"
    given = {"widths": " → ".join(map(str, network.widths)), "x": f"the first example of {dataset}, a {int(y)}"}
    return Shown(formula, given | {"α": number(rate)}, text, values)


def scalar_example(w: tuple[float, ...] = (0.5, 1.2, 0.8), x: float = 2.0, y: float = 1.5, rate: float = 0.1) -> Shown:
    """Run one iteration of the scalar network: each derivative, its update and its release in the slides' order."""
    trace = scalar.trace(*w, x=x, y=y, learning_rate=rate)  # <-
    values = {step.name: step.value for step in trace if step.kind != "free"}
    text = f"{scalar.table(trace)}\n\nL = {number(values['L'], 6)} before, {number(values['new L'], 6)} after"
    order = [step.name if step.kind != "free" else f"free {step.name}" for step in trace]
    formula = "f(x) = w^(2) max{0, w^(1) max{0, w^(0) x}},  L = ½ (f(x) − y)²"
    given = {"w^(0), w^(1), w^(2)": ", ".join(number(each) for each in w)}
    given |= {"x": number(x), "y": number(y), "α": number(rate)}

    def picture():
        from mlp_jax.lecture import filmstrip

        return filmstrip.strip(trace)

    return Shown(formula, given, text, {**values, "order": order}, picture)


def iteration(
    hidden: tuple[int, ...] = (32, 16),
    rate: float = 0.1,
    seed: int = 0,
    dataset: str = "digits",
    data_dir: str | None = None,
) -> Shown:
    """Take one iteration of SGD in four steps, and compare it with the step that training takes."""
    network, data = _classifier(dataset, data_dir, hidden)
    cell = trial.Cell(network=network, optimizer="sgd", batch_size=1, sampling="replacement")
    hyper = {"learning_rate": jnp.float32(rate)}
    start = trial.start(cell, hyper, jnp.uint32(seed))
    (j,) = np.asarray(trial.draw(cell, jnp.uint32(seed), start.step, len(data.y)))  # <-
    x, y = rows.normalize(data, data.x[j]), data.y[j]
    z = model.forward(network, start.params, x)  # <-
    loss = losses.cross_entropy(network, z, y)
    _, grads = backpropagation.gradient(network, "cross_entropy", start.params, x, y)  # <-
    params, _ = optimizers.update("sgd", "constant", hyper, grads, start.opt_state, start.params)  # <-
    after = losses.cross_entropy(network, model.forward(network, params, x), y)
    moved = [float(jnp.linalg.norm(new.W - old.W)) for new, old in zip(params, start.params)]
    norms = [float(jnp.linalg.norm(layer.W)) for layer in grads]
    trained = trial.step(cell, hyper, jnp.uint32(seed), data, start)
    apart = max(float(jnp.max(jnp.abs(a.W - b.W))) for a, b in zip(trained.params, params))
    listed = lambda what, numbers: ", ".join(
        f"{what.format(k)} {number(numbers[k])}" for k in reversed(range(len(numbers)))
    )
    text = (
        f"1 sample    j = {j:,} of {len(data.y):,} (drawn with seed {seed}), label {int(y)}\n"
        f"2 forward   z^({len(params)}) has argmax {int(jnp.argmax(z))}; L = {number(loss, 6)}\n"
        f"3 backward  {listed('‖∂L/∂W^({})‖ =', norms)}\n"
        f"4 update    {listed('‖change of W^({})‖ =', moved)}\n\n"
        f"L of this example: {number(loss, 6)} before, {number(after, 6)} after\n"
        f"the step that training takes ends within {number(apart, 1)} of these weights"
    )
    values = {"j": int(j), "label": int(y), "loss": float(loss), "loss_after": float(after)}
    values |= {"gradient_norms": norms, "update_norms": moved, "difference": apart}
    formula = "1 sample j   2 forward: L   3 backward: ∂L/∂W^(k)   4 update: W^(k) ← W^(k) − α ∂L/∂W^(k)"
    return Shown(formula, {"widths": " → ".join(map(str, network.widths)), "α": number(rate)}, text, values)


def _classifier(dataset: str, data_dir: str | None, hidden: tuple[int, ...]) -> tuple[Network, rows.Data]:
    """Return the slides' network for a data set of classes, with a feature of ones, and the training examples."""
    data = classes(dataset, data_dir)
    network = Network(inputs=data.inputs, hidden=hidden, outputs=len(data.classes), bias="ones")
    return network, rows.place(network, data, data.train)


class _Held:
    """The rows of L13's table, and how many numbers of derivatives are in memory at each."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.derivatives: list[dict] = []
        self.held = self.most = 0

    def take(self, name: str, values: jax.Array, rule: str) -> None:
        """Add a derivative that exists from now on."""
        self.held += values.size
        self.most = max(self.most, self.held)
        self.derivatives.append({"name": name, "shape": list(values.shape), "norm": float(jnp.linalg.norm(values))})
        self.note(name, values, rule)

    def note(self, name: str, values: jax.Array, rule: str) -> None:
        """Add a row with the shape and the norm of `values`."""
        shape = " × ".join(map(str, values.shape))
        self.rows.append((name, shape, number(jnp.linalg.norm(values)), f"{self.held:,}", rule))

    def free(self, name: str, values: jax.Array) -> None:
        """Release a derivative that is no longer needed."""
        self.held -= values.size
        self.rows.append((f"free {name}", " ", " ", f"{self.held:,}", " "))
