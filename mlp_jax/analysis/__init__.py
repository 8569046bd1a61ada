"""Statistics of finished trials: arrays in, numbers out.

Invariant: no room of mlp_jax is imported here, nothing is read or written, and a miss is inf, never dropped.
"""
