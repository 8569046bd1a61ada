"""What a study leaves on disk: study.json, environment.json, and a Parquet part for each finished cell.

Invariant: a part is named by the hash of what it holds, written under a temporary name and renamed; it is there whole
or not at all, and is never changed. So a study resumes by looking at which parts exist, and several processes may work
on one directory.
"""

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_jax.machine import environment, files
from mlp_jax.study.plan import Study, check_protocol, from_dict, identity, to_dict

if TYPE_CHECKING:
    import pandas

PHASES = ("tuning", "winners")


class Store:
    """The directory of one study; `describe` says where its parts are made, and is asked once.

    Raises:
        ValueError: the path is a file, holds something else, another study, or one of another protocol version.
        OSError: it can't be written.
    """

    def __init__(
        self, directory: Path, study: Study, describe: Callable[[], dict[str, Any]] = environment.describe
    ) -> None:
        self.directory = directory
        if directory.exists():
            _check(directory, study)
        files.make_folder(directory)
        # study.json comes first: a process that is killed here, or starts now, must find a study or nothing
        for name, value in (("study.json", lambda: to_dict(study)), ("environment.json", describe)):
            if not (directory / name).exists():
                text = json.dumps(value(), indent=2) + "\n"
                files.replace(directory / name, lambda path, text=text: path.write_text(text))
        for phase in PHASES:
            files.make_folder(directory / phase)

    def check_cells(self, cells: Iterable[str]) -> None:
        """Raise a ValueError if a part of another cell than these is there."""
        names = {path.stem.partition("-")[0] for phase in PHASES for path in (self.directory / phase).glob("*.parquet")}
        if names - set(cells):
            raise ValueError(
                f"--out {self.directory} holds cells that this study does not have: its data have changed, or the "
                "version of mlp_jax has; name another directory"
            )

    def has(self, phase: str, name: str) -> bool:
        """Tell whether a part is there."""
        return self._path(phase, name).exists()

    def read(self, phase: str, name: str) -> "pandas.DataFrame | None":
        """Return a part; None if it is missing, or damaged: then it is set aside, to be made again."""
        return read_part(self._path(phase, name), set_aside=True)

    def write(self, phase: str, name: str, rows: "pandas.DataFrame") -> None:
        """Keep a part."""
        files.replace(
            self._path(phase, name), lambda path: rows.to_parquet(path, index=False, write_page_checksum=True)
        )

    @contextlib.contextmanager
    def claim(self, phase: str, name: str) -> Iterator[bool]:
        """Hold a part so that no other process makes it; give False if another one does.

        The system lets go of it when the process ends, however that happens.
        """
        path = self.directory / phase / f"{name}.lock"
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, phase: str, name: str) -> Path:
        return self.directory / phase / f"{name}.parquet"


def read_study(directory: Path | str) -> "pandas.DataFrame":
    """Return all that a study has found so far: a row per trial and evaluation.

    Columns: phase (tuning, winners), cell, trial, optimizer, batch_size, point, seed, one for each hyper-parameter,
    step, examples, epoch, training_seconds, split metrics, noise_trace, noise_squared_norm and noise_scale where the
    study measures them (the first winner's run of each cell; NaN elsewhere), and of the trial as a whole status,
    failed, steps, steps_to_target, and for winners the test metrics at its end.

    Raises:
        ValueError: there is no study.
    """
    import pandas

    directory = Path(directory)
    read_plan(directory)
    parts = [read_part(path) for phase in PHASES for path in sorted((directory / phase).glob("*.parquet"))]
    there = [part for part in parts if part is not None]
    return pandas.concat(there, ignore_index=True) if there else pandas.DataFrame()


def read_plan(directory: Path) -> Study:
    """Return the Study that a directory holds.

    Raises:
        ValueError: it holds none, or one of another protocol version.
    """
    fields = files.read_json(directory, "study.json", "study")
    check_protocol(str(fields.get("protocol")), f"the study in {directory}")
    try:
        return from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{directory / 'study.json'}: {error}") from error


def read_part(path: Path, set_aside: bool = False) -> "pandas.DataFrame | None":
    """Read a part; None if it is missing or damaged (then renamed to *.damaged with `set_aside`, and a warning)."""
    import warnings

    import pandas

    try:
        return pandas.read_parquet(path, page_checksum_verification=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # pyarrow raises its own kinds for damage of every sort
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise  # nothing is known of the part then
        what = "left out"
        if set_aside:
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                path.replace(path.with_suffix(".damaged"))
            what = "set aside as *.damaged and made again"
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        warnings.warn(f"{path} is damaged ({reason}): it is {what}", stacklevel=2)
        return None


def _check(directory: Path, study: Study) -> None:
    if not directory.is_dir():
        raise ValueError(f"--out {directory} is a file; name a directory")
    if not any(entry for entry in directory.iterdir() if not entry.name.endswith(".partial")):
        return
    found: dict[str, Any] = identity(read_plan(directory))
    given = json.loads(json.dumps(identity(study)))
    if names := sorted(name for name in found.keys() | given.keys() if found.get(name) != given.get(name)):
        name = names[0]
        raise ValueError(
            f"--out {directory} holds another study ({name} {found.get(name)!r} there, {given.get(name)!r} here); "
            "name another directory"
        )
