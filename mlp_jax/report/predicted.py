"""One study on many devices: its steps to target times the time of a step on each device.

Invariant: steps and their intervals come from the study alone, times of a step from each device's record. Their product
is called predicted; only on the device where the study itself ran is it called measured.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.bench import timings
from mlp_jax.machine.files import finite
from mlp_jax.report import joined, machines
from mlp_jax.report.listings import Cell, Table, of_number, of_text
from mlp_jax.study.evidence import COSTS, Findings, where
from mlp_jax.study.plan import Study
from mlp_jax.study.summary import number

if TYPE_CHECKING:
    import pandas

MEASURED, PREDICTED = "measured", "predicted"


class Best(NamedTuple):
    """The optimizer and batch size with the least seconds to target, and these seconds with the steps' interval."""

    optimizer: str
    batch_size: int
    seconds: float
    low: float
    high: float


class Device(NamedTuple):
    """A study on one device: its findings there, the training seconds of the whole study, and the price of an hour."""

    label: str
    how: str
    found: Findings
    seconds: float
    environment: dict[str, Any]
    price: float | None = None

    @property
    def best(self) -> Best | None:
        """The cell that reaches the target first; None if no cell reaches it."""
        cells = self.found.cells.loc[self.found.cells["seconds"].map(math.isfinite)]
        if cells.empty:
            return None
        row = cells.loc[cells["seconds"].idxmin()]
        values = (float(row[name]) for name in ("seconds", "seconds_low", "seconds_high"))
        return Best(str(row["optimizer"]), int(row["batch_size"]), *values)

    @property
    def cost(self) -> float | None:
        """The cost of the whole study on this device; None without a price."""
        return None if self.price is None else self.price * self.seconds / 3600


def devices(
    label: str,
    study: Study,
    found: Findings,
    rows: "pandas.DataFrame",
    environment: dict[str, Any],
    records: Sequence[tuple[Path, dict[str, Any]]],
    prices: Sequence[float] = (),
) -> list[Device]:
    """Return a study on its own device, measured, and on those of the records of `mlp-jax bench --study`, predicted.

    Args:
        label: the name of the study.
        prices: the price of an hour of each device, in this order.

    Raises:
        ValueError: a record does not match the study, or there are not as many prices as devices.
    """
    _check_prices(prices, 1 + len(records))
    cells = [(row["optimizer"], int(row["batch_size"])) for row in found.cells.to_dict("records")]
    names = machines.labels([(path, path.stem, record["environment"]) for path, record in records])
    made = [Device(label, MEASURED, found, joined.spent(rows).total, environment)]
    for name, (path, record) in zip(names, records):
        times = timings.matching(record, path, study, cells)
        there = _there(found, {key: each.step_seconds for key, each in times.items()})
        made.append(Device(name, PREDICTED, there, _spent(rows, times), record["environment"]))
    return [each._replace(price=price) for each, price in zip(made, prices)] if prices else made


def _check_prices(prices: Sequence[float], count: int) -> None:
    for price in prices:
        if not 0 <= price < math.inf:
            raise ValueError(f"a price of {price!r} an hour is not allowed; give a number of at least 0")
    if prices and len(prices) != count:
        raise ValueError(
            f"{len(prices)} prices are given for {count} devices; give one for the study's own device, then one for "
            "each record of mlp-jax bench --study, in their order"
        )


def _there(found: Findings, step_seconds: dict[tuple[str, int], float]) -> Findings:
    """Return the findings of a study on a device on which a step of each cell takes so many seconds."""
    keys = zip(found.cells["optimizer"], found.cells["batch_size"].tolist())
    cells = found.cells.assign(step_seconds=[step_seconds[key] for key in keys])
    seconds = {f"seconds{end}": cells[f"steps{end}"] * cells["step_seconds"] for end in ("", "_low", "_high")}
    return found._replace(cells=cells.assign(**seconds))


def _spent(rows: "pandas.DataFrame", times: dict[tuple[str, int], timings.Timing]) -> float:
    """Return the training seconds of a whole study: tuning, where trials run together, and winners, each run alone."""
    seconds, ends = 0.0, rows.drop_duplicates("trial", keep="last")
    for (name, size), time in times.items():
        own = where(ends, optimizer=name, batch_size=size)
        tuned, won = (np.asarray(where(own, phase=phase)["steps"], float).sum() for phase in ("tuning", "winners"))
        seconds += tuned / time.trial_steps_per_second + won * time.step_seconds
    return float(seconds)


def sentences(on: Sequence[Device]) -> list[str]:
    """Say which device is fastest, what is best on each, what it costs, and whether the order of optimizers changes."""
    order = sorted(on, key=lambda each: each.seconds)
    first, rest = order[0], order[1:]
    others = ", ".join(f"{number(each.seconds)} s on {each.label} ({each.how})" for each in rest)
    said = [
        "Steps to target do not depend on the device: times of a step from each device’s record give its seconds.",
        f"First to finish the whole study is {first.label}: {number(first.seconds)} s of training ({first.how}); "
        f"{others}.",
    ]
    pairs = [(each.label, each.best) for each in on if each.best]
    bests = [f"{best.optimizer} at B\u00a0=\u00a0{best.batch_size:,} on {label}" for label, best in pairs]
    if bests:
        said.append(f"The target is reached first by {'; by '.join(bests)}.")
    said.append(joined.ranked({each.label: each.found for each in on}))
    return [*said, *_cheapest(on)]


def _cheapest(on: Sequence[Device]) -> list[str]:
    priced = sorted((each.cost, each.label) for each in on if each.cost is not None)
    if not priced:
        return []
    others = ", ".join(f"{number(cost)} on {label}" for cost, label in priced[1:])
    return [f"Cheapest for the whole study is {priced[0][1]}: {number(priced[0][0])}; {others}."]


def tables(on: Sequence[Device]) -> list[Table]:
    """Return the tables: what is best on each device, and the seconds to target of each cell on each device."""
    labels = [f"{each.label}: {each.how}" for each in on]
    rows = [[of_text(each.label), of_text(each.how), *_best(each)] for each in on]
    priced = any(each.price is not None for each in on)
    columns = ["device", "seconds are", "optimizer", "B", "seconds to target", "seconds of the study"]
    note = "The least seconds to target, with the interval of the steps; the study’s are those of all its training."
    best = Table("What is best on each device", note, [*columns, *["cost of the study"] * priced], rows)
    cells = []
    for row in on[0].found.cells.to_dict("records"):
        name, size = row["optimizer"], row["batch_size"]
        head = [of_text(name), of_number(size), _with_ends(row, "steps")]
        own = [where(each.found.cells, optimizer=name, batch_size=size).iloc[0] for each in on]
        cells.append([*head, *(_with_ends(one, "seconds") for one in own)])
    note = "Steps of the study times the time of a step of each device, with the interval of the steps (95 %)."
    every = Table("Seconds to target on each device", note, ["optimizer", "B", "steps", *labels], cells)
    return [best, every, *joined.tables({each.label: each.found for each in on})]


def to_json(on: Sequence[Device]) -> dict[str, Any]:
    """Return the study on each device as plain values; None stands for a miss or an open end."""
    changed = joined.changes({each.label: each.found for each in on})
    made = []
    for each in on:
        keys = ("optimizer", "batch_size", "step_seconds", *(f"{COSTS[-1]}{end}" for end in ("", "_low", "_high")))
        cells = [{key: row[key] for key in keys} for row in each.found.cells.to_dict("records")]
        least = each.best and each.best._asdict()
        said = {"device": each.label, "seconds_are": each.how, "best": least, "ranking": joined.ranking(each.found)}
        made.append(said | {"study_seconds": each.seconds, "price": each.price, "cost": each.cost, "cells": cells})
    return finite({"devices": made, "ranking_changes": [list(each) for each in changed]})


def _best(each: Device) -> list[Cell]:
    cost = [] if each.cost is None else [of_number(each.cost)]
    if each.best is None:
        return [of_text("none reached it"), of_number(math.inf), of_number(math.inf), of_number(each.seconds), *cost]
    shown = f"{number(each.best.seconds)} [{number(each.best.low)}, {number(each.best.high)}]"
    best = [of_text(each.best.optimizer), of_number(each.best.batch_size), Cell(shown, each.best.seconds)]
    return [*best, of_number(each.seconds), *cost]


def _with_ends(row: Any, name: str) -> Cell:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return Cell(f"{number(value)} [{number(low)}, {number(high)}]", value if math.isfinite(value) else math.inf)
