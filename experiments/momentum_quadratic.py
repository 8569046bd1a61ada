"""Why momentum works, on a quadratic: theory and simulation of Goh's "Why Momentum Really Works" (Distill 2017).

    python experiments/momentum_quadratic.py

f(w) = ½ Σ λ_i w_i² with eigenvalues from 1 to κ; heavy ball V ← βV + G, W ← W − αV. The table compares the share of
the distance that is left after each step, at the best α and β, with (κ − 1)/(κ + 1) for gradient descent and
(√κ − 1)/(√κ + 1) for momentum; and the variance that gradient noise leaves in W with its closed form.

Measured: κ = 10, 100, 1000: gradient descent leaves 0.81818, 0.98020, 0.99800 of the distance per step in the end and
needs 63, 624, 6,231 steps to 1e-6; momentum leaves 0.51949, 0.81818, 0.93869 and needs 25, 86, 292; simulated rates
agree to 0.001. The rate alone says log 1e-6 / log rate: 6,908 and 219 steps at κ = 1000. It is not the count, for two
reasons that the closed form of the whole path has, and with them it is exact, 6,231 and 292: only the two extreme ones
of 30 eigenvalues are as slow as the rate, so gradient descent starts from √(2/30) of the distance and is ahead by 677
steps; and momentum's best β makes a double eigenvalue, whose distance falls as t·rate^t, and takes 73 steps more.

At equal α = 0.1, noise leaves a variance of 0.0526 with β = 0 and 0.5135 with β = 0.9 (simulated: 0.0526 and 0.5163);
at equal α/(1 − β) momentum costs nothing. 5 s of CPU time on 2 cores of a shared AMD EPYC machine.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from mlp_jax import tables
from mlp_jax.checks import Count, Domain
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.drawing.canvas import COLORS, save
from mlp_jax.lecture import momentum
from mlp_jax.lecture.momentum import Tuning

EIGENVALUES = 30  # of the quadratic, equally spaced on a logarithmic scale
NOISY = 0.1  # αλ in the noisy case
BETAS = (0.0, 0.5, 0.9, 0.99)
TARGET = 1e-6  # of the distance at the start
PATH = ("kappa", "method", "alpha", "beta", "rate", "simulated_rate", "steps_by_rate", "steps_by_closed_form", "steps")


Condition = Annotated[float, Domain(lambda v: 1 < v < math.inf, "a condition number above 1")]


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    kappas: tuple[Condition, ...] = (10.0, 100.0, 1000.0)
    """Condition numbers."""
    coordinates: Count = 4000
    """Independent copies that the noisy case is averaged over."""
    figure: Path = Path("figures/momentum_quadratic.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """A tenth of the copies."""


def main(options: Options) -> None:
    """Print theory beside simulation, and draw both."""
    parts = experiment.Parts(options, sys.modules[__name__])
    copies = max(1, options.coordinates // 10) if options.quick else options.coordinates
    paths = []
    for kappa in options.kappas:
        for method, tuning in tunings(kappa).items():
            measured = parts(f"{method}, κ = {kappa:g}", partial(walked, tuning, kappa))
            paths.append(dict(zip(PATH, (kappa, method, *map(float, tuning), *measured))))
    noise = [
        {"beta": beta, "theory": float(momentum.stationary_variance(NOISY, beta, 1.0, 1.0))}
        | {"simulated": parts(f"noise, β = {beta:g}", partial(simulated_variance, beta, copies))}
        for beta in BETAS
    ]
    formats = ("{:g}", "{}", "{:.5f}", "{:.4f}", "{:.5f}", "{:.5f}", "{:,}", "{:,}", "{:,}")
    heads = ("κ", "method", "α", "β", "rate", "simulated", "steps by rate", "by closed form", "simulated")
    text = tables.text(heads, [[form.format(cell) for form, cell in zip(formats, row.values())] for row in paths])
    text += f"\n\nvariance of w under gradient noise of variance 1, αλ = {NOISY:g}\n"
    cells = [(f"{row['beta']:g}", f"{row['theory']:.4f}", f"{row['simulated']:.4f}") for row in noise]
    text += tables.text(("β", "theory", "simulated"), cells)
    save(draw(options, copies), options.figure)
    result = {"paths": paths, "noise": noise, "figure": str(options.figure)}
    quick = f"{copies:,} copies of the noisy case" if options.quick else None
    experiment.show(options, result, f"{text}\nfigure: {options.figure}", quick)


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


def walked(tuning: Tuning, kappa: float) -> tuple[float, int, int, int]:
    """Return the simulated rate, and the steps to TARGET by the rate, by the closed form and simulated."""
    error = distances(tuning, kappa, steps_for(tuning))
    counts = by_rate(tuning), by_closed_form(tuning, kappa, len(error)), first_below(error, TARGET)
    return measured_rate(error, tuning), *counts


def measured_rate(error: np.ndarray, tuning: Tuning) -> float:
    """Return the share left per step in the second half; at the best β > 0 the distance goes as t·rate^t."""
    half, last = len(error) // 2, len(error) - 1
    growth = last / half if tuning.beta > 0 else 1.0
    return float((error[-1] / error[half] / growth) ** (1 / (last - half)))


def by_rate(tuning: Tuning) -> int:
    """Return after how many steps rate^t is at most TARGET."""
    return math.ceil(math.log(TARGET) / math.log(tuning.rate))


def by_closed_form(tuning: Tuning, kappa: float, count: int) -> int:
    """Return the same for the distance itself: w_t of an eigenvalue follows from the roots of r² − tr·r + β."""
    trace = 1 + tuning.beta - tuning.alpha * np.geomspace(1.0, kappa, EIGENVALUES)
    root = np.sqrt((trace**2 - 4 * tuning.beta).astype(complex))
    r, s = ((trace + sign * root) / 2 for sign in (1, -1))
    t = np.arange(count)[:, None]
    apart = np.abs(r - s) > 1e-6  # at the ends of the spectrum the roots meet, and r^t − s^t becomes t·r^(t−1)·(r − s)
    gap = np.where(apart, r - s, 1.0)
    first = trace - tuning.beta  # w_1 = 1 − αλ, from w_0 = 1 and V = 0
    w = np.where(apart, ((first - s) * r**t - (first - r) * s**t) / gap, 0)
    middle = (r + s) / 2
    w = np.where(apart, w, middle**t + t * middle ** np.maximum(t - 1, 0) * (first - middle))
    return first_below(np.sqrt(np.mean(np.abs(w) ** 2, axis=1)), TARGET)


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
    figure.colorbar(mesh, ax=axes, label="−log₁₀(1 − rate): lower is faster; white: diverges")
    look = {"color": COLORS[1], "markeredgecolor": "white", "markersize": 12, "clip_on": False, "linestyle": "none"}
    for (method, tuning), marker in zip(tunings(kappa).items(), "o*"):
        axes.plot(tuning.alpha * kappa, tuning.beta, marker=marker, label=method, **look)
    axes.set(xlabel="αL", ylabel="β", title=f"Rate of the slowest eigenvalue, κ = {kappa:g}", xlim=(0, 4), ylim=(0, 1))
    axes.legend(loc="lower right", title="best")


def draw_single(axes) -> None:
    """Draw one eigenvalue's rate against αλ for several β: lines from the formula, dots from simulated paths."""
    scaled = jnp.linspace(0.0, 4.4, 600)
    dots = jnp.linspace(0.1, 4.3, 16)
    for number, beta in enumerate((0.0, 0.3, 0.6, 0.9)):
        axes.plot(scaled, momentum.rate(scaled, beta, 1.0), color=COLORS[number % len(COLORS)], label=f"β = {beta:g}")
        path = np.abs(momentum.iterates(1.0, beta, dots, jnp.ones_like(dots), 59))
        early, late = path[20:30].max(axis=0), path[50:].max(axis=0)  # a maximum sees past the oscillation
        axes.plot(dots, (late / early) ** (1 / 30), ".", color=COLORS[number % len(COLORS)])
    axes.plot([], [], ".", color="0.4", label="simulated")
    axes.axhline(1, color="gray", linewidth=0.8, label="above: diverges")
    axes.set(xlabel="αλ", ylabel="rate", title="Rate of one eigenvalue", ylim=(0, 1.6), xlim=(0, 4.4))
    axes.legend()


def draw_paths(axes, kappas: tuple[float, ...]) -> None:
    """Draw the distance at the best α and β; dashed: the theory's slope."""
    for number, kappa in enumerate(kappas):
        for (method, tuning), width in zip(tunings(kappa).items(), (1.0, 2.4)):
            error = distances(tuning, kappa, steps_for(tuning))
            steps, end = np.arange(len(error)), len(error) // 2
            label = f"κ = {kappa:g}" if method == "momentum" else None
            axes.plot(steps[1:], error[1:], color=COLORS[number % len(COLORS)], linewidth=width, label=label)
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
    same, scaled = NOISY, NOISY * (1 - beta)
    for alpha, style, color, words in ((same, "-", COLORS[0], ""), (scaled, "--", COLORS[1], "(1 − β)")):
        variance = momentum.stationary_variance(alpha, beta, 1.0, 1.0)
        axes.plot(beta, variance, style, color=color, label=f"α = {NOISY:g}{words}/λ")
    axes.plot(BETAS, [simulated_variance(beta, copies) for beta in BETAS], "o", color=COLORS[0], label="simulated")
    axes.set(yscale="log", xlabel="β", ylabel="variance of w · λ²/σ²", title="Gradient noise: what momentum costs")
    axes.legend()


if __name__ == "__main__":
    script(main, Options)
