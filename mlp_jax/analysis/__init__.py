"""Statistics of finished trials: arrays in, numbers out.

Invariant: of mlp_jax only `checks` is imported here, no file is read but the table that comes with `testbed`, none is
written, and a trial that missed its target counts as inf and is never dropped.
"""
