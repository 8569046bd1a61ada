"""Check whether the files in a study's directory are as they were written, and say what the next run would make.

Invariant: nothing is changed, made or removed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mlp_jax.machine import soundness
from mlp_jax.machine.soundness import Looked
from mlp_jax.study import cells, contents, parts, protocol
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.training import soundness as training

if TYPE_CHECKING:
    import pandas


def check(directory: Path) -> list[Looked]:
    """Check everything in a directory of `mlp-jax study`."""
    looked = [soundness.of_json(directory, name, "study") for name in contents.NAMES]
    study, data, named = None, None, dict[Path, str]()
    try:
        study, data = contents.read_plan(directory), contents.read_facts(directory)
    except ValueError as error:
        if not any(each.wrong for each in looked):
            looked.append(Looked(directory, str(error), wrong=True))
    if study is not None and data is not None:
        for cell in cells.of(study, data):
            looked += _cell(directory, study, data, cell, named)
    for phase in contents.PHASES:
        for path in sorted((directory / phase).glob("*")):
            if path not in named:
                looked += _other(path)
    return looked


def _cell(directory: Path, study: Study, data: Facts, cell: StudyCell, named: dict[Path, str]) -> list[Looked]:
    """Check the parts of a cell up to the first missing one; `named` gets their paths."""
    looked, name = [], f"{cell.optimizer} at B = {cell.batch_size:,}"

    def read(job: Job) -> "pandas.DataFrame | None":
        path = contents.part_of(directory, job)
        rows, damage = parts.load(path)
        if (rows is not None or damage) and path not in named:
            named[path] = damage
            looked.append(Looked(path, damage or f"sound: {name}, {job.phase}", bool(damage)))
        return rows

    job = None
    for job in protocol.jobs(study, cell, data.score, read):  # noqa: B007
        pass
    assert job is not None, "a cell has a job at least"
    if read(job) is not None:
        return [*looked, Looked(directory, f"{name}: complete")]
    said = f"{name}: the next study makes this part ({job.phase}), and what follows from it"
    return [*looked, Looked(contents.part_of(directory, job), said)]


def _other(path: Path) -> list[Looked]:
    """Check a file that belongs to no job of the study."""
    if path.suffix == ".progress":
        return training.check(path)
    if path.suffix == ".parquet":
        damage = parts.load(path)[1]
        return [Looked(path, damage or "sound, but it belongs to no job that is due: it is not read", bool(damage))]
    said = {".damaged": "was set aside", ".lock": "a process makes this part, or has been killed"}
    said |= {".partial": "is what a killed process left, or a living one writes"}
    return [Looked(path, said.get(path.suffix, "is no file of a study: it is never read"), path.suffix not in said)]
