"""Run a study until it has a desired precision: add rounds as long as an interval is too wide.

Invariant: the result is a study like any other: its rounds are in its plan, and could have been asked for at once.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from mlp_jax.study.evidence import Findings
from mlp_jax.study.growth import with_rounds
from mlp_jax.study.plan import ROUNDS, Study

FIRST, LOOKS = 2, 6  # rounds before the first look, and the most looks: one after each round


class Reached(NamedTuple):
    """What was reached: `found`, the number of looks, and the ratio of the ends of each interval of B_crit.

    The ratio is inf if there is no B_crit, or if an end is open.
    """

    study: Study
    found: Findings
    looks: int
    widths: dict[str, float]
    wanted: float

    @property
    def missed(self) -> list[str]:
        """The optimizers whose intervals are still too wide."""
        return [name for name, width in self.widths.items() if width > self.wanted]


def check(study: Study, width: float) -> None:
    """Raise a ValueError unless `study` can be run until its intervals have this width."""
    if not 1 < width < math.inf:
        raise ValueError(
            f"--until {width:g} is not allowed; give a ratio of the ends of an interval, above 1, such as 1.75"
        )
    if study.method != ROUNDS:
        raise ValueError(f"--until adds rounds, and method {study.method} has none; choose method rounds")


def reach(study: Study, width: float, most: int, find: Callable[[Study], Findings | None]) -> Reached | None:
    """Add rounds until the ends of each optimizer's B_crit are within a factor `width`; None if `find` was interrupted.

    There is a look after each round from the second on, at most six, and no optimizer gets more than `most` rounds. An
    optimizer gets another round only as long as its own interval is too wide.

    Args:
        find: runs the missing parts of a study and returns its findings; None if interrupted.
    """
    check(study, width)
    rounds = {name: min(FIRST, most) for name in study.optimizers}
    for look in range(1, LOOKS + 1):
        asked = with_rounds(study, rounds)
        found = find(asked)
        if found is None:
            return None
        reached = Reached(asked, found, look, widths(found), width)
        wide = [name for name in reached.missed if rounds[name] < most]
        if not wide or look == LOOKS:
            return reached
        rounds |= {name: rounds[name] + 1 for name in wide}
    raise AssertionError("the last look returns")


def widths(found: Findings) -> dict[str, float]:
    """Return the ratio of the ends of each optimizer's interval of B_crit; inf where there is none."""
    fits = {name: scaling.fit.b_crit for name, scaling in found.scaling.items()}
    closed = lambda fit: math.isfinite(fit.value) and fit.low > 0
    return {name: fit.high / fit.low if closed(fit) else math.inf for name, fit in fits.items()}


def said(reached: Reached) -> str:
    """Say which intervals are narrow enough, and how many looks and trials it took."""
    trials = sum(reached.found.cells["trials"].tolist())
    text = f"B_crit within a factor of {reached.wanted:g}"
    met = [f"{name} ({width:.2f})" for name, width in reached.widths.items() if name not in reached.missed]
    lines = [f"{text}: {', '.join(met) or 'no optimizer'}, after {reached.looks} looks and {trials:,} trials"]
    for name in reached.missed:
        fit = reached.found.scaling[name].fit
        why = fit.verdict if math.isinf(reached.widths[name]) else f"still {reached.widths[name]:.2f}"
        lines.append(f"not within it: {name} ({why}; {reached.study.rounds_of(name)} rounds)")
    return "\n".join(lines)
