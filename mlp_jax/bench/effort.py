"""How much is measured, and on what: the batch sizes, the numbers of trials, the networks, how long each."""

from dataclasses import dataclass

from mlp_jax.model import Network
from mlp_jax.training.timetable import GLANCE

NETWORKS = {
    "small": Network(inputs=64, hidden=(64,), outputs=10),
    "wide": Network(inputs=784, hidden=(1024, 1024), outputs=10),
}
ACCELERATOR = 4  # an accelerator is given matrices and arrays so many times as wide and as long


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long is measured, and on what.

    Every time is the median of `rounds` of `seconds` each, or of one step where that takes longer; trials together take
    `call_seconds`, since what a call costs besides its steps is spread over as many as training takes in one. `width`
    is that of the large matrices and `numbers` how many float32 are copied; an accelerator takes ACCELERATOR times as
    many. `seeds` are those of the loss at each precision.
    """

    batch_sizes: tuple[int, ...]
    trials: tuple[int, ...]
    rounds: int
    seconds: float
    call_seconds: float
    width: int
    numbers: int
    precision_batch_size: int
    seeds: int = 5


FULL = Effort(
    batch_sizes=tuple(4**k for k in range(9)),
    trials=(1, 4, 16, 64),
    rounds=5,
    seconds=0.2,
    call_seconds=GLANCE,
    width=2048,
    numbers=2**26,
    precision_batch_size=1024,
)
QUICK = Effort(
    batch_sizes=(1, 32, 1024),
    trials=(8,),
    rounds=3,
    seconds=0.02,
    call_seconds=0.1,
    width=1024,
    numbers=2**24,
    precision_batch_size=256,
)
