"""The options of the lessons, the knobs that a teacher may turn, checked like every option.

Invariant: this module is fast to import, so that the command line can list its options.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any

from mlp_jax import checks
from mlp_jax.checks import Count, Domain, Seed

Finite = Annotated[float, Domain(math.isfinite, "a finite number")]
Fraction = Annotated[float, checks.FRACTION]
Number = Annotated[int, checks.whole(0)]


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """The options of the lessons; None keeps the lesson's own value."""

    w: tuple[Finite, ...] | None = None
    """L14: the three weights w0 w1 w2."""
    x: Finite | None = None
    """L14: the input."""
    y: Finite | None = None
    """L12, L14: the label."""
    z: tuple[Finite, ...] | None = None
    """L3, L10, L12: the numbers z to which the output function is applied."""
    label: Number | None = None
    """L3: the number of the right class."""
    index: Number | None = None
    """L5: the number of the test example."""
    rate: Finite | None = None
    """L7, L13, L14, L15: the learning rate α."""
    momentum: Fraction | None = None
    """L7: the momentum β."""
    hidden: tuple[Count, ...] | None = None
    """L8, L9, L13, L15, L20: widths of the hidden layers."""
    batch_size: Count | None = None
    """L16: examples in a mini-batch."""
    seed: Seed | None = None
    """Seed of the weights and of the order of the examples, if a lesson draws any."""
    dataset: str | None = None
    """Data set of classes, if a lesson uses one (default: MNIST for L1 and L6 if it is available, else digits)."""
    data_dir: str | None = None
    """Folder with the data set's IDX files, or the folder above it."""

    def __post_init__(self) -> None:
        checks.fields(self)
        if self.w is not None and len(self.w) != 3:
            raise ValueError(f"w has {len(self.w)} numbers; give three: w0 w1 w2")
        if self.z == ():
            raise ValueError("z is empty; give at least one number")

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
