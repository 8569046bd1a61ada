"""The time of a step of every cell of a study on this machine: of one trial alone, and of a round of trials together.

Invariant: steps to target do not depend on the machine, so these times and a study's steps give its seconds there.
"""

import datetime
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mlp_jax import tables
from mlp_jax.bench import workloads
from mlp_jax.bench.machine import Say, rounded
from mlp_jax.bench.record import load
from mlp_jax.bench.training import or_memory
from mlp_jax.machine import environment
from mlp_jax.machine.clocks import Clock, steps_in, time_of
from mlp_jax.rows import Data, place
from mlp_jax.study import cells, plan
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import COARSE
from mlp_jax.study.spaces import Space
from mlp_jax.training import config as configs
from mlp_jax.training import task
from mlp_jax.training.task import Task

KIND, VERSION = "mlp_jax bench of a study", "1.0"
NEEDED = ("environment", "effort", "study", "cells")


class Effort(NamedTuple):
    """Each time is the median of `rounds` of about `seconds`; each round times all cells, so that none is favoured."""

    rounds: int
    seconds: float


FULL, QUICK = Effort(5, 0.2), Effort(3, 0.05)


class Timing(NamedTuple):
    """The times of one cell: seconds for a step of a trial alone, and trial-steps per second of a round of trials."""

    step_seconds: float
    trial_steps_per_second: float


def measure(study: Study, effort: Effort = FULL, say: Say = lambda _: None) -> dict[str, Any]:
    """Return the record of this machine for a study; `say` is told what comes next.

    Raises:
        ValueError: the study does not fit its data.
    """
    clock, dataset = Clock(), configs.load_data(study.workload)
    cells.check(study, dataset)
    facts, data, ready, rows = cells.facts(study, dataset), None, {}, {}
    for cell in cells.of(study, facts):
        say(f"{cell.optimizer}, batch size {cell.batch_size:,}")
        asked = task.resolve(cell.config, dataset)
        data = data or place(asked.cell.network, dataset, dataset.train)
        rows[cell.id] = or_memory(partial(_prepared, cell, asked, data, effort, ready))
    say("all of them in turn")
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(effort.rounds):
        for key, (run, count) in ready.items():
            taken.setdefault(key, []).append(time_of(run, count))
    for (id_, what), seconds in taken.items():
        each = statistics.median(seconds)
        value = {"step_seconds": each} if what == "alone" else {"trial_steps_per_second": COARSE / each}
        rows[id_] |= value
    named = {cell.id: {"optimizer": cell.optimizer, "batch_size": cell.batch_size} for cell in cells.of(study, facts)}
    return rounded(
        {
            "kind": KIND,
            "version": VERSION,
            "environment": environment.describe() | {"date": datetime.date.today().isoformat()},
            "effort": effort._asdict(),
            "seconds": clock.seconds["total"],
            "study": {"identity": plan.identity(study), "fingerprint": facts.fingerprint},
            "cells": [named[id_] | row for id_, row in rows.items()],
        }
    )


def _prepared(cell: StudyCell, asked: Task, data: Data, effort: Effort, ready: dict) -> dict[str, Any]:
    """Compile a cell, put into `ready` what is to be timed and how many steps at once, and return the first facts."""
    values = asked.hyper(**{name: _gentle(space) for name, space in cell.space.items()})
    together = workloads.Together(asked.cell, values, data, COARSE)
    alone = together.first() or workloads.Alone(asked.cell, values, data)
    runs = {"alone": alone.run, "together": together.run}
    counts = {what: steps_in(run, effort.seconds) for what, run in runs.items()}
    ready |= {(cell.id, what): (run, counts[what]) for what, run in runs.items()}
    return {"compile_seconds": together.seconds + (alone.seconds if alone is not together else 0.0)}


def _gentle(space: Space) -> float:
    """Return the least value of a space, with which trials don't diverge: a diverged trial takes no more steps."""
    return float(min(space.choices or space.ends))


def read(path: Path) -> dict[str, Any]:
    """Read a record of `mlp-jax bench --study`.

    Raises:
        ValueError: the file is no such record, of another version, or damaged.
        OSError: it can't be read.
    """
    found = load(path, KIND, VERSION, "mlp-jax bench --study")
    try:
        if missing := [name for name in NEEDED if name not in found]:
            raise ValueError(f"{missing[0]} is missing")
        table(found)
        of(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); measure again with mlp-jax bench --study") from error
    return found


def of(record: Mapping[str, Any]) -> dict[tuple[str, int], Timing]:
    """Return the times in a record, by optimizer and batch size."""
    rows = [row for row in record["cells"] if "error" not in row]
    timing = lambda row: Timing(float(row["step_seconds"]), float(row["trial_steps_per_second"]))
    return {(str(row["optimizer"]), int(row["batch_size"])): timing(row) for row in rows}


def matching(record: Mapping[str, Any], path: Path, study: Study, asked: list[tuple[str, int]]) -> dict:
    """Return the times that a record has for the cells `asked` of a study.

    Raises:
        ValueError: the record is for another protocol or workload, or lacks a cell.
    """
    there, here = record["study"]["identity"], plan.identity(study)
    plan.check_protocol(str(there["protocol"]), f"the study that {path} is of")
    again = "measure again with mlp-jax bench --study"
    for name in sorted({*there["workload"], *here["workload"]}):
        old, new = (each["workload"].get(name) for each in (there, here))
        if old != new:
            raise ValueError(f"{path} is of another workload ({name} {old!r} there, {new!r} in the study); {again}")
    found = of(record)
    for optimizer, size in asked:
        if (optimizer, size) not in found:
            rows = [row for row in record["cells"] if (row["optimizer"], row["batch_size"]) == (optimizer, size)]
            why = f" ({rows[0]['error']})" if rows else ""
            raise ValueError(f"{path} lacks {optimizer} at batch size {size:,}{why}; {again}")
    return {key: found[key] for key in asked}


def table(record: Mapping[str, Any]) -> str:
    """Return the record as text, a row for each cell."""
    where = record["environment"]
    head = f"{where['device_count']} × {where['device_kind']} ({where['processor'] or where['machine']}), "
    heads = ("optimizer", "B", "µs per step alone", f"trial-steps/s, {COARSE} trials", "compile s")
    return f"{head}jax {where['jax']}\n" + tables.text(heads, map(_row, record["cells"]))


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    named = row["optimizer"], f"{row['batch_size']:,}"
    if "error" in row:
        return (*named, row["error"])
    speed = f"{1e6 * row['step_seconds']:,.1f}", f"{row['trial_steps_per_second']:,.0f}"
    return (*named, *speed, f"{row['compile_seconds']:.2f}")
