"""Draw whole studies from a dense table of real trials, for which the truth is known, to test the intervals.

Invariant: a drawn study sees what a real one would: one trial for each rate, each with a seed of its own, stopped where
the protocol stops it. The truth is computed from the table alone, so more studies make every share more exact.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mlp_jax.analysis import bootstrap, critical_batch_size, power_law, response, valley
from mlp_jax.analysis.critical_batch_size import Fit
from mlp_jax.analysis.power_law import Exponent
from mlp_jax.analysis.response import Response

NEIGHBOURS = 0.25  # decades: the smoothed steps of a rate come from trials so far to either side
PLACES = 200  # rates at which the smoothed steps are computed
GRIDS = 2  # first rounds, each with an offset of its own, before a cell counts as not reached


class Table(NamedTuple):
    """Steps to target of one optimizer for each batch size, each rate of a fine grid and many seeds; inf is a miss."""

    sizes: Float[np.ndarray, " sizes"]
    rates: Float[np.ndarray, " rates"]
    steps: Float[np.ndarray, "sizes rates seeds"]


class Design(NamedTuple):
    """How many trials a cell gets: a first round over the whole space, and rounds around the valley's bottom."""

    coarse: int = 10
    rounds: int = 3
    each: int = 6


STANDARD = Design()


class Truth(NamedTuple):
    """What a study estimates: the least steps at each batch size, the rates that need them, and the line."""

    steps: Float[np.ndarray, " sizes"]
    rates: Float[np.ndarray, " sizes"]
    line: Fit


class Study(NamedTuple):
    """What a drawn study says: the bottom at each batch size, the line, the exponent.

    `line` is fitted as if no misfit were too large, so that its interval of B_crit can be counted too.
    """

    cells: list[Response]
    fit: Fit
    line: Fit
    exponent: Exponent


def shipped() -> dict[str, Table]:
    """Return the tables that come with the package, of digits, by optimizer (see tables/README.md)."""
    with resources.files("mlp_jax.analysis").joinpath("tables/digits.npz").open("rb") as file:
        return load(np.load(file))


def load(arrays: Mapping[str, np.ndarray]) -> dict[str, Table]:
    """Return the table of each optimizer from arrays that are called `<optimizer>/sizes`, `/rates` and `/steps`."""
    names = sorted({name.partition("/")[0] for name in arrays})
    return {name: Table(*(arrays[f"{name}/{what}"].astype(float) for what in Table._fields)) for name in names}


def arrays(tables: Mapping[str, Table]) -> dict[str, np.ndarray]:
    """Return the arrays from which `load` makes these tables, the steps in single precision."""
    return {
        f"{name}/{what}": array.astype(np.float32 if what == "steps" else float)
        for name, table in tables.items()
        for what, array in table._asdict().items()
    }


def truth(table: Table) -> Truth:
    """Return the bottom of the table at each batch size.

    At each rate the Huber mean of the seeds' log steps is taken, where a miss counts as 4 times the bottom, as it does
    in a study. A local quadratic (a quarter of a decade, tricube weights) smooths these means, and its least value is
    the truth. It is not a parabola over the whole valley, because the bias of that one is to be measured.
    """
    bottoms = np.array([_bottom(np.log10(table.rates), np.log(steps)) for steps in table.steps])
    steps, rates = np.exp(bottoms[:, 0]), 10 ** bottoms[:, 1]
    return Truth(steps, rates, critical_batch_size.fit_samples(table.sizes, steps, steps[None], allowed=np.inf))


def draw(table: Table, design: Design, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rates and steps of all trials of a drawn study, by batch size; the rates are those of the table."""
    return [_cell(table.rates, steps, design, rng) for steps in table.steps]


def analyse(
    table: Table, trials: Sequence[tuple[np.ndarray, np.ndarray]], resamples: int = 1000, seed: int = 0
) -> Study:
    """Analyse drawn trials as a real study is analysed."""
    ends = (float(table.rates[0]), float(table.rates[-1]))
    cells = [response.fit(*of_cell, ends, resamples=resamples, seed=seed + k) for k, of_cell in enumerate(trials)]
    steps, rates = (np.array([getattr(cell, what) for cell in cells]) for what in ("steps", "rate"))
    joined = bootstrap.joined([cell.samples_steps for cell in cells], seed)
    fit, line = (
        critical_batch_size.fit_samples(table.sizes, steps, joined, allowed=allowed)
        for allowed in (critical_batch_size.LARGEST_MISFIT, np.inf)
    )
    joined = bootstrap.joined([cell.samples_rate for cell in cells], seed)
    return Study(cells, fit, line, power_law.fit_samples(table.sizes, rates, joined, line.b_crit.value))


def studies(
    table: Table, count: int, design: Design = STANDARD, *, resamples: int = 1000, seed: int = 0
) -> list[Study]:
    """Draw and analyse `count` studies of one optimizer, independent of each other."""
    seeds = np.random.SeedSequence(seed).spawn(count)
    return [
        analyse(table, draw(table, design, np.random.default_rng(own)), resamples, int(own.generate_state(1)[0]))
        for own in seeds
    ]


def _cell(
    rates: np.ndarray, steps: np.ndarray, design: Design, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates and steps of one cell's trials: first rounds until a trial meets the target, then later ones."""
    ends, offset = (float(rates[0]), float(rates[-1])), float(rng.random())
    rate, taken = np.zeros(0), np.zeros(0)
    for number in range(GRIDS):
        wanted = response.coarse(*ends, design.coarse, offset + number / GRIDS)
        rate, taken = _with(rate, taken, *_run(rates, steps, wanted, np.inf, rng))
        if np.isfinite(taken).any():
            break
    taken = np.where(taken > response.STOP * taken.min(), np.inf, taken)
    for _ in range(design.rounds if np.isfinite(taken).any() else 0):
        found = response.fit(rate, taken, ends, resamples=1)
        wanted = response.next_rates(found, design.each)
        rate, taken = _with(rate, taken, *_run(rates, steps, wanted, response.STOP * found.steps, rng))
    return rate, taken


def _run(
    rates: np.ndarray, steps: np.ndarray, wanted: np.ndarray, stop: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    nearest = np.abs(np.log(rates)[:, None] - np.log(wanted)).argmin(axis=0)
    taken = steps[nearest, rng.integers(0, steps.shape[1], nearest.size)]
    return rates[nearest], np.where(taken > stop, np.inf, taken)


def _with(rate: np.ndarray, taken: np.ndarray, *more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([rate, more[0]]), np.concatenate([taken, more[1]])


def _bottom(place: np.ndarray, heights: np.ndarray) -> tuple[float, float]:
    """Return the least smoothed height and its place; inf and NaN if too many trials miss at every rate."""
    least, at = float(np.quantile(heights, 0.5, axis=1, method="inverted_cdf").min()), float("nan")
    for _ in range(3):
        if not np.isfinite(least):
            return np.inf, np.nan
        each = _huber_means(np.minimum(heights, least + valley.BAD))
        known = each < least + 0.95 * valley.BAD
        there = place[known] if known.any() else place
        fine = np.linspace(there[0], there[-1], PLACES)
        smooth = np.array([_smoothed(place[known], each[known], one) for one in fine])
        least, at = float(smooth.min()), float(fine[smooth.argmin()])
    return least, at


def _smoothed(place: np.ndarray, height: np.ndarray, at: float) -> float:
    away = place - at
    weight = np.clip(1 - np.abs(away / NEIGHBOURS) ** 3, 0, None) ** 1.5  # the root of a tricube
    if (weight > 0).sum() < 4:
        return np.inf
    powers = np.stack([np.ones_like(away), away, away**2], axis=1)
    return float(np.linalg.lstsq(weight[:, None] * powers, weight * height)[0][0])


def _huber_means(values: np.ndarray) -> np.ndarray:
    """Return the Huber mean of each row, started at its median, with the median distance from it as the scale."""
    mean = np.median(values, axis=1, keepdims=True)
    spread = np.median(np.abs(values - mean), axis=1, keepdims=True)
    limit = np.maximum(valley.HUBER * 1.4826 * spread, valley.SMALL)
    for _ in range(20):
        weight = np.minimum(1, limit / np.maximum(np.abs(values - mean), valley.SMALL))
        mean = (weight * values).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    return mean[:, 0]
