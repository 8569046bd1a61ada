"""How much is measured, and on what: the batch sizes, the numbers of trials, the networks, and the seconds for each."""

from dataclasses import dataclass

from mlp_jax.model import Network
from mlp_jax.training.timetable import GLANCE

NETWORKS = {
    "small": Network(inputs=64, hidden=(64,), outputs=10),
    "wide": Network(inputs=784, hidden=(1024, 1024), outputs=10),
}
ACCELERATOR = 4  # on an accelerator, matrices are so many times as wide and arrays so many times as long


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure, and on what.

    Every time is the median of `rounds` of `seconds` each (or of one step each, if that takes longer). A round of many
    trials together takes `call_seconds`, so that the overhead of a call is spread over as many steps as in training.
    `width` is the width of the large matrices, and `numbers` is how many float32 are copied; an accelerator takes
    ACCELERATOR times as many. `seeds` is the number of seeds for the loss at each precision.
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
