"""Cells whose best rate and least steps are known, and a search of them as a study does it."""

from typing import NamedTuple

import numpy as np

from mlp_jax.analysis import response

ENDS = (1e-3, 1e1)


class Cell(NamedTuple):
    """log steps = log of the least + bend · (decades from the best rate)² + normal noise; above the cliff all miss.

    Below the best rate the steps may go like 1/rate instead, as they do in training: that is `straight`.
    """

    steps: float
    rate: float
    spread: float
    bend: float = 3.0
    cliff: float = np.inf
    straight: bool = False

    def run(self, rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the steps of a trial at each rate, inf for a miss."""
        away = np.log10(rate / self.rate)
        curved = self.bend * away**2
        knee = -np.log(10) / (2 * self.bend)  # where the parabola is as steep as 1/rate
        beyond = self.bend * knee**2 - np.log(10) * (away - knee)
        height = np.where(self.straight & (away < knee), beyond, curved) + rng.normal(0, self.spread, rate.size)
        return np.where(away > np.log10(self.cliff), np.inf, self.steps * np.exp(height))


def search(
    cell: Cell, rng: np.random.Generator, coarse: int = 10, rounds: int = 3, each: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates and steps of a cell's trials, stopped as the protocol stops them."""
    rates = response.coarse(*ENDS, coarse, rng.random())
    steps = cell.run(rates, rng)
    steps = np.where(steps > response.STOP * steps.min(), np.inf, steps)
    for _ in range(rounds):
        found = response.fit(rates, steps, ENDS, resamples=1)
        more = response.next_rates(found, each)
        taken = cell.run(more, rng)
        rates = np.append(rates, more)
        steps = np.append(steps, np.where(taken > response.STOP * found.steps, np.inf, taken))
    return rates, steps


SIZES = np.array([1.0, 8.0, 64.0, 512.0, 1438.0])


class Workload(NamedTuple):
    """An optimizer whose least steps are s_min·(1 + b_crit/B)^bow at best rates that grow like B^exponent.

    A bow of 1 is the line itself; any other leaves a misfit.
    """

    b_crit: float
    spread: float
    s_min: float = 50.0
    exponent: float = 0.5
    bow: float = 1.0
    bend: float = 3.0
    cliff: float = np.inf
    straight: bool = False

    def cell(self, size: float) -> Cell:
        """Return the cell at a batch size."""
        steps, rate = self.s_min * (1 + self.b_crit / size) ** self.bow, 0.03 * size**self.exponent
        return Cell(steps, rate, self.spread, self.bend, self.cliff, self.straight)

    def study(self, seed: int, resamples: int = 200) -> list[response.Response]:
        """Return the bottom that a study finds at each batch size."""
        rng = np.random.default_rng(seed)
        trials = [search(self.cell(size), rng) for size in SIZES]
        return [response.fit(*of_cell, ENDS, resamples=resamples, seed=seed) for of_cell in trials]
