"""What a study leaves on disk: study.json, environment.json, and a Parquet part for each job that is done.

Invariant: a part is named by the hash of what it holds, written under a temporary name and renamed; it is there whole
or not at all, and is never changed. A process makes a part only while it holds the claim to it. So a study resumes by
looking at which parts exist, and several processes may work on one directory.
"""

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mlp_jax.machine import environment, files
from mlp_jax.study.cells import Job
from mlp_jax.study.plan import Study, check_protocol, from_dict, identity, to_dict

if TYPE_CHECKING:
    import pandas

PHASES = ("tuning", "winners")
PASSING = (".partial", ".lock")  # what a process that was killed may leave


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
        self._claims: dict[Path, _Lock] = {}
        if directory.exists():
            _check(directory, study)
        files.make_folder(directory)
        lock, names = directory / "study.lock", ("study.json", "environment.json")
        if lock.exists() or not all((directory / name).exists() for name in names):
            with contextlib.closing(_Lock(lock)):
                _check(directory, study)  # another process may have been quicker
                self._name(study, describe)
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

    def claimed(
        self, jobs: Iterable[Job], interrupted: Callable[[], bool] = lambda: False, at_once: int = 1
    ) -> Iterator[Job | None]:
        """Yield each job whose part is missing, while its claim is held; end when no part is missing.

        No other process makes a part that is claimed. The claim ends when `write` has kept the part, with `let_go`, and
        with this process, however that ends. Whenever `at_once` claims are held, or other processes hold those that are
        left, None is yielded: wait a little, then ask again.
        """
        left, given = list(jobs), set()
        while left and not interrupted():
            before = len(given)
            for job in list(left):
                path = self._path(job)
                if path in self._claims:
                    continue
                while not (stop := interrupted()) and len(self._claims) >= at_once:
                    yield None
                if stop:
                    return
                there = path in given or _load(path)[0] is not None
                # a lock beside a part is what a process left that was killed: to claim the part removes it
                if (not there or path.with_suffix(".lock").exists()) and self._claim(path):
                    given.add(path)
                    yield job
                elif there:
                    left.remove(job)
            if left and len(given) == before:
                yield None

    def read(self, job: Job) -> "pandas.DataFrame | None":
        """Return the part that a job makes; None if it is missing, or damaged, with a warning."""
        return read_part(self._path(job))

    def write(self, job: Job, rows: "pandas.DataFrame") -> None:
        """Keep the part that a job makes, and give up its claim."""
        path = self._path(job)
        files.replace(path, lambda partial: rows.to_parquet(partial, index=False, write_page_checksum=True))
        if path in self._claims:
            self._release(path)

    def work(self, job: Job) -> Path:
        """Return a directory for what lets a claimed job go on after this process has died; it goes with the claim.

        What is in it stays when the claim ends without a part, for whoever claims the job next.
        """
        path = self._path(job).with_suffix(".progress")
        files.make_folder(path)
        return path

    def let_go(self) -> None:
        """Give up all claims."""
        for path in list(self._claims):
            self._release(path)

    def _path(self, job: Job) -> Path:
        return self.directory / job.phase / f"{job.name}.parquet"

    def _claim(self, path: Path) -> bool:
        """Claim a part unless another process does; then look again, for it may have been made in the meantime."""
        try:
            self._claims[path] = _Lock(path.with_suffix(".lock"), wait=False)
        except Timeout:
            return False
        rows, damage = _load(path)
        if damage:
            path.replace(path.with_suffix(".damaged"))
            warnings.warn(f"{path} {damage}: it is set aside as *.damaged and made again", stacklevel=2)
        if rows is not None:
            self._release(path)
        return rows is None

    def _release(self, path: Path) -> None:
        """Give up a claim; what lets the job go on is removed if its part is there, or if it is nothing."""
        work = path.with_suffix(".progress")
        with contextlib.closing(self._claims.pop(path)):
            if path.exists():
                shutil.rmtree(work, ignore_errors=True)
            with contextlib.suppress(OSError):
                work.rmdir()
            _remove_partials(path)

    def _name(self, study: Study, describe: Callable[[], dict[str, Any]]) -> None:
        # study.json comes first: a process that is killed here, or starts now, must find a study or nothing
        for name, value in (("study.json", lambda: to_dict(study)), ("environment.json", describe)):
            path = self.directory / name
            if not path.exists():
                text = json.dumps(value(), indent=2) + "\n"
                files.replace(path, lambda partial, text=text: partial.write_text(text))
            _remove_partials(path)


class _Lock:
    """A lock file that this process holds until it closes it; the system lets go of it when the process ends.

    Raises:
        Timeout: another process holds it, and there is no `wait`.
        OSError: it can't be made.
    """

    def __init__(self, path: Path, wait: bool = True) -> None:
        self.path, self.lock = path, FileLock(path, thread_local=False)
        try:
            self.lock.acquire(blocking=wait)
        except Timeout:
            raise
        except OSError as error:
            raise OSError(f"can't write {path}: {error.strerror or error}; name another place") from error

    def close(self) -> None:
        """Remove the file, then let go: a process that opened it before sees that it has gone, and holds nothing."""
        with contextlib.suppress(OSError):  # Windows removes it with the lock
            self.path.unlink()
        self.lock.release()


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


def read_part(path: Path) -> "pandas.DataFrame | None":
    """Read a part; None if it is missing or damaged, then with a warning."""
    rows, damage = _load(path)
    if damage:
        warnings.warn(f"{path} {damage}: it is left out", stacklevel=2)
    return rows


def _load(path: Path) -> "tuple[pandas.DataFrame | None, str]":
    """Return the rows of a part, None if it is missing or damaged, and what is to be said of the damage."""
    import pandas

    try:
        return pandas.read_parquet(path, page_checksum_verification=True), ""
    except FileNotFoundError:
        return None, ""
    except Exception as error:  # pyarrow raises its own kinds for damage of every sort
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise  # nothing is known of the part then
        return None, f"is damaged ({next(iter(str(error).splitlines()), type(error).__name__)})"


def _remove_partials(path: Path) -> None:
    """Remove what processes left that were killed while they wrote a file; none may be writing it."""
    for partial in path.parent.glob(f"*{path.name}*.partial"):
        partial.unlink(missing_ok=True)


def _check(directory: Path, study: Study) -> None:
    if not directory.is_dir():
        raise ValueError(f"--out {directory} is a file; name a directory")
    if all(entry.suffix in PASSING for entry in directory.iterdir()):
        return
    found: dict[str, Any] = identity(read_plan(directory))
    given = json.loads(json.dumps(identity(study)))
    if names := sorted(name for name in found.keys() | given.keys() if found.get(name) != given.get(name)):
        name = names[0]
        raise ValueError(
            f"--out {directory} holds another study ({name} {found.get(name)!r} there, {given.get(name)!r} here); "
            "name another directory"
        )
