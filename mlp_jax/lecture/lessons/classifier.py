"""L1 to L7: the images, the softmax classifier, its loss, its predictions, and how it is trained.

Invariant: each lesson computes what it prints; only the slides' own example is copied from them.
"""

import math
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import losses, model, rows, sampling, tables, trial
from mlp_jax.data import DataError, Dataset, describe, load
from mlp_jax.lecture import full_gradient
from mlp_jax.lecture.lessons.lesson import Shown, classes, number, vector
from mlp_jax.model import Layer, Network

SLIDE_Z = (-55.7, -141.4, 18.1, 188.3, -91.3, -26.8, -183.6, 411.2, -142.1, 96.2)
SLIDE_ACCURACY = {"train": 0.8464, "test": 0.8358}
STEPS = 4  # iterations that L7 shows


def mnist(dataset: str | None = None, data_dir: str | None = None) -> Shown:
    """Load the images, and show how many of each class are in each part."""
    data, remark = images(dataset, data_dir)  # <-
    found = describe(data)  # <-
    splits = ("train", "validation", "test")
    counts = found["class_counts"]
    body = [(part, f"{found[part]:,}", *map(str, counts[part])) for part in splits]
    examples, shape = found["train"] + found["validation"], "×".join(map(str, data.shape))
    text = (
        f"{remark}{examples:,} training examples, of which {found['train']:,} train and {found['validation']:,} are "
        f"held out to choose by; {found['test']:,} test examples\neach image: {shape} {found['dtype']}, vectorised to "
        f"{data.inputs} numbers\n\n{tables.text(('', 'examples', *data.classes), body)}"
    )
    values = {**found, "training_examples": examples}
    return Shown("(x_1, y_1), …, (x_n, y_n);  y ∈ {0, …, 9}", {"data set": data.name}, text, values)


def ones(seed: int = 0) -> Shown:
    """Append a feature of all ones: its column of W is the bias."""
    network = Network(inputs=784, outputs=10, bias="ones", init="lecun")
    (layer,) = model.init(jax.random.key(seed), network)
    x = jax.random.uniform(jax.random.key(seed + 1), (784,))
    with_one = model.features(network, x)  # <-
    z = layer.W @ with_one  # <-
    apart = jnp.max(jnp.abs(z - (layer.W[:, :784] @ x + layer.W[:, 784])))
    body = []
    for bias, words in (("ones", "one feature of ones"), ("all", "b in every layer"), ("none", "no constant")):
        one = Network(inputs=784, outputs=10, bias=bias)
        body.append((f'bias="{bias}"', words, f"10 × {one.widths[0]}", f"{model.parameter_count(one):,}"))
    text = (
        f"x has {x.size} entries, [x, 1] has {with_one.size}, the last is {number(with_one[-1])}; "
        f"W is {layer.W.shape[0]} × {layer.W.shape[1]}\n"
        f"W [x, 1] and (784 columns of W) x + (its last column) differ by {number(apart, 1)} at most\n\n"
        f"{tables.text(('', 'constants', 'W', 'parameters'), body)}"
    )
    values = {"inputs": x.size, "features": with_one.size, "shape": list(layer.W.shape), "difference": float(apart)}
    return Shown("x ∈ R^785, W ∈ R^{10×785}, z = W x", {"x": vector(x)}, text, values)


def cross_entropy(z: tuple[float, ...] = SLIDE_Z, label: int | None = None) -> Shown:
    """Turn the slide's z into probabilities, and compare a right and a wrong label."""
    k = len(z)
    network = Network(inputs=1, outputs=k)
    by_size = np.argsort(-np.asarray(z), kind="stable")
    if label is not None and label >= k:
        raise ValueError(f"label {label} is not among the {k} classes; give a whole number from 0 to {k - 1}")
    right = int(by_size[0]) if label is None else label
    wrong = next((int(each) for each in by_size if each != right), right)
    with jax.enable_x64(True):
        scores = jnp.asarray(z, jnp.float64)
        f = jax.nn.softmax(scores)  # <-
        predicted = int(jnp.argmax(scores))  # <-
        of_label = {y: float(losses.cross_entropy(network, scores, jnp.int32(y))) for y in (right, wrong)}  # <-
        one_hot = jax.nn.one_hot(right, k)  # <-
        f, one_hot = np.asarray(f), np.asarray(one_hot)
    with np.errstate(all="ignore"):
        exponentials = np.exp(np.asarray(z, np.float32))
        naive = float(-np.log(exponentials[right] / exponentials.sum()))
    body = [(str(i), number(z[i]), number(f[i], 3), f"{one_hot[i]:.0f}") for i in range(k)]
    losses_of = [f"CrossEntropy(one-hot of {y}, f) = −log f_{y} = {number(loss, 6)}" for y, loss in of_label.items()]
    text = (
        f"{tables.text(('i', 'z_i', 'f_i', f'one-hot of {right}'), body)}\n\nargmax z = {predicted}\n"
        + "\n".join(losses_of)
        + f"\nwritten as −log(exp z_{right} / Σ exp z_i) in float32 it is {number(naive)}; from z itself it is stable"
    )
    values = {"f": f.tolist(), "argmax": predicted, "one_hot": one_hot.tolist(), "naive_float32": naive}
    values["cross_entropy"] = {str(y): loss for y, loss in of_label.items()}
    formula = "SoftMax(z)_i = exp(z_i) / Σ exp(z_k),  CrossEntropy(y, f) = −Σ y_i log f_i"
    return Shown(formula, {"z": vector(z)}, text, values)


def risk(rate: float = 1.0, dataset: str = "digits", data_dir: str | None = None) -> Shown:
    """Minimise the mean cross-entropy of all training examples by plain descent, and by L-BFGS."""
    data = classes(dataset, data_dir)
    network = Network(inputs=data.inputs, hidden=(), outputs=len(data.classes), bias="ones", init="zeros")
    W = model.init(jax.random.key(0), network)
    mean_loss = full_gradient.mean_loss(network, rows.place(network, data, data.train))  # <-
    plain = full_gradient.solve("gradient_descent", mean_loss, W, budget=101, learning_rate=rate)  # <-
    best = full_gradient.solve("lbfgs", mean_loss, W, budget=101)
    at = [number(plain.history.loss[min(t, len(plain.history.loss) - 1)], 5) for t in (0, 1, 10, 100)]
    text = tables.text(("iteration", "mean cross-entropy"), [*zip(("0", "1", "10", "100"), at)])
    text += (
        f"\n\nat W = 0 each class has 1/{network.outputs}, and the loss is log {network.outputs} = "
        f"{math.log(network.outputs):.5f}\nL-BFGS comes to {number(best.history.loss[-1], 5)} in as many passes"
    )
    values = {"losses": plain.history.loss.tolist(), "lbfgs": float(best.history.loss[-1])}
    given = {"n": f"{len(data.train.y):,} {data.name}", "W": "0", "α": number(rate)}
    return Shown("W* = argmin (1/n) Σ_j CrossEntropy(y_j, f(x_j))", given, text, values)


def prediction(index: int = 0, seed: int = 0, dataset: str = "digits", data_dir: str | None = None) -> Shown:
    """Train a softmax classifier, and print z beside f(x) for one test example."""
    from mlp_jax.training import run
    from mlp_jax.training.config import Config

    classes(dataset, data_dir)
    trained = run.train(
        Config(
            dataset=dataset,
            data_dir=data_dir,
            hidden=(),
            output="softmax",
            bias="ones",
            epochs=20,
            seed=seed,
            evaluations=1,
        )
    )
    data, network = trained.dataset, trained.cell.network
    if index >= len(data.test.y):
        raise ValueError(f"test example {index} is not there; give --index from 0 to {len(data.test.y) - 1}")
    x = jnp.asarray((data.test.x[index] - data.center) * data.scale, jnp.float32)
    z = model.forward(network, trained.params, x)  # <-
    f = model.output(network, z)  # <-
    predicted = int(losses.predicted_class(network, z))  # <-
    mark = lambda i: " ".join(word for word, at in (("argmax", predicted), ("label", data.test.y[index])) if i == at)
    body = [(name, f"{z[i]:.3f}", f"{f[i]:.4f}", mark(i) or " ") for i, name in enumerate(data.classes)]
    text = f"{tables.text(('class', 'z', 'f(x)', ''), body)}\n\nprediction: {data.classes[predicted]}"
    values = {"z": np.asarray(z).tolist(), "f": np.asarray(f).tolist(), "prediction": data.classes[predicted]}
    values["label"] = data.classes[int(data.test.y[index])]
    picture = partial(_picture, data, index, np.asarray(f))
    given = {"x": f"test example {index} of {data.name}", "W": "20 epochs of training"}
    return Shown("prediction = argmax z, z = W* x'", given, text, values, picture if data.levels else None)


def results(seed: int = 0, dataset: str | None = None, data_dir: str | None = None) -> Shown:
    """Train the softmax classifier, and show its accuracies beside those of the slides."""
    from mlp_jax.training import run
    from mlp_jax.training.config import Config

    data, remark = images(dataset, data_dir)
    data_set = {"dataset": data.name, "data_dir": data_dir}
    look = {"spacing": "log", "evaluations": 60, "evaluate_on": ("train", "test")}
    config = Config(**data_set, hidden=(), bias="ones", init="zeros", learning_rate=0.02, epochs=3, seed=seed, **look)
    trained = run.train(config)  # <-
    body = []
    for part, slides in SLIDE_ACCURACY.items():
        passed = next((row["step"] for row in trained.history if row[f"{part}_accuracy"] >= slides), None)
        body.append((part, f"{slides:.2%}", f"{trained.metrics[f'{part}_accuracy']:.2%}", str(passed or "never")))
    text = f"{remark}{tables.text(('', 'slides (MNIST)', 'here', 'passed at step'), body)}\n\n"
    text += f"a random guess: {1 / trained.cell.network.outputs:.0%}; {trained.steps:,} steps of 32 examples"
    values = {part: trained.metrics[f"{part}_accuracy"] for part in SLIDE_ACCURACY} | {"steps": trained.steps}
    given = {"data": data.name, "budget": "3 epochs", "α": "0.02, falling as a cosine", "β": "0.9"}
    return Shown("accuracy = share of examples with argmax z = y", given, text, values)


def momentum(
    rate: float = 0.1, momentum: float = 0.9, seed: int = 0, dataset: str = "digits", data_dir: str | None = None
) -> Shown:
    """Run the slide's four lines four times, written out, and compare the result with that of training."""
    data = classes(dataset, data_dir)
    network = Network(inputs=data.inputs, outputs=len(data.classes), bias="ones", init="zeros")
    placed = rows.place(network, data, data.train)
    x, y, alpha, beta = rows.normalize(placed, placed.x), placed.y, rate, momentum
    n = len(y)

    def loss(W, j):
        return losses.cross_entropy(network, model.forward(network, (Layer(W, None),), x[j]), y[j])

    W = V = jnp.zeros((network.outputs, network.widths[0]))
    seen = []
    for t in range(STEPS):
        j = sampling.minibatch(jnp.uint32(seed), jnp.uint32(t), n=n, batch_size=1, sampling="replacement")[0]  # <-
        L, G = jax.value_and_grad(loss)(W, j)  # <-
        V = beta * V + G  # <-
        W = W - alpha * V  # <-
        norms = [float(jnp.linalg.norm(each)) for each in (G, V, W)]
        seen.append((t, int(j), int(y[j]), float(L), *norms, float(loss(W, j))))
    body = [(str(t), f"{j:,}", str(label), *(number(each, 5) for each in rest)) for t, j, label, *rest in seen]
    cell = trial.Cell(network=network, batch_size=1, sampling="replacement")
    hyper = trial.complete(cell, learning_rate=rate, momentum=momentum)
    traced = {name: jnp.asarray(value, jnp.float32) for name, value in hyper.items()}
    state = trial.start(cell, traced, jnp.uint32(seed))
    trained = trial.advance(cell, traced, jnp.uint32(seed), placed, state, jnp.int32(STEPS))
    apart = float(jnp.max(jnp.abs(trained.params[0].W - W)) / jnp.max(jnp.abs(W)))
    heads = ("t", "j", "y_j", "L", "‖G‖", "‖V‖", "‖W‖", "L after")
    text = f"{tables.text(heads, body)}\n\n"
    text += f"the project’s own four steps end at this W, within {number(apart, 1)} of its largest entry"
    steps = [dict(zip(("t", "j", "y", "L", "G", "V", "W", "L_after"), row)) for row in seen]
    values = {"steps": steps, "difference": apart}
    given = {"α": number(rate), "β": number(momentum), "W, V": "0", "B": "1, with replacement"}
    return Shown("pick j; G = ∂L_j/∂W; V ← βV + G; W ← W − αV", given, text, values)


def images(dataset: str | None, data_dir: str | None) -> tuple[Dataset, str]:
    """Return the data set of that name, by default MNIST, or the digits if MNIST is not available; and a remark."""
    if dataset is not None:
        return classes(dataset, data_dir), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load("mnist", data_dir=data_dir), ""
    except DataError:
        if data_dir is not None:
            raise
        return load(
            "digits"
        ), "MNIST is not available here (see mlp-jax data prepare mnist); these are scikit-learn's digits\n"


def _picture(data: Dataset, index: int, f: np.ndarray):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    left.imshow(data.test.x[index].reshape(data.shape[:2]), cmap="gray_r")
    left.set_axis_off()
    right.bar(data.classes, f, color="#0072b2")
    right.set(ylim=(0, 1), xlabel="class", ylabel="f(x)")
    right.spines[["top", "right"]].set_visible(False)
    return figure
