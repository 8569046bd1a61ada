"""The outputs of a trained network for each example of a split, and the results of a classifier for each class.

Invariant: the counts of a split sum to its number of examples, and the diagonal to those that the accuracy counts.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mlp_jax import losses, model
from mlp_jax.data import Dataset, Split
from mlp_jax.model import Network, Params
from mlp_jax.rows import normalize, place

ROWS = 10_000  # computed at once, so that memory stays bounded


def scores(network: Network, params: Params, dataset: Dataset, split: Split) -> Float[np.ndarray, "n outputs"]:
    """Return z of each example: the outputs before the output layer's function is applied."""
    found = [np.zeros((0, network.outputs))]
    of_each = jax.jit(jax.vmap(partial(model.forward, network, params)))
    for begin in range(0, len(split.y), ROWS):
        some = Split(split.x[begin : begin + ROWS], split.y[begin : begin + ROWS])
        data = place(network, dataset, some)
        found.append(np.asarray(of_each(normalize(data, data.x))))
    return np.concatenate(found[1:] or found)


def confusion(network: Network, params: Params, dataset: Dataset, split: Split) -> Int[np.ndarray, "classes classes"]:
    """Count the examples by their class (row) and their predicted class (column)."""
    return counted(network, scores(network, params, dataset, split), dataset, split)


def counted(
    network: Network, z: Float[np.ndarray, "n outputs"], dataset: Dataset, split: Split
) -> Int[np.ndarray, "classes classes"]:
    """Count the examples as `confusion` does, given their scores."""
    k = len(dataset.classes)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (split.y, predicted(network, z)), 1)
    return counts


def predicted(network: Network, z: Float[np.ndarray, "n outputs"]) -> Int[np.ndarray, " n"]:
    """Return the number of the class that each example is taken for, given its scores."""
    return np.asarray(losses.predicted_class(network, jnp.asarray(z)))


def outputs(network: Network, z: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n outputs"]:
    """Return f(x) of each example, given its scores."""
    return np.asarray(jax.vmap(partial(model.output, network))(jnp.asarray(z)))


def probabilities(network: Network, z: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n classes"]:
    """Return the probability of each class for each example, given its scores."""
    f = outputs(network, z)
    if f.shape[1] > 1:
        return f
    positive = f[:, 0] if network.output == "sigmoid" else (1 + f[:, 0]) / 2  # tanh
    return np.stack([1 - positive, positive], axis=1)


def results(counts: Int[np.ndarray, "classes classes"], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the confusion matrix, and precision and recall of each class; NaN where the divisor is 0."""
    right, predicted, there = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        precision, recall = right / predicted, right / there
    named = lambda values: dict(zip(classes, values.tolist()))
    return {"confusion": counts.tolist(), "precision": named(precision), "recall": named(recall)}
