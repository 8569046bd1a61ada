"""Where a hyper-parameter's value lies in its space, counted in decades.

Invariant: `value` undoes `coordinate`, and a coordinate of 1 more is ten times the value on a log scale.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from mlp_jax.checks import choose

SCALES = ("linear", "log", "log_complement")
LINEAR = 4.0  # decades that a whole linear space counts as: as many as a learning rate's log space usually has


class Scale(NamedTuple):
    """How the values from `low` to `high` are spread: linear, log (ratios) or log_complement (ratios of 1 − value)."""

    name: str
    low: float
    high: float

    def coordinate(self, value: Real[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return where the values lie, in decades.

        Raises:
            ValueError: the scale is unknown, or a value has no place on it.
        """
        choose("scale", self.name, SCALES)
        if not self.low < self.high:
            raise ValueError(f"a space from {self.low!r} to {self.high!r} has no width; give low below high")
        values = np.asarray(value, float)
        if self.name == "linear":
            return LINEAR * (values - self.low) / (self.high - self.low)
        ratio = values if self.name == "log" else 1 - values
        if not np.all(ratio > 0) or not np.isfinite(ratio).all():
            allowed = "positive numbers" if self.name == "log" else "numbers below 1"
            raise ValueError(f"a value has no place on a {self.name} scale; give {allowed}")
        return np.log10(ratio)

    def value(self, coordinate: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the values that lie at the coordinates."""
        if self.name == "linear":
            return self.low + (self.high - self.low) * coordinate / LINEAR
        ratio = 10.0**coordinate
        return ratio if self.name == "log" else 1 - ratio

    def at(self, share: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the values at shares of the way through the space, from 0 to 1."""
        low, high = self.bounds
        return np.clip(self.value(low + share * (high - low)), self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest coordinate of the space."""
        ends = np.sort(self.coordinate(np.array([self.low, self.high])))
        return float(ends[0]), float(ends[1])

    @property
    def falls(self) -> bool:
        """Whether larger values have smaller coordinates."""
        return self.name == "log_complement"
