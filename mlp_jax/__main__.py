"""`python -m mlp_jax` is `mlp-jax`."""

from mlp_jax.cli import main

if __name__ == "__main__":
    main()
