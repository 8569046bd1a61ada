"""Forecast from a study how many trials, how much training and how much money a desired precision takes.

Invariant: a forecast rests on the spread of the study's trials, which is assumed to shrink like 1/√trials, but for the
luck in it; a wish that is out of reach is called so.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax import tables
from mlp_jax.analysis import bootstrap, precision
from mlp_jax.machine.files import finite
from mlp_jax.study.evidence import Findings, compared_at, where
from mlp_jax.study.summary import number

if TYPE_CHECKING:
    import pandas


FEW = 22
"""Trials of a cell from which on intervals shrink like 1/√trials, within 13 % on six of seven tables of real trials
(32 % on the seventh). After one round, 16 trials, they are 1.25 to 2 times as wide as that."""
KEPT = 0.5
"""Share of the logarithm of the factor by which trials are to grow; the rest is the luck of the interval at hand.

Of an interval that is wider than wished, part is chance, and a study that adds rounds until its interval is narrow
enough stops at the first that is. Of 150 drawn studies of momentum and of sgd on two tables of real trials, looked at
after 22 trials of a cell, those that needed more and got there in seven rounds took what was forecast within 30 % in 78
to 97 % for a width of 1.75 (42 to 97 % without this; on the second table 3 of momentum needed more), and in 66 to 99 %
for 1.5 (16 to 85 %). In six studies of digits that were really run for 1.75, with seeds of their own, 11 of the 12
forecasts of sgd and momentum were, 5 of the 6 that needed more; the other said 65 trials, not 46."""


class Forecast(NamedTuple):
    """What one wish takes: `now` is the present ratio, `trials` is how many trials each cell needs for the wish.

    `seconds` is the time of training all cells that the wish is about, without evaluations and compilation, and `cost`
    its price; inf if the wish is out of reach.
    """

    wish: str
    now: float
    trials_now: int
    trials: float
    seconds: float
    cost: float | None


def wishes(
    found: Findings, rows: "pandas.DataFrame", *, width: float, ratio: float, price: float | None = None
) -> list[Forecast]:
    """Return what it takes to know each B_crit within a factor, and to detect a ratio between two optimizers.

    Args:
        width: the desired upper end divided by the lower end of the interval of each B_crit.
        ratio: the ratio of two optimizers' steps to detect in 4 of 5 studies.
        price: the price of an hour of this machine.

    Raises:
        ValueError: a wish is not above 1, or the price is not a number of at least 0.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ValueError(f"a price of {price!r} an hour is not allowed; give a number of at least 0")
    each = _seconds_of_a_trial(rows)
    made = []
    for name in found.scaling:
        own = where(found.cells, optimizer=name)
        sizes, trials = own["batch_size"].tolist(), int(np.median(own["trials"].to_numpy(float)))
        best = [found.best[name, size] for size in sizes]
        steps, samples = np.array([one.steps for one in best]), bootstrap.joined([one.samples for one in best])
        there = np.isfinite(steps)
        wished = f"B_crit of {name} within a factor of {width:g}"
        if there.sum() < 3:
            made.append(Forecast(wished, math.inf, trials, math.inf, math.inf, None))
            continue
        line = np.array(sizes)[there], steps[there], samples[:, there]
        needed = likely(trials, precision.trials_for_ends(*line, trials, width))
        seconds = sum(each[name, size] for size in sizes)
        made.append(_priced(wished, precision.ends(*line), trials, needed, seconds, price))
    tried = {(row["optimizer"], row["batch_size"]): int(row["trials"]) for row in found.cells.to_dict("records")}
    for pair in found.differences:
        names, (_, size) = (pair.first, pair.second), compared_at(found.best)[pair.quantity]
        trials = max(tried[name, size] for name in names)
        first, second = ((found.best[name, size].steps, found.best[name, size].samples) for name in names)
        needed = precision.trials_for_ratio(first, second, trials, ratio, comparisons=len(found.differences))
        wished = f"{pair.first} and {pair.second} told apart at a ratio of {ratio:g} in {pair.quantity}"
        seconds = sum(each[name, size] for name in names)
        made.append(_priced(wished, pair.least_ratio, trials, needed, seconds, price))
    return made


def likely(trials: int, needed: float) -> float:
    """Return how many trials an interval probably takes, of which those at hand say that it takes `needed`."""
    return float(math.ceil(trials * (needed / trials) ** KEPT)) if math.isfinite(needed) else math.inf


def text(made: list[Forecast]) -> str:
    """Return the forecasts as a table."""
    shown = lambda one: (
        one.wish, number(one.now), str(one.trials_now),
        *(("out of reach", "–") if math.isinf(one.trials) else (number(one.trials), number(one.seconds))),
        *([] if one.cost is None else [number(one.cost)]),
    )  # fmt: skip
    priced = any(one.cost is not None for one in made)
    heads = ("wish", "ratio now", "trials of a cell now", "needed", "seconds of training", *["cost"] * priced)
    rows = [(*row, *[""] * (len(heads) - len(row))) for row in map(shown, made)]
    return "\n\n".join(filter(None, (tables.text(heads, rows), caution(made))))


def caution(made: list[Forecast]) -> str:
    """Return a caution about the forecasts; "" if the study is large enough."""
    least = min(one.trials_now for one in made)
    if least >= FEW:
        return ""
    return (
        f"these rest on {least} trials of a cell and may ask for up to twice too many: intervals shrink like "
        f"1/√trials from {FEW} on; go on with --rounds 2, then plan again"
    )


def to_json(made: list[Forecast]) -> dict[str, Any]:
    """Return the forecasts as plain values; None stands for out of reach."""
    return finite({"forecasts": [one._asdict() for one in made], "caution": caution(made) or None})


def _priced(
    wish: str, now: float, trials_now: int, trials: float, seconds_of_a_trial: float, price: float | None
) -> Forecast:
    seconds = trials * seconds_of_a_trial
    return Forecast(wish, now, trials_now, trials, seconds, None if price is None else price * seconds / 3600)


def _seconds_of_a_trial(rows: "pandas.DataFrame") -> dict[tuple[str, int], float]:
    """Return the seconds per trial of each cell, in rounds whose trials were trained together."""
    found = {}
    for name, size in dict.fromkeys(zip(rows["optimizer"], rows["batch_size"].tolist())):
        own = where(rows, phase="tuning", optimizer=name, batch_size=size)
        together = np.asarray(own.groupby("round")["training_seconds"].max(), float)
        found[name, size] = float(together.sum()) / max(1, own["trial"].nunique())
    return found
