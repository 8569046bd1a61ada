"""The rows of the lecture, L1 to L20 of Shusen Wang's "Neural Networks: Basics"; each is a lesson that runs."""

from typing import Any

from mlp_jax import tables
from mlp_jax.lecture.lessons import classifier, methods, networks, passes
from mlp_jax.lecture.lessons.lesson import Lesson, Shown, check, run

__all__ = ["LECTURE", "LESSONS", "Lesson", "Shown", "check", "contents", "find", "listing", "run", "text", "to_json"]

LECTURE = 'Shusen Wang, "Neural Networks: Basics"'
_ROWS = (
    ("MNIST: 60,000 images to train on and 10,000 to test; each is a vector of 784 numbers",
     "mlp_jax.load, data.describe", "mlp-jax data show mnist", classifier.mnist),
    ("a feature that is always 1 takes the place of b: x has 785 entries, W is 10 × 785",
     "model.features, Network(bias=…)", "experiments/softmax_mnist.py", classifier.ones),
    ("softmax makes scores probabilities; cross-entropy says how bad they are for a label",
     "model.output, losses.cross_entropy", "mlp-jax lecture L12", classifier.cross_entropy),
    ("training the softmax classifier is minimising the mean cross-entropy over W",
     "Network(hidden=()), lecture.full_gradient", "experiments/softmax_mnist.py", classifier.risk),
    ("the prediction is the class with the largest z",
     "model.forward, losses.predicted_class, mlp_jax.predict", "mlp-jax predict RUN --index 7", classifier.prediction),
    ("results: 84.64 % of the training and 83.58 % of the test examples are right; a guess: 10 %",
     "mlp_jax.train", "experiments/softmax_mnist.py", classifier.results),
    ("SGD with momentum: one random example, its gradient, V ← βV + G, W ← W − αV",
     "sampling.minibatch, optimizers.OPTIMIZERS", "experiments/softmax_mnist.py", classifier.momentum),
    ("a multi-layer perceptron: dense layers with ReLU between them, softmax at the end",
     "Network(hidden=(d1, d2)), mlp_jax.forward", "experiments/mlp_mnist.py", networks.layers),
    ("it has 785·d1 + d1·d2 + 10·d2 parameters",
     "mlp_jax.parameter_count, mlp_jax.summary", "mlp-jax draw", networks.parameters),
    ("the output function follows from the labels: classes, two classes, real or positive numbers",
     "model.OUTPUTS, losses.FITTING", "experiments/binary.py, experiments/regression.py", networks.outputs),
    ("without activations the network is one matrix, a linear model",
     "Network(activation=\"identity\")", "experiments/linear_collapse.py", networks.collapse),
    ("losses: cross-entropy for classes, L1 or squared L2 for real labels",
     "losses.LOSSES", "experiments/regression.py", networks.loss_functions),
    ("backpropagation: derivatives from the output back; each W is updated at once, what was used is freed",
     "lecture.backpropagation.backward, update_as_you_go", "experiments/backpropagation.py", passes.backward),
    ("the same for numbers instead of vectors, with every derivative written out",
     "lecture.scalar.trace", "experiments/backpropagation.py", passes.scalar_example),
    ("one iteration: sample, forward pass, backward pass, update",
     "trial.step", "mlp-jax train --steps 1", passes.iteration),
    ("a mini-batch averages the gradients of several random examples: 16, 32, 64, …",
     "sampling.minibatch, trial.gradient", "mlp-jax train --batch-size 64", methods.minibatches),
    ("one example, a mini-batch or all: what an iteration costs and how many it takes",
     "Config(batch_size=…), mlp_jax.Study", "experiments/batch_size.py, experiments/full_gradient.py",
     methods.batch_sizes),
    ("other first-order methods: conjugate gradient, momentum, AdaGrad, RMSprop, and those of the linked texts",
     "optimizers.OPTIMIZERS, full_gradient.SOLVERS",
     "experiments/gradient_descent_zoo.py, experiments/momentum_quadratic.py", methods.first_order),
    ("what is to be chosen: layers, widths, activations, loss, batch size, optimizer, its hyper-parameters",
     "mlp_jax.Config", "mlp-jax train --help", networks.choices),
    ("a picture: a node is an entry of x, an edge an entry of W; the same as blocks",
     "drawing.network", "mlp-jax draw", networks.picture),
)  # fmt: skip
LESSONS = {f"L{number}": Lesson(number, *row) for number, row in enumerate(_ROWS, 1)}


def find(name: str) -> Lesson:
    """Return the lesson of this name, L1 to L20, in upper or lower case.

    Raises:
        ValueError: there is no such lesson.
    """
    if name.upper() not in LESSONS:
        raise ValueError(f"there is no row {name!r}; choose one of L1 to L{len(LESSONS)}")
    return LESSONS[name.upper()]


def listing() -> str:
    """Return the list of rows as text: what the slide says, the functions that do it, the command."""
    lines = [f"The rows of {LECTURE}; each runs by itself: mlp-jax lecture L14", ""]
    for lesson in LESSONS.values():
        body = [("function", lesson.functions), ("command", lesson.command), ("see also", lesson.seen)]
        indented = "\n".join(f"     {line}" for line in tables.text((), body).splitlines())
        lines.append(f"{lesson.name:<4} {lesson.slide}\n{indented}")
    return "\n".join(lines)


def contents() -> dict[str, Any]:
    """Return the list of rows as plain values."""
    return {"lecture": LECTURE, "rows": [_about(lesson) for lesson in LESSONS.values()]}


def to_json(lesson: Lesson, shown: Shown) -> dict[str, Any]:
    """Return the result of one lesson as plain values."""
    return _about(lesson) | {
        "formula": shown.formula,
        "given": dict(shown.given),
        "code": lesson.code.splitlines(),
        "values": shown.values,
        "text": shown.text,
    }


def _about(lesson: Lesson) -> dict[str, Any]:
    about = {"row": lesson.name, "slide": lesson.slide, "functions": lesson.functions}
    return about | {"command": lesson.command, "see_also": lesson.seen}


def text(lesson: Lesson, shown: Shown) -> str:
    """Return the result of one lesson as text for a terminal."""
    given = "; ".join(f"{name} = {value}" for name, value in shown.given.items())
    parts = [f"{lesson.name}  {lesson.slide}", ""]
    parts.append(f"formula  {shown.formula}")
    parts += [f"put in   {given}"] if given else []
    parts.append("code     " + lesson.code.replace("\n", "\n         "))
    return "\n".join([*parts, "", shown.text, "", f"functions: {lesson.functions}; see also {lesson.seen}"])
