"""What a report is about, read from disk: studies, records of machines, and times of a study's steps.

Invariant: damaged parts of a study are named, and its other parts are shown; files of other kinds are refused.
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
    """One study, read from disk; `found` is None as long as it has no winner."""

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
        """Whether all cells are complete."""
        return self.cells > 0 and self.done == self.cells


def read(directory: Path, reading: Reading) -> Entry:
    """Read a study, with its steps to target as `reading` says.

    Raises:
        ValueError: the directory holds no study, or one of another protocol.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        histories, there = contents.read_histories(directory)
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    study = there.study
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
    """Return the studies with labels that tell them apart, from directory and device."""
    names = machines.labels([(entry.directory, entry.directory.name, entry.environment) for entry in entries])
    return [entry._replace(label=name) for entry, name in zip(entries, names)]


def records(sources: Sequence[Path]) -> tuple[list[Machine], list[tuple[Path, dict[str, Any]]]]:
    """Read the sources that are not studies: records of machines, and times of a study's steps.

    Raises:
        ValueError, OSError: a source is neither of these, or can't be read.
    """
    paths = [path for path in sources if path.is_file()]
    times = [path for path in paths if record.kind_of(path) == timings.KIND]
    return machines.read([path for path in paths if path not in times]), [(path, timings.read(path)) for path in times]


def devices(entries: list[Entry], timed: list, prices: Sequence[float]) -> list[Device]:
    """Return the first study on its own device and on those of `timed`; nothing if `timed` is empty.

    Raises:
        ValueError: there is no study, or it has no winner yet; a record does not match it; the number of prices is not
            the number of devices.
    """
    if not timed:
        if prices:
            raise ValueError("prices are for the devices of records; name records of mlp-jax bench --study too")
        return []
    if not entries:
        raise ValueError(f"{timed[0][0]} has the times of a study’s steps; name the directory of the study too")
    label, found = entries[0].label, entries[0].found
    if found is None:
        raise ValueError(f"{entries[0].directory} has no winner yet, so nothing can be predicted; let it run on")
    of_study = (label, entries[0].study, found, entries[0].histories.trials, entries[0].environment)
    return predicted.devices(*of_study, timed, prices)
