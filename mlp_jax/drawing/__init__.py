"""Figures as files, and drawings of a network."""

from mlp_jax.drawing.canvas import save
from mlp_jax.drawing.networks import blocks, network, nodes, weights

__all__ = ["blocks", "network", "nodes", "save", "weights"]
