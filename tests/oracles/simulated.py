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
