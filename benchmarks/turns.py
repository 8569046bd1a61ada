"""Contenders take turns: all are prepared and checked first, then timed in alternation, so that none has a better hour.

Invariant: who is timed computes the loss that mlp_jax computes from the same weights.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlp_jax.machine.clocks import Steps, steps_in, time_of

TOLERANCE = 1e-5  # between the losses that the contenders compute from the same weights
REST_SECONDS = 0.2  # before each turn: the threads of the contender before stop spinning


class Contender(NamedTuple):
    """One way to train: `loss()` is that of the first batch_size rows, the mean over its trials; `run(count)` takes
    steps of every trial and awaits them.
    """

    loss: Callable[[], float]
    run: Steps


def prepare(makers: Mapping[str, Callable[[], Contender]], batch_size: int) -> dict[str, Contender]:
    """Return the contenders that this machine has, their programs compiled; say on stderr which it lacks.

    Args:
        makers: what makes each contender; "us" is the first.
        batch_size: of all of them, for the messages.

    Raises:
        ValueError: a contender's loss is not ours.
    """
    contenders, our_loss = {}, 0.0
    for name, make in makers.items():
        try:
            contender = make()
            loss = contender.loss()
            contender.run(2)
        except Exception as error:  # a contender that is missing or broken on this machine must not end the run
            if name == "us":
                raise
            print(f"note: {name} is left out at batch size {batch_size}: {_line(error)}", file=sys.stderr)
            continue
        contenders[name] = contender
        if name == "us":
            our_loss = loss
        if not abs(loss - our_loss) <= TOLERANCE:
            raise ValueError(
                f"{name} computes the loss {loss:.7f} where mlp_jax computes {our_loss:.7f} from the same weights at "
                f"batch size {batch_size}: they do not train the same network, so their times can't be compared"
            )
    return contenders


def runs(contenders: Mapping[str, Contender]) -> dict[str, Steps]:
    """Return how each takes its steps."""
    return {name: contender.run for name, contender in contenders.items()}


def compare(runs: Mapping[str, Steps], rounds: int, seconds: float) -> dict[str, float]:
    """Return each one's median µs per step over `rounds` in which all take turns of about `seconds`."""
    counts = {name: steps_in(run, seconds) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(REST_SECONDS)
            run(max(1, counts[name] // 4))
            times[name].append(time_of(run, counts[name]))
    return {name: 1e6 * statistics.median(of) for name, of in times.items()}


def _line(error: Exception) -> str:
    """The first line of an error's message, or its name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
