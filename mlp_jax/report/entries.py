"""What a report is about, as it lies on disk: studies, records of machines, and times of a study's steps.

Invariant: what is damaged is said beside what is there; what is no study or record of ours is refused.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlp_jax.bench import record, timings
from mlp_jax.machine import files
from mlp_jax.report import machines, predicted
from mlp_jax.report.machines import Machine
from mlp_jax.report.predicted import Device
from mlp_jax.report.reading import Reading
from mlp_jax.study import contents, parts, plan, progress
from mlp_jax.study.evidence import Findings, definition_of, findings, redefined
from mlp_jax.study.histories import Histories


class Entry(NamedTuple):
    """One study as it lies on disk; `found` is None while it has no winner."""

    label: str
    directory: Path
    study: plan.Study
    histories: Histories
    found: Findings | None
    parts: "Parts"
    progress: progress.Progress
    environment: dict[str, Any]
    damaged: list[str]
    made_by: list[dict[str, Any]]
    state: str


class Parts(NamedTuple):
    """How many cells of a study are complete, and how many it has."""

    done: int
    cells: int

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.cells > 0 and self.done == self.cells


def read(directory: Path, reading: Reading) -> Entry:
    """Read a study as `reading` says.

    Raises:
        ValueError: it is no study of ours, or of another protocol.
    """
    study = contents.read_plan(directory)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        histories, there = contents.read_histories(directory)
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    damaged = [str(each.message) for each in caught if issubclass(each.category, parts.Damage)]
    try:
        environment = files.read_json(directory, "environment.json", "study")
    except ValueError as error:
        environment, damaged = {}, [*damaged, str(error)]
    far, found = progress.of(directory, study, there.ways, histories.trials), None
    if not histories.winners.empty:
        definition = reading.of(study, histories.trials)
        if definition != definition_of(study, histories.trials):
            histories = redefined(histories, study, definition)
        found = findings(histories, study, definition)
    made = (environment, damaged, there.made_by, there.state)
    return Entry(directory.name, directory, study, histories, found, Parts(there.complete, there.cells), far, *made)


def labelled(entries: list[Entry]) -> list[Entry]:
    """Tell the studies apart by directory and device."""
    names = machines.labels([(entry.directory, entry.directory.name, entry.environment) for entry in entries])
    return [entry._replace(label=name) for entry, name in zip(entries, names)]


def records(sources: Sequence[Path]) -> tuple[list[Machine], list[tuple[Path, dict[str, Any]]]]:
    """Read what is no study: records of machines, and times of a study's steps.

    Raises:
        ValueError, OSError: one is neither, or can't be read.
    """
    paths = [path for path in sources if path.is_file()]
    times = [path for path in paths if record.kind_of(path) == timings.KIND]
    return machines.read([path for path in paths if path not in times]), [(path, timings.read(path)) for path in times]


def devices(entries: list[Entry], timed: list, prices: Sequence[float]) -> list[Device]:
    """Return the first study on all devices that are known, none where there are no times of its steps.

    Raises:
        ValueError: there is no study, or no answer of it yet; a record does not match it; prices are not one a device.
    """
    if not timed:
        if prices:
            raise ValueError("a price is of the devices of records; name records of mlp-jax bench --study too")
        return []
    if not entries:
        raise ValueError(f"{timed[0][0]} has the times of a study’s steps; name the directory of the study too")
    label, found = entries[0].label, entries[0].found
    if found is None:
        raise ValueError(f"{entries[0].directory} has no winner yet, so nothing can be predicted; let it run on")
    of_study = (label, entries[0].study, found, entries[0].histories.trials, entries[0].environment)
    return predicted.devices(*of_study, timed, prices)
