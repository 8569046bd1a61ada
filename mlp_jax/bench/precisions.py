"""Each precision that the device offers for matrix products: how exact, how fast, and what loss training reaches."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from mlp_jax.analysis import comparison
from mlp_jax.bench import ceilings, roofline, training, workloads
from mlp_jax.bench.effort import NETWORKS, Effort
from mlp_jax.training import population
from mlp_jax.training.config import Config

PRECISIONS = {  # as jax.default_matmul_precision takes them
    "default": "default", "high": "high", "highest": "highest", "tf32": "TF32_TF32_F32", "bf16": "BF16_BF16_F32",
}  # fmt: skip
WORKLOAD = Config(dataset="digits", hidden=(64,), validation=0.2, batch_size=32, epochs=5, evaluations=1)


def measured(one: Mesh, effort: Effort, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Measure each precision; those whose products are equal bit for bit are measured once."""
    made: dict[str, dict[str, Any]] = {}
    seen: dict[str, np.ndarray] = {}
    for name, asked in PRECISIONS.items():
        say(f"precision {name}")
        with jax.default_matmul_precision(asked):
            try:
                found, error = product()
            except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as refusal:
                made[name] = {"asked": asked, "error": training.one_line(refusal)}
                continue
            twin = next((other for other in seen if np.array_equal(seen[other], found)), None)
            row = made[twin] | {"same_as": twin} if twin else _precision(one, effort)
        made[name], seen[name] = row | {"asked": asked, "product_error": error}, found
    return _compared(made)


def _precision(one: Mesh, effort: Effort) -> dict[str, Any]:
    """Measure products, a step of the wide network, and the final loss on digits, at JAX's current precision."""
    batch_size, network = effort.precision_batch_size, NETWORKS["wide"]
    data = workloads.held(*workloads.noise(network, max(1000, batch_size)))
    losses = population.train(WORKLOAD, seeds=range(effort.seeds)).metrics["validation_loss"]
    return {
        "same_as": None,
        "product_flops_per_second": roofline.product_rate(one, effort, ceilings.ORIENTATIONS[0]),
        "batch_size": batch_size,
        "step": training.or_memory(partial(training.step, network, batch_size, data, effort)),
        "validation_loss": float(np.median(losses)),
        "validation_losses": losses.tolist(),
    }


def product() -> tuple[Float[np.ndarray, "n n"], float]:
    """Return C = AB of noise at JAX's current precision, and ‖C − AB‖/‖AB‖: about 3e-7 in float32, 3e-3 in bf16."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(256, 256)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    found = np.asarray(jnp.dot(a, b))
    return found, float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _compared(precisions: dict[str, dict]) -> dict[str, dict]:
    """Add to each precision the difference of its final loss from that of `highest`, paired by seed."""
    exact = precisions["highest"].get("validation_losses")
    for name, row in precisions.items():
        if name != "highest" and exact and "validation_losses" in row:
            difference = comparison.difference(np.array(row["validation_losses"]), np.array(exact))
            row["loss_minus_highest"] = difference.estimate._asdict() | {"verdict": difference.verdict}
    return precisions
