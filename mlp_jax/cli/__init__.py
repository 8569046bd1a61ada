"""The command line: words in, results out; thin, typed, no logic."""

from mlp_jax.cli.commands import main

__all__ = ["main"]
