"""How a trained classifier does on each class: confusion matrix, precision and recall.

Invariant: the counts of a split sum to its examples, and its diagonal to those that the accuracy counts as right.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from mlp_jax import losses, model
from mlp_jax.data import Dataset, Split
from mlp_jax.model import Network, Params
from mlp_jax.rows import normalize, place

ROWS = 10_000  # at once, so that memory stays bounded


def confusion(network: Network, params: Params, dataset: Dataset, split: Split) -> Int[np.ndarray, "classes classes"]:
    """Count the examples of each class (row) that are predicted to be of each (column)."""
    k = len(dataset.classes)
    counts = np.zeros((k, k), np.int64)
    predict = jax.jit(lambda x: losses.predicted_class(network, jax.vmap(partial(model.forward, network, params))(x)))
    for begin in range(0, len(split.y), ROWS):
        some = Split(split.x[begin : begin + ROWS], split.y[begin : begin + ROWS])
        data = place(network, dataset, some)
        np.add.at(counts, (some.y, np.asarray(predict(normalize(data, data.x)))), 1)
    return counts


def results(counts: Int[np.ndarray, "classes classes"], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return a confusion matrix with the precision and the recall of each class; NaN where nothing is divided by."""
    right, predicted, there = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        precision, recall = right / predicted, right / there
    named = lambda values: dict(zip(classes, values.tolist()))
    return {"confusion": counts.tolist(), "precision": named(precision), "recall": named(recall)}
