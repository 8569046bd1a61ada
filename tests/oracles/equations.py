"""The optimizers' equations written out in NumPy; each yields what is added to the parameters at each step.

`h` holds the hyper-parameters, `sequence` the gradients: an array, or whatever else yields one after the other.
"""

from collections.abc import Iterator

import numpy as np


def sgd(h: dict, sequence) -> Iterator[np.ndarray]:
    for G in sequence:
        yield -h["learning_rate"] * G


def momentum(h: dict, sequence) -> Iterator[np.ndarray]:
    V = 0
    for G in sequence:
        V = h["momentum"] * V + G
        yield -h["learning_rate"] * V


def nesterov(h: dict, sequence) -> Iterator[np.ndarray]:
    V = 0
    for G in sequence:
        V = h["momentum"] * V + G
        yield -h["learning_rate"] * (G + h["momentum"] * V)


def adagrad(h: dict, sequence) -> Iterator[np.ndarray]:
    total = h["initial_accumulator"]
    for G in sequence:
        total = total + G**2
        yield -h["learning_rate"] * G / np.sqrt(total + h["epsilon"])


def rmsprop(h: dict, sequence) -> Iterator[np.ndarray]:
    mean, V = 0, 0
    for G in sequence:
        mean = h["decay"] * mean + (1 - h["decay"]) * G**2
        V = h["momentum"] * V + h["learning_rate"] * G / np.sqrt(mean + h["epsilon"])
        yield -V


def adadelta(h: dict, sequence) -> Iterator[np.ndarray]:
    of_gradients, of_updates = 0, 0
    for G in sequence:
        of_gradients = h["decay"] * of_gradients + (1 - h["decay"]) * G**2
        step = np.sqrt(of_updates + h["epsilon"]) / np.sqrt(of_gradients + h["epsilon"]) * G
        of_updates = h["decay"] * of_updates + (1 - h["decay"]) * step**2
        yield -h["learning_rate"] * step


def _moments(h: dict, sequence):
    """t = 1, 2, …, G, the mean of G, the mean of G²; both still biased towards zero."""
    m, v = 0, 0
    for t, G in enumerate(sequence, start=1):
        m = h["beta1"] * m + (1 - h["beta1"]) * G
        v = h["beta2"] * v + (1 - h["beta2"]) * G**2
        yield t, G, m, v


def adam(h: dict, sequence) -> Iterator[np.ndarray]:
    for t, _, m, v in _moments(h, sequence):
        root = np.sqrt(v / (1 - h["beta2"] ** t))
        yield -h["learning_rate"] * m / (1 - h["beta1"] ** t) / (root + h["epsilon"])


def adamax(h: dict, sequence) -> Iterator[np.ndarray]:
    u = 0
    for t, G, m, _ in _moments(h, sequence):
        u = np.maximum(h["beta2"] * u, np.abs(G) + h["epsilon"])
        yield -h["learning_rate"] * m / (1 - h["beta1"] ** t) / u


def nadam(h: dict, sequence) -> Iterator[np.ndarray]:
    beta = h["beta1"]
    for t, G, m, v in _moments(h, sequence):
        ahead = beta * m / (1 - beta ** (t + 1)) + (1 - beta) * G / (1 - beta**t)
        yield -h["learning_rate"] * ahead / (np.sqrt(v / (1 - h["beta2"] ** t)) + h["epsilon"])


def amsgrad(h: dict, sequence) -> Iterator[np.ndarray]:
    largest = 0
    for t, _, m, v in _moments(h, sequence):
        largest = np.maximum(largest, v / (1 - h["beta2"] ** t))  # of the corrected means
        yield -h["learning_rate"] * m / (1 - h["beta1"] ** t) / (np.sqrt(largest) + h["epsilon"])


EQUATIONS = {
    function.__name__: function
    for function in (sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamax, nadam, amsgrad)
}
UNUSUAL = {  # so that no constant can hide behind its default
    "learning_rate": 0.3,
    "momentum": 0.7,
    "decay": 0.8,
    "initial_accumulator": 0.25,
    "epsilon": 1e-3,
    "beta1": 0.8,
    "beta2": 0.95,
}
