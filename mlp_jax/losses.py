"""The loss of one example for each task, losses of many, and metrics as sums that merge.

Invariant: a metric over a data set is one ratio of sums, never a mean of batch means, so neither the size of the
pieces nor a ragged last piece changes it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, Real

from mlp_jax import model
from mlp_jax.checks import choose
from mlp_jax.model import Network, Params

Mask = Real[Array, " n"] | Bool[Array, " n"] | None
"""Which of the n rows count (None: all of them), or a weight for each row."""


def cross_entropy(
    network: Network, z: Float[Array, " classes"], y: Num[Array, "*one_hot"], smoothing: Float[Array, ""] | float = 0.0
) -> Float[Array, ""]:
    """−Σ y_i log softmax(z)_i for a class id (integer scalar) or one-hot labels.

    `smoothing` ε replaces the labels by (1 − ε)·y + ε/classes.
    """
    log_f = jax.nn.log_softmax(z)
    if jnp.ndim(y) == 0:  # log_f[y] has a scatter as its gradient, which a TPU computes row after row
        of_label = -jnp.sum(jnp.where(jnp.arange(len(log_f)) == y, log_f, 0))
    else:
        of_label = -jnp.dot(y.astype(log_f.dtype), log_f)
    return (1 - smoothing) * of_label - smoothing * jnp.mean(log_f)


def binary_cross_entropy(
    network: Network, z: Float[Array, " 1"], y: Num[Array, ""], smoothing: Float[Array, ""] | float = 0.0
) -> Float[Array, ""]:
    """−log P(y): labels 0 and 1 with P(1) = sigmoid(z), or labels −1 and 1 with P(1) = (1 + tanh(z))/2.

    Since (1 + tanh(z))/2 = sigmoid(2z), both are softplus of the margin; `smoothing` ε moves the label's
    probability to 1 − ε/2.
    """
    sign = y if network.output == "tanh" else 2 * y.astype(z.dtype) - 1
    margin = jnp.squeeze(z) * sign * (2 if network.output == "tanh" else 1)
    return jax.nn.softplus(-margin) + smoothing / 2 * margin


def squared(
    network: Network, z: Float[Array, " outputs"], y: Num[Array, "*outputs"], smoothing: Float[Array, ""] | float = 0.0
) -> Float[Array, ""]:
    """Squared L2 loss ½‖f(x) − y‖², as in the slides."""
    return 0.5 * jnp.sum((model.output(network, z) - jnp.reshape(y, z.shape)) ** 2)


def absolute(
    network: Network, z: Float[Array, " outputs"], y: Num[Array, "*outputs"], smoothing: Float[Array, ""] | float = 0.0
) -> Float[Array, ""]:
    """L1 loss ‖f(x) − y‖₁."""
    return jnp.sum(jnp.abs(model.output(network, z) - jnp.reshape(y, z.shape)))


LOSSES: dict[str, Callable[..., Float[Array, ""]]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "squared": squared,
    "absolute": absolute,
}
FITTING = {  # the losses that fit each output function, the usual one first
    "softmax": ("cross_entropy",),
    "sigmoid": ("binary_cross_entropy",),
    "tanh": ("binary_cross_entropy",),
    "identity": ("squared", "absolute"),
    "relu": ("squared", "absolute"),
}


def check(network: Network, loss: str) -> None:
    """Raise a ValueError unless `loss` is defined for `network`'s output."""
    choose("loss", loss, LOSSES)
    if loss not in FITTING[network.output]:
        allowed = " or ".join(FITTING[network.output])
        raise ValueError(f"loss {loss!r} does not fit output {network.output!r}; use {allowed}, or another output")
    if loss == "binary_cross_entropy" and network.outputs != 1:
        raise ValueError(
            f"loss 'binary_cross_entropy' needs 1 output, not {network.outputs}; "
            "use output softmax for more than two classes"
        )


def labels(network: Network, y: Num[Array | np.ndarray, " n"]) -> Num[Array | np.ndarray, " n"]:
    """Map class ids to what the loss expects: 0, 1 become −1, 1 for a tanh output; all else is unchanged."""
    return 2 * y.astype(np.int32) - 1 if network.output == "tanh" else y


def penalty(params: Params) -> Float[Array, ""]:
    """½ Σ ‖W^(k)‖², the L2 regularisation without its factor; biases are left out."""
    return 0.5 * sum((jnp.sum(layer.W**2) for layer in params), start=jnp.zeros(()))


class ClassificationSums(NamedTuple):
    """Sums over examples; add two of them to merge two parts of a data set."""

    n: Real[Array, ""]
    loss: Float[Array, ""]
    errors: Real[Array, ""]


class RegressionSums(NamedTuple):
    """Sums of the residuals r = f(x) − y over all examples and outputs; `n` is examples times outputs.

    `y` and `y_squared` serve R²: they sum y − shift and its square. Only sums with the same shift may be merged.
    """

    n: Real[Array, ""]
    loss: Float[Array, ""]
    absolute: Float[Array, ""]
    squared: Float[Array, ""]
    y: Float[Array, ""]
    y_squared: Float[Array, ""]


Sums = ClassificationSums | RegressionSums


def is_regression(loss: str) -> bool:
    """Tell whether `loss` is summed into RegressionSums."""
    return loss in ("squared", "absolute")


def each(
    network: Network,
    loss: str,
    z: Float[Array, "n outputs"],
    y: Num[Array, "n *outputs"],
    smoothing: Float[Array, ""] | float = 0.0,
) -> Float[Array, " n"]:
    """Return the loss of each of n examples; `z` holds the outputs before the output layer's function is applied."""
    return jax.vmap(lambda z, y: LOSSES[loss](network, z, y, smoothing))(z, y)


def total(
    network: Network,
    loss: str,
    params: Params,
    x: Float[Array, "n inputs"],
    y: Num[Array, "n *outputs"],
    smoothing: Float[Array, ""] | float = 0.0,
    mask: Mask = None,
) -> Float[Array, ""]:
    """Sum the losses of the examples whose `mask` is true (None: of all); a mask of numbers gives their weights."""
    z = jax.vmap(partial(model.forward, network, params))(x)
    return jnp.sum(_counted(each(network, loss, z, y, smoothing), mask))


def sums(
    network: Network,
    loss: str,
    z: Float[Array, "n outputs"],
    y: Num[Array, "n *outputs"],
    mask: Mask = None,
    shift: Float[Array, ""] | float = 0.0,
) -> Sums:
    """Sum loss and metrics over the rows of `z` whose `mask` is true (None: all); a mask of numbers gives weights.

    `shift` is a number near the mean of the targets, such as `middle(y)`. Without it, a mean far from 0 would leave
    float32 no digits for the variance. Values of `z` that are not finite make the sums NaN, even where the output's
    function would hide them, as a ReLU hides −∞.
    """
    kind = jnp.int32 if mask is None or mask.dtype == bool else mask.dtype
    count = jnp.sum(_counted(jnp.ones(len(z), jnp.int32), mask), dtype=kind)
    of_each = jnp.where(jnp.isfinite(z).all(axis=1), each(network, loss, z, y), jnp.nan)
    total = jnp.sum(_counted(of_each, mask))
    if is_regression(loss):
        y = jnp.reshape(y, z.shape).astype(z.dtype)
        residual = jnp.where(jnp.isfinite(z), jax.vmap(partial(model.output, network))(z), jnp.nan) - y
        over = lambda values: jnp.sum(_counted(values, mask))
        parts = (over(jnp.abs(residual)), over(residual**2), over(y - shift), over((y - shift) ** 2))
        return RegressionSums(count * z.shape[1], total, *parts)
    wrong = predicted_class(network, z) != _class_ids(network, y)
    return ClassificationSums(count, total, jnp.sum(_counted(wrong, mask), dtype=kind))


def middle(y: Float[Array, "n *outputs"]) -> Float[Array, ""]:
    """Return the target that is nearest to the mean; subtracted from equal targets, it leaves exactly 0."""
    y = jnp.ravel(y)
    return y[jnp.argmin(jnp.abs(y - jnp.mean(y)))]


def predicted_class(network: Network, z: Float[Array, "*n outputs"]) -> Int[Array, "*n"]:
    """Return argmax z, or whether z > 0 for a single output."""
    if network.outputs == 1:
        return (z[..., 0] > 0).astype(jnp.int32)
    return jnp.argmax(z, axis=-1).astype(jnp.int32)


def metrics(sums: Sums, target_scale: float = 1.0) -> dict[str, Any]:
    """Turn sums into `loss` with `error` and `accuracy`, or with `rmse`, `mae` (in the target's unit) and `r2`.

    Each metric is a float64, or an array of float64 where the sums are arrays. Without examples every metric is NaN;
    where the loss is not finite, error and accuracy are NaN too.
    """
    n, total, *rest = (np.asarray(value, np.float64) for value in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = total / n
        if isinstance(sums, ClassificationSums):
            error = np.where(np.isfinite(loss), rest[0] / n, np.nan)[()]
            return {"loss": loss, "error": error, "accuracy": 1 - error}
        absolute, squared, y, y_squared = rest
        mean_square, variance = squared / n, y_squared / n - (y / n) ** 2
        return {
            "loss": loss,
            "rmse": target_scale * np.sqrt(mean_square),
            "mae": target_scale * absolute / n,
            "r2": np.where(variance > 0, 1 - mean_square / variance, np.nan)[()],
        }


def nothing(loss: str) -> Sums:
    """Return the sums over zero examples, as NumPy values."""
    kind, real = (RegressionSums if is_regression(loss) else ClassificationSums), jnp.result_type(float)
    return kind(*(np.zeros((), np.int32 if name in ("n", "errors") else real) for name in kind._fields))  # pyright: ignore[reportArgumentType]


def _counted(values: Num[Array, "n *k"] | Bool[Array, " n"], mask: Mask) -> Array:
    """Return `values` with 0 in the rows whose `mask` is false, or with each row times its weight."""
    if mask is None:
        return values
    if mask.dtype != bool:  # a value that is not finite must not count where its weight is 0
        weight = mask.reshape(-1, *(1,) * (values.ndim - 1))
        return jnp.where(weight > 0, values, jnp.zeros((), values.dtype)) * weight
    return jnp.where(mask.reshape(-1, *(1,) * (values.ndim - 1)), values, jnp.zeros((), values.dtype))


def _class_ids(network: Network, y: Num[Array, "n *one_hot"]) -> Int[Array, " n"]:
    if y.ndim == 2:
        return jnp.argmax(y, axis=-1)
    return (y > 0).astype(jnp.int32) if network.output == "tanh" else y
