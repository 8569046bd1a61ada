"""Why momentum works, on a quadratic: theory and simulation of Goh's "Why Momentum Really Works" (Distill 2017).

    python experiments/momentum_quadratic.py

f(w) = ½ Σ λ_i w_i² with eigenvalues from 1 to κ; heavy ball V ← βV + G, W ← W − αV. The table compares the share of
the distance that is left after each step, at the best α and β, with (κ − 1)/(κ + 1) for gradient descent and
(√κ − 1)/(√κ + 1) for momentum; and the variance that gradient noise leaves in W with its closed form.

Measured: κ = 10, 100, 1000: gradient descent leaves 0.81818, 0.98020, 0.99800 of the distance per step and needs 63,
624, 6,231 steps to 1e-6; momentum leaves 0.51949, 0.81818, 0.93869 and needs 25, 86, 292; simulated rates agree to
0.001. At equal α = 0.1, noise leaves a variance of 0.0526 with β = 0 and 0.5135 with β = 0.9 (simulated: 0.0526 and
0.5163); at equal α/(1 − β) momentum costs nothing. 5 s of CPU time on 2 cores of a shared AMD EPYC machine.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from mlp_jax import tables
from mlp_jax.cli.entry import script
from mlp_jax.lecture import momentum
from mlp_jax.lecture.momentum import Tuning
from mlp_jax.report.canvas import save

EIGENVALUES = 30  # of the quadratic, equally spaced on a logarithmic scale
NOISY = 0.1  # αλ in the noisy case
BETAS = (0.0, 0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    kappas: tuple[float, ...] = (10.0, 100.0, 1000.0)
    """Condition numbers."""
    coordinates: int = 4000
    """Independent copies that the noisy case is averaged over."""
    figure: Path = Path("figures/momentum_quadratic.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """A tenth of the copies."""


def main(options: Options) -> None:
    """Print theory beside simulation, and draw both."""
    copies = options.coordinates // 10 if options.quick else options.coordinates
    rows = []
    for kappa in options.kappas:
        for method, tuning in tunings(kappa).items():
            error = distances(tuning, kappa, steps_for(tuning))
            rows.append((f"{kappa:g}", method, f"{tuning.alpha:.5f}", f"{tuning.beta:.4f}", f"{tuning.rate:.5f}",
                         f"{measured_rate(error, tuning):.5f}", str(first_below(error, 1e-6))))  # fmt: skip
    print(tables.text(("κ", "method", "α", "β", "rate", "simulated", "steps to 1e-6"), rows))
    print(f"\nvariance of w under gradient noise of variance 1, αλ = {NOISY:g}")
    theory = [momentum.stationary_variance(NOISY, beta, 1.0, 1.0) for beta in BETAS]
    rows = [(f"{b:g}", f"{each:.4f}", f"{simulated_variance(b, copies):.4f}") for b, each in zip(BETAS, theory)]
    print(tables.text(("β", "theory", "simulated"), rows))
    save(draw(options, copies), options.figure)
    print(f"figure: {options.figure}")


def tunings(kappa: float) -> dict[str, Tuning]:
    """Return the best gradient descent and the best momentum for eigenvalues from 1 to κ."""
    return {"gradient descent": momentum.optimal_gradient_descent(1.0, kappa), "momentum": momentum.optimal(1.0, kappa)}


def steps_for(tuning: Tuning) -> int:
    """Return the number of steps that leave e⁻³⁰ of the distance by the theory."""
    return int(np.ceil(30 / -np.log(tuning.rate)))


def distances(tuning: Tuning, kappa: float, num_steps: int) -> np.ndarray:
    """Return ‖w‖/‖w at the start‖ for each step, from w = (1, …, 1)."""
    eigenvalues = jnp.geomspace(1.0, kappa, EIGENVALUES)
    path = momentum.iterates(tuning.alpha, tuning.beta, eigenvalues, jnp.ones(EIGENVALUES), num_steps)
    return np.linalg.norm(path, axis=1) / np.sqrt(EIGENVALUES)


def measured_rate(error: np.ndarray, tuning: Tuning) -> float:
    """Return the share left per step in the second half; at the best β > 0 the distance goes as t·rate^t."""
    half, last = len(error) // 2, len(error) - 1
    growth = last / half if tuning.beta > 0 else 1.0
    return float((error[-1] / error[half] / growth) ** (1 / (last - half)))


def first_below(error: np.ndarray, target: float) -> int:
    """Return the first step whose error is at most `target`."""
    return int(np.argmax(error <= target))


def simulated_variance(beta: float, copies: int) -> float:
    """Return the mean square of w over many noisy copies and, after the start is forgotten, over steps."""
    ones = jnp.ones(copies)
    burn_in = int(20 / (1 - beta)) + 200
    path = momentum.iterates(NOISY, beta, ones, 0 * ones, 2 * burn_in, key=jax.random.key(0), sigma=1.0)
    return float(jnp.mean(path[burn_in:] ** 2))


def draw(options: Options, copies: int):
    """Return the figure: rates over the plane, rates of one eigenvalue, convergence, noise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    plane, single, paths, noise = figure.subplots(2, 2).flat
    draw_plane(figure, plane, options.kappas[len(options.kappas) // 2])
    draw_single(single)
    draw_paths(paths, options.kappas)
    draw_noise(noise, copies)
    return figure


def draw_plane(figure, axes, kappa: float) -> None:
    """Draw the slowest eigenvalue's rate over (αL, β): white where it diverges, a star where it is best."""
    scaled, beta = np.meshgrid(np.linspace(0.01, 4, 400), np.linspace(0, 0.999, 400))
    alpha, beta = jnp.asarray(scaled / kappa, jnp.float32), jnp.asarray(beta, jnp.float32)
    worst = np.maximum(momentum.rate(alpha, beta, 1.0), momentum.rate(alpha, beta, kappa))
    digits = -np.log10(np.maximum(1 - np.where(worst < 1, worst, np.nan), 1e-6))
    mesh = axes.pcolormesh(scaled, beta, digits, shading="auto", cmap="viridis_r", vmin=0.7, vmax=3, rasterized=True)
    figure.colorbar(mesh, ax=axes, label="−log₁₀(1 − rate): lower is faster")
    for (method, tuning), marker in zip(tunings(kappa).items(), "o*"):
        axes.plot(
            tuning.alpha * kappa, tuning.beta, marker, color="crimson", markersize=12, clip_on=False, label=method
        )
    axes.set(xlabel="αL", ylabel="β", title=f"Rate of the slowest eigenvalue, κ = {kappa:g}", xlim=(0, 4), ylim=(0, 1))
    axes.legend(loc="lower right", title="best")


def draw_single(axes) -> None:
    """Draw one eigenvalue's rate against αλ for several β: lines from the formula, dots from simulated paths."""
    scaled = jnp.linspace(0.0, 4.4, 600)
    dots = jnp.linspace(0.1, 4.3, 16)
    for number, beta in enumerate((0.0, 0.3, 0.6, 0.9)):
        axes.plot(scaled, momentum.rate(scaled, beta, 1.0), color=f"C{number}", label=f"β = {beta:g}")
        path = np.abs(momentum.iterates(1.0, beta, dots, jnp.ones_like(dots), 59))
        early, late = path[20:30].max(axis=0), path[50:].max(axis=0)  # a maximum sees past the oscillation
        axes.plot(dots, (late / early) ** (1 / 30), ".", color=f"C{number}")
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set(xlabel="αλ", ylabel="rate", title="Rate of one eigenvalue (dots: simulated)", ylim=(0, 1.6), xlim=(0, 4.4))
    axes.legend()


def draw_paths(axes, kappas: tuple[float, ...]) -> None:
    """Draw the distance at the best α and β; dashed: the theory's slope."""
    for number, kappa in enumerate(kappas):
        for (method, tuning), width in zip(tunings(kappa).items(), (1.0, 2.4)):
            error = distances(tuning, kappa, steps_for(tuning))
            steps, end = np.arange(len(error)), len(error) // 2
            label = f"κ = {kappa:g}" if method == "momentum" else None
            axes.plot(steps[1:], error[1:], color=f"C{number}", linewidth=width, label=label)
            line = error[end] * tuning.rate ** (steps - end)
            axes.plot(steps[end // 3 :], line[end // 3 :], "--", color="black", linewidth=0.7)
    axes.plot([], color="gray", linewidth=1.0, label="gradient descent")
    axes.plot([], color="gray", linewidth=2.4, label="momentum")
    axes.set(xscale="log", yscale="log", ylim=(1e-7, 3), xlabel="step", ylabel="‖w‖ / ‖w at the start‖")
    axes.set_title("Convergence at the best α, β (dashed: theory's slope)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=5, fontsize=8)


def draw_noise(axes, copies: int) -> None:
    """Draw the variance that noise leaves against β, at equal α and at equal α/(1 − β)."""
    beta = jnp.linspace(0.0, 0.99, 300)
    axes.plot(beta, momentum.stationary_variance(NOISY, beta, 1.0, 1.0), label=f"α = {NOISY:g}/λ")
    axes.plot(beta, momentum.stationary_variance(NOISY * (1 - beta), beta, 1.0, 1.0), label=f"α = {NOISY:g}(1 − β)/λ")
    axes.plot(BETAS, [simulated_variance(beta, copies) for beta in BETAS], "o", color="C0", label="simulated")
    axes.set(yscale="log", xlabel="β", ylabel="variance of w · λ²/σ²", title="Gradient noise: what momentum costs")
    axes.legend()


if __name__ == "__main__":
    script(main, Options)
