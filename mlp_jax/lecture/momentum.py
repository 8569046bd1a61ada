"""Momentum on a quadratic, where everything about it is known in closed form (Goh, "Why Momentum Really Works", 2017).

Invariant: f(w) = ½ Σ λ_i w_i² in the eigenbasis, where coordinates do not affect each other; the heavy ball is that of
the slides, V ← βV + G and W ← W − αV. A setting that diverges has a rate of at least 1, and is not an error.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Values = Float[Array, "*shape"] | float


class Tuning(NamedTuple):
    """A learning rate, a momentum, and the factor by which each step shrinks the distance in the end."""

    alpha: float
    beta: float
    rate: float


def iterates(
    alpha: Float[Array, ""] | float,
    beta: Float[Array, ""] | float,
    eigenvalues: Float[Array, " n"],
    start: Float[Array, " n"],
    num_steps: int,
    *,
    key: Key[Array, ""] | None = None,
    sigma: Float[Array, ""] | float = 0.0,
) -> Float[Array, "{num_steps}+1 n"]:
    """Return w after 0, 1, …, `num_steps` steps from `start`, with V = 0 at first.

    Args:
        key: None for the exact gradient; otherwise each coordinate of each gradient gets noise from N(0, sigma²).
    """

    def step(state, t):
        w, v = state
        gradient = eigenvalues * w
        if key is not None:
            gradient += sigma * jax.random.normal(jax.random.fold_in(key, t), w.shape, w.dtype)
        v = beta * v + gradient
        w = w - alpha * v
        return (w, v), w

    _, path = jax.lax.scan(step, (start, jnp.zeros_like(start)), jnp.arange(num_steps))
    return jnp.concatenate([start[None], path])


def rate(alpha: Values, beta: Values, eigenvalue: Values) -> Float[Array, "*shape"]:
    """Return the spectral radius of the matrix [[β, λ], [−αβ, 1 − αλ]] by which one step multiplies (V, w).

    Its determinant is β and its trace t = 1 + β − αλ. Complex eigenvalues have the modulus √β, and the path oscillates;
    of real ones the larger modulus is (|t| + √(t² − 4β))/2. Below 1 the coordinate converges.
    """
    trace = jnp.asarray(1 + beta - alpha * eigenvalue)
    discriminant = trace**2 - 4 * beta
    real = (jnp.abs(trace) + jnp.sqrt(jnp.maximum(discriminant, 0.0))) / 2
    return jnp.where(discriminant < 0, jnp.sqrt(jnp.maximum(beta, 0.0)), real)


def optimal(smallest: float, largest: float) -> Tuning:
    """Return Polyak's α = (2/(√l + √L))² and β = ρ² with the rate ρ = (√κ − 1)/(√κ + 1), where κ = L/l.

    Args:
        smallest, largest: the extreme eigenvalues l and L.

    Raises:
        ValueError: 0 < smallest ≤ largest does not hold.
    """
    _check(smallest, largest)
    root = (largest / smallest) ** 0.5
    rate = (root - 1) / (root + 1)
    return Tuning((2 / (smallest**0.5 + largest**0.5)) ** 2, rate**2, rate)


def optimal_gradient_descent(smallest: float, largest: float) -> Tuning:
    """Return the best tuning without momentum: α = 2/(l + L), rate (κ − 1)/(κ + 1); see `optimal`."""
    _check(smallest, largest)
    return Tuning(2 / (smallest + largest), 0.0, (largest - smallest) / (largest + smallest))


def stationary_variance(alpha: Values, beta: Values, eigenvalue: Values, sigma: Values) -> Float[Array, "*shape"]:
    """Return the stationary variance of w if each gradient has noise of variance σ²; ∞ if the rate is at least 1.

    It is σ²·α(1 + β) / (λ(1 − β)(2(1 + β) − αλ)), from the solution of Σ = MΣMᵀ + σ²(1, −α)(1, −α)ᵀ, M as in `rate`: w
    is the autoregressive process w_{t+1} = (1 + β − αλ)·w_t − β·w_{t−1} − α·noise.
    """
    stable = rate(alpha, beta, eigenvalue) < 1
    divisor = jnp.where(stable, eigenvalue * (1 - beta) * (2 * (1 + beta) - alpha * eigenvalue), 1.0)
    return jnp.where(stable, sigma**2 * alpha * (1 + beta) / divisor, jnp.inf)


def _check(smallest: float, largest: float) -> None:
    if not 0 < smallest <= largest < float("inf"):
        raise ValueError(f"eigenvalues {smallest!r}, {largest!r} are not allowed; give 0 < smallest ≤ largest")
