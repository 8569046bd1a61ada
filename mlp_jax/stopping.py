"""When a target is met: the limit that a device compares its sums with.

Invariant: `meets` on a device gives the same answer, bit for bit, as comparing the metrics with the target on the host.
"""

from bisect import bisect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Real

from mlp_jax import losses
from mlp_jax.losses import ClassificationSums, RegressionSums, Sums


def limit(loss: str, count: int, target: float | None, target_scale: float = 1.0, by_loss: bool = False) -> Any:
    """Return the largest number of errors, sum of squares or sum of losses that still meets `target`.

    A device compares its sums with this number by `meets`, whose answer equals that of a comparison of `losses.metrics`
    with the target on the host. The limit is −1 if there is no target or nothing can meet it.

    Args:
        count: `n` of the sums over the whole split.
        target: the accuracy that must be reached; of a regression the largest RMSE, and with `by_loss` the largest
            loss, that is allowed.
        target_scale: as for `losses.metrics`.
        by_loss: whether the target is a loss.
    """
    if losses.is_regression(loss) or by_loss:
        real = np.dtype(jnp.result_type(float))
        bits = np.dtype(f"u{real.itemsize}")
        value = lambda number: np.asarray(number, bits).view(real)[()]  # floats from 0 on have the order of their bits
        numbers, none = range(int(np.asarray(np.inf, real).view(bits))), real.type(-1)
        sums = lambda value: RegressionSums(count, value, 0.0, value, 0.0, 0.0)  # pyright: ignore[reportArgumentType]
        met = lambda value: losses.metrics(sums(value), target_scale)["loss" if by_loss else "rmse"] <= target
    else:
        numbers, none, value = range(count + 1), np.int32(-1), np.int32
        sums = lambda errors: ClassificationSums(count, 0.0, errors)  # pyright: ignore[reportArgumentType]
        met = lambda errors: losses.metrics(sums(errors))["accuracy"] >= target
    if target is None:
        return none
    last = bisect(numbers, False, key=lambda number: not met(value(number))) - 1
    return none if last < 0 else value(last)


def meets(sums: Sums, limit: Real[Array, "*lanes"], by_loss: bool = False) -> Bool[Array, "*lanes"]:
    """Tell whether `sums` meet the target that `limit` stands for; with a loss that is not finite, they never do."""
    counted = sums.errors if isinstance(sums, ClassificationSums) else sums.squared
    return ((sums.loss if by_loss else counted) <= limit) & jnp.isfinite(sums.loss)


def of_metrics(loss: str, metrics: dict[str, Any], count: int, target_scale: float = 1.0) -> Sums:
    """Compute from metrics the sums that a target needs: number of examples, loss, and errors or squares; others are 0.

    It undoes `losses.metrics`, exactly so for float32 sums. A loss of NaN stands for a part that was not evaluated:
    its sums are 0.

    Args:
        count: the number of examples of the whole part.
    """
    there = np.isfinite(metrics["loss"])
    zero = np.zeros_like(metrics["loss"])
    times_count = lambda values: np.where(there, values, 0.0) * count
    n, total = np.where(there, count, 0), times_count(metrics["loss"])
    if losses.is_regression(loss):
        sums = RegressionSums(n, total, zero, times_count((metrics["rmse"] / target_scale) ** 2), zero, zero)  # pyright: ignore[reportArgumentType]
    else:
        sums = ClassificationSums(n, total, np.rint(times_count(metrics["error"])))  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda values, kind: values.astype(kind.dtype), sums, losses.nothing(loss))
