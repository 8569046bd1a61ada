"""Search spaces: the values that a hyper-parameter may take, and points spread evenly over several spaces.

Invariant: points depend only on the spaces, their number, the method and the seed.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mlp_jax import checks
from mlp_jax.checks import choose

METHODS = ("halton", "sobol", "grid")
SCALES = ("linear", "log", "log_complement")


@dataclass(frozen=True, kw_only=True)
class Space:
    """The values of one hyper-parameter: from `low` to `high` on a scale, or one of `choices` (one choice: fixed).

    The scale `log` spreads ratios evenly, `log_complement` ratios of 1 − value, as for a momentum near 1.

    >>> Space(low=0.001, high=0.1).at(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [0.001, 0.01, 0.1]

    Raises:
        ValueError: neither or both kinds are given, low is not below high, or the scale can't hold the values.
    """

    low: float | None = None
    high: float | None = None
    scale: str = "log"
    choices: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        checks.fields(self)
        choose("scale", self.scale, SCALES)
        if (self.low is None) != (self.high is None) or (self.low is None) == (not self.choices):
            raise ValueError("a space needs low and high, or choices; give one of the two")
        if self.low is None or self.high is None:
            return
        if not self.low < self.high:
            raise ValueError(f"low {self.low!r} is not below high {self.high!r}; swap them, or give choices")
        allowed = {"linear": True, "log": self.low > 0, "log_complement": self.high < 1}[self.scale]
        if not allowed or not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"a {self.scale} scale can't go from {self.low!r} to {self.high!r}")

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value."""
        if self.low is None or self.high is None:
            return min(self.choices), max(self.choices)
        return self.low, self.high

    def at(self, place: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Return the values at places from 0 to 1."""
        if self.low is None or self.high is None:
            number = np.minimum(place * len(self.choices), len(self.choices) - 1).astype(int)
            return np.array(self.choices, float)[number]
        if self.scale == "linear":
            value = self.low + place * (self.high - self.low)
        elif self.scale == "log":
            value = self.low * (self.high / self.low) ** place
        else:
            value = 1 - (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** place
        return np.clip(value, self.low, self.high)  # rounding might leave the hyper-parameter's domain


def points(
    spaces: Mapping[str, Space], count: int, method: str = "halton", seed: int = 0, whole: Collection[str] = ()
) -> dict[str, Float[np.ndarray, " points"]]:
    """Return `count` points of the product of `spaces`, by hyper-parameter; values of those in `whole` are rounded.

    `halton` and `sobol` are scrambled quasi-random sequences. `grid` divides each space that is not fixed evenly, and
    returns the largest full grid with at most `count` points.

    Raises:
        ValueError: the method is unknown, or there is no point.
    """
    choose("method", method, METHODS)
    if count < 1:
        raise ValueError(f"{count!r} points are not allowed; give a whole number of at least 1")
    free = sorted(name for name, space in spaces.items() if len(space.choices) != 1)
    places = dict(zip(free, _places(len(free), count, method, seed).T))
    length = max((len(place) for place in places.values()), default=1)
    values = {name: space.at(places.get(name, np.zeros(length))) for name, space in spaces.items()}
    return {name: np.rint(column) if name in whole else column for name, column in values.items()}


def _places(dimensions: int, count: int, method: str, seed: int) -> Float[np.ndarray, "points dimensions"]:
    if dimensions == 0:
        return np.zeros((1, 0))
    if method == "grid":
        side = int(count ** (1 / dimensions) + 1e-9)
        line = np.linspace(0, 1, side) if side > 1 else np.array([0.5])
        return np.stack(np.meshgrid(*[line] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    from scipy.stats import qmc

    if method == "halton":
        return qmc.Halton(dimensions, rng=np.random.default_rng(seed)).random(count)
    sequence = qmc.Sobol(dimensions, rng=np.random.default_rng(seed))
    return sequence.random_base2((count - 1).bit_length())[:count]
