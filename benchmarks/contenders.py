"""The rivals' best forms: PyTorch (eager, compiled, a stacked ensemble) and scikit-learn, each for one trial or many.

Invariant: a factory takes the rows, the labels and every trial's weights, and leaves them whole; what it returns
trains 784-256-128-10 with ReLU, cross-entropy and momentum in float32, each step on a fresh mini-batch per trial.
"""

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from turns import Contender

from mlp_jax.bench import workloads
from mlp_jax.model import Network

NETWORK = Network(inputs=784, hidden=(256, 128), outputs=10)
LEARNING_RATE, MOMENTUM = 0.01, 0.9
ROWS = 60_000

Weights = Sequence[tuple[Any, Any]]  # (W, b) of each layer


def noise(rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (uint8), ROWS of them unless told, and labels that every contender trains on."""
    return workloads.noise(NETWORK, rows or ROWS)


def torch_eager(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return PyTorch as its users write it: modules, autograd, fused SGD, uint8 rows on the device."""
    x_, y_ = _torch_rows(x, y)
    trained = [_eager_trial(x_, y_, weights) for weights in trials]

    def loss(rows) -> float:
        return sum(loss_of(rows).item() for loss_of, _ in trained) / len(trained)

    return _in_turn(loss, [step for _, step in trained], batch_size, x_)


def torch_compile(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return PyTorch with its whole step compiled as one graph, the optimizer inside; all trials share the program."""
    import torch

    x_, y_ = _torch_rows(x, y)
    loss_of = _functional_loss(x_, y_)
    step = _compiled_step(torch.func.grad(loss_of))
    trained = [[p for layer in _torch_layers(weights) for p in layer] for weights in trials]
    steps = [_bind(step, weights) for weights in trained]

    def loss(rows) -> float:
        return sum(loss_of(weights, rows).item() for weights in trained) / len(trained)

    return _in_turn(loss, steps, batch_size, x_)


def torch_ensemble(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return all trials as one stacked network: `vmap` of the gradient, one fused SGD for all."""
    import torch

    x_, y_ = _torch_rows(x, y)
    stacked = _stacked(trials)
    loss_of = _functional_loss(x_, y_)
    gradient = torch.func.vmap(torch.func.grad(loss_of))
    optimizer = torch.optim.SGD(stacked, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def step(rows) -> None:
        for p, g in zip(stacked, gradient(stacked, rows)):
            p.grad = g
        optimizer.step()

    return _together(loss_of, step, stacked, batch_size, x_)


def torch_ensemble_compiled(
    x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int, mode: str | None = None
) -> Contender:
    """Return the stacked network with its whole step compiled, the optimizer inside."""
    import torch

    x_, y_ = _torch_rows(x, y)
    stacked = _stacked(trials)
    loss_of = _functional_loss(x_, y_)
    step = _compiled_step(torch.func.vmap(torch.func.grad(loss_of)), mode)
    return _together(loss_of, _bind(step, stacked, still=mode == "reduce-overhead"), stacked, batch_size, x_)


def torch_ensemble_graphs(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return the compiled ensemble whose step is one CUDA graph."""
    return torch_ensemble_compiled(x, y, trials, batch_size, mode="reduce-overhead")


def sklearn(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return scikit-learn's MLPClassifier: each turn is one pass over as many rows as its steps need."""
    x_ = x.astype(np.float32) / 255
    networks = [_classifier(x_[:batch_size], y[:batch_size], weights, batch_size) for weights in trials]

    def loss_of(network) -> float:
        likelihood = np.asarray(network.predict_proba(x_[:batch_size]))[np.arange(batch_size), y[:batch_size]]
        return float(-np.mean(np.log(likelihood)))

    def run(count: int) -> None:
        for network in networks:
            left = count
            while left > 0:
                rows = min(left, len(x_) // batch_size) * batch_size
                network.partial_fit(x_[:rows], y[:rows])
                left -= rows // batch_size

    return Contender(lambda: sum(map(loss_of, networks)) / len(networks), run)


def quiet() -> None:
    """Keep what PyTorch's compiler warns of off the terminal: a contender that fails is noted in one line."""
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # compiler processes of its own would not sleep


@contextlib.contextmanager
def settled_torch(threads: int) -> Iterator[None]:
    """Let PyTorch, where it is installed, use so many threads, and take denormal numbers for zero, as XLA does.

    The processor is told so, for all that this thread computes, so it must be told otherwise afterwards.
    """
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def _torch_device():
    import torch

    return torch.device("cuda" if torch.cuda.is_available() and jax.default_backend() != "cpu" else "cpu")


def _torch_rows(x: np.ndarray, y: np.ndarray):
    """Return the rows and the labels on PyTorch's device."""
    import torch

    device = _torch_device()
    return torch.from_numpy(x).to(device), torch.from_numpy(y).long().to(device)


def _torch_layers(weights: Weights) -> list:
    """Return copies of (W, b) of each layer on PyTorch's device."""
    import torch

    device = _torch_device()
    return [tuple(torch.tensor(np.asarray(array), device=device) for array in layer) for layer in weights]


def _stacked(trials: Sequence[Weights]) -> list:
    """Return W, b, W, b, … with a leading axis of trials."""
    import torch

    flat = [[p for layer in _torch_layers(weights) for p in layer] for weights in trials]
    return [torch.stack(of_all) for of_all in zip(*flat)]


def _eager_trial(x_, y_, weights: Weights) -> tuple[Callable, Callable]:
    """Return one trial's loss and step, both functions of the rows."""
    import torch

    layers = []
    for W, b in _torch_layers(weights):
        layer = torch.nn.Linear(W.shape[1], W.shape[0], device=W.device)
        layer.weight, layer.bias = torch.nn.Parameter(W), torch.nn.Parameter(b)
        layers += [layer, torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def loss(rows):
        return torch.nn.functional.cross_entropy(network(x_[rows].float().mul_(1 / 255)), y_[rows])

    def step(rows) -> None:
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()

    return loss, step


def _functional_loss(x_, y_) -> Callable:
    """Return the loss of one trial as a function of W, b, W, b, … and the rows."""
    import torch

    def loss_of(weights, rows):
        z = x_[rows].float() * (1 / 255)
        for k in range(0, len(weights), 2):
            z = torch.nn.functional.linear(z if k == 0 else torch.relu(z), weights[k], weights[k + 1])
        return torch.nn.functional.cross_entropy(z, y_[rows])

    return loss_of


def _compiled_step(gradient: Callable, mode: str | None = None) -> Callable:
    """Return the compiled function of (weights, velocities, rows) that takes one step in place.

    Raises:
        ImportError: this machine has no C++ compiler.
    """
    import torch

    if _torch_device().type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise ImportError("there is no C++ compiler; install g++")

    @torch.compile(fullgraph=True, dynamic=False, mode=mode)
    def step(weights, velocities, rows) -> None:
        for p, v, g in zip(weights, velocities, gradient(weights, rows)):
            v.mul_(MOMENTUM).add_(g)
            p.sub_(v, alpha=LEARNING_RATE)

    return step


def _bind(step: Callable, weights: list, still: bool = False) -> Callable:
    """Return a trial's step as a function of the rows; `still` promises a CUDA graph that the arrays never move."""
    import torch

    velocities = [torch.zeros_like(p) for p in weights]
    for array in (*weights, *velocities) if still else ():
        torch._dynamo.mark_static_address(array)
    return lambda rows: step(weights, velocities, rows)


def _batches(x_, batch_size: int, lanes: tuple[int, ...] = ()) -> Iterator:
    """Yield for ever the rows of the next step (of each lane, where there are any), in a fresh order each epoch."""
    import torch

    total = len(x_)
    while True:
        orders = [torch.randperm(total, device=x_.device) for _ in range(lanes[0] if lanes else 1)]
        order = torch.stack(orders) if lanes else orders[0]
        for position in range(0, total - batch_size + 1, batch_size):
            yield order[..., position : position + batch_size]


def _in_turn(loss: Callable, steps: list[Callable], batch_size: int, x_) -> Contender:
    """Return the contender whose trials take their steps one trial after another."""
    import torch

    batches, first = _batches(x_, batch_size), torch.arange(batch_size, device=x_.device)

    def run(count: int) -> None:
        for step in steps:
            for _ in range(count):
                step(next(batches))
        _await(x_)

    return Contender(lambda: float(loss(first)), run)


def _together(loss_of: Callable, step: Callable, stacked: list, batch_size: int, x_) -> Contender:
    """Return the contender whose trials take each step together."""
    import torch

    lanes = len(stacked[0])
    batches = _batches(x_, batch_size, (lanes,))
    first = torch.arange(batch_size, device=x_.device).expand(lanes, batch_size)

    def run(count: int) -> None:
        for _ in range(count):
            step(next(batches))
        _await(x_)

    return Contender(lambda: torch.func.vmap(loss_of)(stacked, first).mean().item(), run)


def _await(x_) -> None:
    import torch

    if x_.device.type == "cuda":
        torch.cuda.synchronize()


def _classifier(x_: np.ndarray, y: np.ndarray, weights: Weights, batch_size: int):
    """Return scikit-learn's network with these weights."""
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        NETWORK.hidden,
        solver="sgd",
        alpha=0.0,
        batch_size=batch_size,  # pyright: ignore[reportArgumentType]  # the stub knows "auto" alone
        learning_rate_init=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=0,
    )
    network.partial_fit(x_, y, classes=np.arange(NETWORK.outputs))  # makes the arrays
    for (W, b), coefs, intercepts in zip(weights, network.coefs_, network.intercepts_):
        coefs[:], intercepts[:] = np.asarray(W).T, np.asarray(b)
    return network
