"""Measure a machine: how fast it trains at each batch size, and how fast its products and its memory would allow."""

from mlp_jax.bench.effort import FULL, QUICK, Effort
from mlp_jax.bench.machine import measure
from mlp_jax.bench.record import KIND, VERSION, Gain, default_path, gain, prepare, read, table, write

__all__ = [
    "FULL", "KIND", "QUICK", "VERSION", "Effort", "Gain", "default_path", "gain", "measure", "prepare", "read", "table",
    "write",
]  # fmt: skip
