"""Read the directory of a study: what was asked, the facts about its data, and the rows of its parts.

Invariant: only the parts that the study's protocol names count, from the first job on; nothing is changed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from mlp_jax import checks
from mlp_jax.machine import files
from mlp_jax.study import cells, parts, protocol
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.evidence import kept
from mlp_jax.study.histories import Histories, last_rows
from mlp_jax.study.plan import Study, check_protocol, digest, from_dict, to_dict
from mlp_jax.study.protocol import Job

if TYPE_CHECKING:
    import pandas

PHASES = ("tuning", "winners")
NAMES = ("study.json", "data.json", "environment.json")


class Way(NamedTuple):
    """The progress of a cell: the jobs whose parts exist, and the next job, None if the cell is complete."""

    cell: StudyCell
    made: list[Job]
    next: Job | None


class Read(NamedTuple):
    """All parts of a study that count, and how many of its cells are complete; 0 of 0 cells before the study begins.

    `parts` has the rows of each part, or what was kept of them. `made_by` lists what made the parts, each kind once
    (see `parts.made_here`). `state` is a hash of everything that was read, `ways` has the progress of each cell, and
    `study` is what was asked when it was read.
    """

    parts: list[Any]
    complete: int
    cells: int
    made_by: list[dict[str, Any]]
    state: str
    ways: list[Way]
    study: Study


def read_study(directory: Path | str) -> "pandas.DataFrame":
    """Return everything that a study has found so far: a row for each evaluation of each trial.

    Columns: phase (tuning, winners), cell, round, trial, optimizer, batch_size, seed, one for each hyper-parameter,
    step, examples, epoch, training_seconds, metrics of the splits; noise_trace, noise_squared_norm and noise_scale if
    the study measures them (in the first winner's run of each cell; NaN elsewhere); and about the whole trial status,
    failed, steps, steps_to_target, and for winners the test metrics at the end.

    >>> rows = read_study("runs/mine")
    >>> sorted(set(rows["phase"])), sorted(set(rows["optimizer"]))
    (['tuning', 'winners'], ['momentum', 'sgd'])

    Raises:
        ValueError: there is no study.
    """
    import pandas

    there = read_all(Path(directory)).parts
    return pandas.concat(there, ignore_index=True) if there else pandas.DataFrame()


def read_all(directory: Path, keep: "Callable[[pandas.DataFrame, Study], Any]" = lambda rows, study: rows) -> Read:
    """Read the parts of a study: for each cell from its first job to the first one whose part is missing.

    >>> read = read_all(Path("runs/mine"))
    >>> read.complete, read.cells
    (6, 6)

    Args:
        keep: returns what to keep of the rows of a part of this study (default: all rows).

    Raises:
        ValueError: there is no study.
    """
    study = read_plan(directory)
    if not (directory / "data.json").exists():
        return Read([], 0, 0, [], digest(to_dict(study)), [], study)
    ends: dict[Path, pandas.DataFrame | None] = {}
    kept, made_by, sums = [], [], {}

    def read(job: Job) -> "pandas.DataFrame | None":
        path = part_of(directory, job)
        if path not in ends:
            rows = parts.read(path)
            ends[path] = None if rows is None else last_rows(rows)
            if rows is not None:
                kept.append(keep(rows, study))
                made_by.append(rows.attrs[parts.MADE_BY])
                sums[path.name] = rows.attrs[parts.ROWS]
        return ends[path]

    data, ways = read_facts(directory), []
    for cell in cells.of(study, data):
        *made, last = protocol.jobs(study, cell, data.score, read)
        ways.append(Way(cell, made, last) if read(last) is None else Way(cell, [*made, last], None))
    complete = sum(way.next is None for way in ways)
    kinds = [each for n, each in enumerate(made_by) if each not in made_by[:n]]
    return Read(kept, complete, len(ways), kinds, digest([to_dict(study), data, sums]), ways, study)


def read_histories(directory: Path) -> tuple[Histories, Read]:
    """Return the histories of a study's trials, and what else it holds; only the rows that findings need are kept.

    >>> histories, read = read_histories(Path("runs/mine"))
    >>> len(histories.trials) == read_study("runs/mine")["trial"].nunique()
    True

    Raises:
        ValueError: there is no study.
    """
    read = read_all(directory, kept)
    return Histories(read.parts), read


def part_of(directory: Path, job: Job) -> Path:
    """Return the path of the part that a job makes."""
    return directory / job.phase / f"{job.name}.parquet"


def read_facts(directory: Path) -> Facts:
    """Return the facts about a study's data.

    Raises:
        ValueError: data.json is missing or does not hold them.
    """
    fields = files.read_json(directory, "data.json", "study")
    try:
        whole = Facts._field_defaults | fields
        facts = Facts(**{name: kind(whole[name]) for name, kind in Facts.__annotations__.items()})
        return facts._replace(examples=checks.value("examples", facts.examples, Annotated[int, checks.whole(1, 63)]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{directory / 'data.json'} does not describe a study's data; name another directory"
        ) from error


def read_plan(directory: Path) -> Study:
    """Return the Study that a directory holds.

    >>> read_plan(Path("runs/mine")).batch_sizes
    (8, 32, 'full')

    Raises:
        ValueError: it holds no study, or one of another protocol version.
    """
    fields = files.read_json(directory, "study.json", "study")
    check_protocol(str(fields.get("protocol")), f"the study in {directory}")
    try:
        return from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{directory / 'study.json'}: {error}") from error
