"""Contenders take turns: all are prepared and checked first, then timed in alternation, so that none has a better hour.

Invariant: who is timed computes the loss that mlp_jax computes from the same weights.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

TOLERANCE = 1e-5  # between the losses that the contenders compute from the same weights
REST_SECONDS = 0.2  # before each turn: the threads of the contender before stop spinning


class Contender(NamedTuple):
    """One way to train: `loss()` is that of the first batch_size rows, the mean over its trials; `run(count)` takes
    steps of every trial and awaits them.
    """

    loss: Callable[[], float]
    run: Callable[[int], None]


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


def compare(contenders: Mapping[str, Contender], rounds: int, seconds: float) -> dict[str, float]:
    """Return each contender's median µs per step over `rounds` in which all take turns of about `seconds`."""
    counts = {name: steps_in(contender.run, seconds) for name, contender in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            time.sleep(REST_SECONDS)
            contender.run(max(1, counts[name] // 4))
            times[name].append(time_of(contender.run, counts[name]))
    return {name: 1e6 * statistics.median(of) for name, of in times.items()}


def time_of(run: Callable[[int], None], count: int) -> float:
    """Return the seconds that each of `count` steps takes."""
    begin = time.perf_counter()
    run(count)
    return (time.perf_counter() - begin) / count


def steps_in(run: Callable[[int], None], seconds: float) -> int:
    """Return how many steps take about `seconds`, from trials of 1, 4, 16, … of them; a first use is not counted."""
    run(1)
    count = 1
    while (each := time_of(run, count)) * count < seconds / 8:
        count *= 4
    return max(1, round(seconds / each))


def _line(error: Exception) -> str:
    """The first line of an error's message, or its name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
