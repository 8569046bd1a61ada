"""L8 to L12, L19 and L20: networks, their outputs and losses, all choices to make, and a picture."""

import dataclasses
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import checks, losses, model, optimizers, sampling, tables
from mlp_jax.lecture import backpropagation
from mlp_jax.lecture.lessons.lesson import Shown, number, vector
from mlp_jax.model import Network

WIDTHS = (300, 100)
SUITS = {  # output: its formula, the labels, a data set with such labels
    "softmax": ("exp(z_i) / Σ exp(z_k)", "one of several classes", "mnist, digits"),
    "sigmoid": ("1 / (1 + exp(−z))", "0 or 1", "breast_cancer"),
    "tanh": ("tanh(z)", "−1 or 1", "breast_cancer"),
    "identity": ("z", "real", "diabetes"),
    "relu": ("max{0, z}", "positive", "diabetes"),
}


def layers(hidden: tuple[int, ...] = WIDTHS, seed: int = 0) -> Shown:
    """Build the slides' network, and follow one example through it."""
    network = slides_network(hidden)
    params = model.init(jax.random.key(seed), network)
    x = jax.random.uniform(jax.random.key(seed + 1), (network.inputs,))
    kept = backpropagation.forward(network, params, x)  # <-
    f = model.output(network, kept.z[-1])  # <-
    body = [("x^(0)", "", str(kept.x[0].size), number(jnp.linalg.norm(kept.x[0])), "")]
    for k, z in enumerate(kept.z):
        last = k == len(params) - 1
        out = f if last else kept.x[k + 1]
        rule = f"W^({k}) x^({k}), W^({k}) is {' × '.join(map(str, params[k].W.shape))}"
        zeros = "" if last else f"{np.mean(np.asarray(out) == 0):.0%} of it 0"
        body.append((f"z^({k + 1})", rule, str(z.size), number(jnp.linalg.norm(z)), ""))
        function = f"SoftMax(z^({k + 1}))" if last else f"max{{0, z^({k + 1})}}"
        body.append((f"x^({k + 1})", function, str(out.size), number(jnp.linalg.norm(out)), zeros))
    text = f"{tables.text(('', 'computed as', 'entries', 'norm', ''), body)}\n\n{model.summary(network)}"
    text += f"\n\n{len(params)} layers: the input layer has no parameters and does not count"
    values = {"widths": list(network.widths), "layers": len(params), "parameters": model.parameter_count(network)}
    formula = "z^(k+1) = W^(k) x^(k),  x^(k+1) = max{0, z^(k+1)},  f(x) = SoftMax(z^(K))"
    given = {"widths": " → ".join(map(str, network.widths)), "W": f"He's, seed {seed}"}
    return Shown(formula, given, text, values | {"f": np.asarray(f).tolist()}, partial(_drawn, network))


def parameters(hidden: tuple[int, ...] = WIDTHS) -> Shown:
    """Count the parameters by the slides' formula, and from the arrays."""
    network = slides_network(hidden)
    counted = model.parameter_count(network)  # <-
    shapes = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes)]
    widths = network.widths
    products = " + ".join(f"{a}·{b}" for a, b in pairwise(widths))
    letters = ["785", *(f"d{k + 1}" for k in range(len(hidden))), "10"]
    formula = " + ".join(f"{a}·{b}" for a, b in pairwise(letters))
    text = f"{products} = {' + '.join(f'{size:,}' for size in sizes)} = {counted:,}\n"
    with_b = model.parameter_count(dataclasses.replace(network, bias="all"))
    text += f'with b in every layer (bias="all") instead of the feature of ones: {with_b:,}'
    given = {f"d{k + 1}": str(width) for k, width in enumerate(hidden)}
    return Shown(formula, given, text, {"parameters": counted, "sizes": sizes, "with_b": with_b})


def outputs(z: tuple[float, ...] = (-2.0, -0.5, 0.0, 0.5, 2.0)) -> Shown:
    """Apply every output function to the same z."""
    body, values = [], {}
    for output, (formula, labels, where) in SUITS.items():
        network = Network(inputs=1, outputs=len(z), output=output)
        f = model.output(network, jnp.asarray(z))  # <-
        fitting = losses.FITTING[output]  # <-
        values[output] = np.asarray(f).tolist()
        body.append((output, formula, labels, " or ".join(fitting), where, vector(f, 3)))
    text = tables.text(("output", "f", "labels", "loss", "data set", "f(z)"), body)
    return Shown("the output function follows from the labels", {"z": vector(z)}, text, values, _curves)


def collapse(seed: int = 0) -> Shown:
    """Compare a network without activations with the product of its matrices."""
    linear = Network(inputs=4, hidden=(5, 3), outputs=2, activation="identity", bias="none", init="lecun")
    params = model.init(jax.random.key(seed), linear)
    W = params[2].W @ params[1].W @ params[0].W  # <-
    x = jax.random.normal(jax.random.key(seed + 1), (1000, 4))
    z = jax.vmap(partial(model.forward, linear, params))(x)  # <-
    apart = jnp.max(jnp.abs(z - x @ W.T))  # <-
    curved = dataclasses.replace(linear, activation="relu")
    z_relu = jax.vmap(partial(model.forward, curved, params))(x)
    best = np.linalg.lstsq(np.asarray(x, float), np.asarray(z_relu, float), rcond=None)[0]
    left = float(np.abs(np.asarray(z_relu) - np.asarray(x) @ best).max())
    lines = [f"W = W^(2) W^(1) W^(0) = {vector(row, 3)}" for row in np.asarray(W)[:1]]
    lines += [" " * len("W = W^(2) W^(1) W^(0) = ") + vector(row, 3) for row in np.asarray(W)[1:]]
    text = "\n".join(lines) + (
        f"\n\nidentity activations: z^(3) and W x differ by {number(apart, 1)} at most, over {len(x):,} random x\n"
        f"ReLU activations: z^(3) and the best W x differ by {number(left, 2)} somewhere: no matrix does what it does"
    )
    given = {"widths": "4 → 5 → 3 → 2", "x": f"{len(x):,} random vectors"}
    values = {"W": np.asarray(W).tolist(), "difference": float(apart), "relu_difference": left}
    return Shown("without activations z^(3) = W^(2) W^(1) W^(0) x = W x", given, text, values)


def loss_functions(z: tuple[float, ...] = (-1.0, 0.5, 1.0, 2.5), y: float = 1.0) -> Shown:
    """Compute each loss and its derivative for several predictions of one label."""
    identity, sigmoid = Network(inputs=1, outputs=1, output="identity"), Network(inputs=1, outputs=1, output="sigmoid")
    cases = {"squared": identity, "absolute": identity} | ({"binary_cross_entropy": sigmoid} if y in (0, 1) else {})
    body, values = [], {}
    for z_ in z:
        row = [number(z_)]
        for loss, network in cases.items():
            given = jnp.asarray([z_]), jnp.asarray(y)
            value = losses.LOSSES[loss](network, *given)  # <-
            slope = backpropagation.slope(network, loss, *given)[0]  # <-
            values.setdefault(loss, []).append({"z": z_, "loss": float(value), "slope": float(slope)})
            row += [number(value), number(slope)]
        body.append(row)
    words = {"squared": "½(f − y)²", "absolute": "|f − y|", "binary_cross_entropy": "cross-entropy, f = sigmoid(z)"}
    heads = ["z"] + [head for loss in cases for head in (words[loss], "∂/∂z")]
    text = f"{tables.text(heads, body)}\n\ncross-entropy of several classes: L3"
    formula = "CrossEntropy(y, f) for classes; ‖f − y‖₁ or ½‖f − y‖² for real labels"
    return Shown(formula, {"y": number(y), "f": "z, and sigmoid(z) for the cross-entropy"}, text, values)


def choices() -> Shown:
    """List every field of Config with its default and what it allows, from the tables that training reads."""
    from mlp_jax.training import config

    names = {"activation": model.ACTIVATIONS, "output": ("auto", *model.OUTPUTS), "bias": model.BIASES}
    names |= {"init": model.INITIALIZERS, "loss": ("auto", *losses.LOSSES), "optimizer": optimizers.BUILT_IN}
    names |= {"schedule": ("auto", *optimizers.SCHEDULES), "sampling": sampling.SAMPLINGS, "spacing": config.SPACINGS}
    hyper = optimizers.LINKS | optimizers.REGULARIZERS
    rows = {name: row for each in optimizers.BUILT_IN.values() for name, row in each.hyperparameters.items()} | hyper
    body = []
    for field in dataclasses.fields(config.Config):  # <-
        allowed = ", ".join(names[field.name]) if field.name in names else ""
        if not allowed:
            allowed = rows[field.name].domain.words if field.name in rows else checks.words(field.type)
        own = field.name in config.HYPER and field.name not in optimizers.LINKS
        if own and field.name != "learning_rate":
            takers = [name for name, each in optimizers.BUILT_IN.items() if field.name in each.hyperparameters]
            allowed += f" ({', '.join(takers)})"
        default = "the optimizer’s" if field.default is None and own else field.default
        default = None if default is dataclasses.MISSING else default
        body.append((field.name, _written(default), allowed))
    first = [name for name, *_ in body].index("hidden")  # the slide begins there; the fields before are about data
    body = body[first:] + body[:first]
    text = tables.text(("choice", "default", "allowed"), body)
    values = {name: {"default": default, "allowed": allowed} for name, default, allowed in body}
    return Shown("layers, widths, activations, loss, batch size, optimizer and its hyper-parameters", {}, text, values)


def picture(hidden: tuple[int, ...] = (4, 3), seed: int = 0) -> Shown:
    """Count the nodes and edges of a network, and draw it with its weights as colours."""
    network = Network(inputs=3, hidden=hidden, outputs=2, bias="none")
    params = model.init(jax.random.key(seed), network)
    nodes = [f"x^({k}): {width} nodes" for k, width in enumerate(network.widths)]  # <-
    edges = [f"W^({k}): {layer.W.size} edges" for k, layer in enumerate(params)]  # <-
    lines = [part for pair in zip(nodes, [*edges, ""]) for part in pair if part]
    text = "\n".join(lines) + (
        f"\n\n{sum(network.widths)} nodes, {model.parameter_count(network)} edges, as many as there are parameters\n"
        f"the same as blocks: {_blocks(network)}"
    )
    values = {"nodes": sum(network.widths), "edges": model.parameter_count(network), "widths": list(network.widths)}
    formula = "a node is an entry of x^(k), an edge an entry of W^(k)"
    return Shown(
        formula, {"widths": " → ".join(map(str, network.widths))}, text, values, partial(_drawn, network, params)
    )


def slides_network(hidden: tuple[int, ...]) -> Network:
    """Return the slides' network: 785 inputs, of which one is always 1, ReLU layers, 10 outputs, softmax."""
    return Network(inputs=784, hidden=hidden, outputs=10, bias="ones")


def _blocks(network: Network) -> str:
    names = [*(["Dense", network.activation] * len(network.hidden)), "Dense", network.output]
    return " → ".join(["x", *names, "f(x)"])


def _written(value: object) -> str:
    if value is None:
        return "–"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _drawn(network: Network, params: model.Params | None = None):
    from mlp_jax import drawing

    return drawing.network(network, params)


def _curves():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    z = np.linspace(-3, 3, 301)
    looks = {
        "sigmoid": ("#0072b2", "-"),
        "tanh": ("#d55e00", "--"),
        "identity": ("#009e73", ":"),
        "relu": ("#332288", "-."),
    }
    for output, (color, style) in looks.items():
        f = model.OUTPUTS[output](jnp.asarray(z))
        axes.plot(z, f, style, color=color, label=output)
    axes.set(xlabel="z", ylabel="f", ylim=(-1.5, 3))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
