"""Where a program's wall time went: named parts that do not overlap, and the total they add up to.

Invariant: work on a device is awaited inside the part that started it, so no part pays for another's work.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTS = ("startup", "io", "tracing", "compilation", "training", "evaluation")
Steps = Callable[[int], None]  # takes so many steps and awaits them


class Clock:
    """Seconds by part. `startup` is what the process spent before, `earlier` what an interrupted run spent."""

    def __init__(self, startup: float = 0.0, earlier: dict[str, float] | None = None) -> None:
        self._begin = time.perf_counter() - startup
        self._earlier = earlier or dict.fromkeys((*PARTS, "total"), 0.0)
        self._parts = dict.fromkeys(PARTS, 0.0) | {"startup": startup}
        self._inside = 0.0  # seconds of blocks inside the open block

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time inside the `with` block to `part`, without the time of blocks nested in it."""
        begin, around, self._inside = time.perf_counter(), self._inside, 0.0
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self._parts[part] += took - self._inside
            self._inside = around + took

    def __getitem__(self, part: str) -> float:
        return self._earlier[part] + self._parts[part]

    def move(self, part: str, to: str, seconds: float) -> None:
        """Move `seconds` of `part` to the part `to`, if one call did the work of both."""
        self._parts[part] -= seconds
        self._parts[to] += seconds

    def continue_from(self, earlier: dict[str, float]) -> None:
        """Count the seconds of an interrupted run too."""
        self._earlier = earlier

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds of all parts, and `total`, the wall time; the rest is the loop around them."""
        total = self._earlier["total"] + time.perf_counter() - self._begin
        return {part: self[part] for part in PARTS} | {"total": total}


class Pace:
    """The number of steps until the next look at the clock: as many as fill `seconds`, growing at most tenfold."""

    def __init__(self, seconds: float) -> None:
        self.rate = 0.0  # steps per second, when last measured
        self._seconds, self._count = seconds, 1

    def of(self, room: float) -> int:
        """Return the next number of steps: at most `room`, at least 1."""
        return max(1, int(min(self._count, room)))

    def took(self, count: int, seconds: float) -> None:
        """Learn that `count` steps took `seconds`."""
        self.rate = count / seconds
        self._count = max(1, int(min(self._seconds * self.rate, 10 * self._count)))


def process_age() -> float:
    """Return the seconds since this process began."""
    try:
        began = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, AttributeError):  # not Linux; there psutil would round to seconds
        import psutil

        return max(0.0, time.time() - psutil.Process().create_time())


def time_of(run: Steps, count: int) -> float:
    """Return the seconds that each of `count` steps takes."""
    begin = time.perf_counter()
    run(count)
    return (time.perf_counter() - begin) / count


def steps_in(run: Steps, seconds: float) -> int:
    """Return how many steps take about `seconds`, by trying 1, 4, 16, … steps after a first use."""
    run(1)
    count = 1
    while (each := time_of(run, count)) * count < seconds / 8:
        count *= 4
    return max(1, round(seconds / each))


def median_seconds(run: Steps, seconds: float, rounds: int) -> float:
    """Return the seconds that a step takes: the median over `rounds` of about `seconds` each."""
    count = steps_in(run, seconds)
    return statistics.median(time_of(run, count) for _ in range(rounds))
