"""What a study leaves on disk: study.json, data.json, environment.json, and a Parquet part for each job that is done.

Invariant: a part is named by the hash of what was asked, written under a temporary name and renamed; it is there whole
or not at all, and is never changed. A process makes a part only while it holds the claim to it. So a study resumes and
grows by looking at which parts exist, and several processes may work on one directory. What counts are the parts that
the study's protocol names, from its first job on: no other file in its folders is ever read.
"""

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from mlp_jax.machine import environment, files
from mlp_jax.machine.locks import PASSING, Lock
from mlp_jax.study import cells, contents, parts, protocol
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.growth import grown
from mlp_jax.study.histories import last_rows
from mlp_jax.study.plan import Study, to_dict
from mlp_jax.study.protocol import Job

if TYPE_CHECKING:
    import pandas


class Store:
    """The directory of one study; `describe` says where its parts are made, and is asked once.

    `study` is what is there and what is asked now, together: a study grows.

    Raises:
        ValueError: the path is a file, holds something else, a study that contradicts this one, or one of another
            protocol version.
        OSError: it can't be written.
    """

    def __init__(
        self, directory: Path, study: Study, data: Facts, describe: Callable[[], dict[str, Any]] = environment.describe
    ) -> None:
        self.directory, self.study, self.data = directory, study, data
        self._claims: dict[Path, Lock] = {}
        self._ends: dict[Path, pandas.DataFrame] = {}  # of the parts that were read, how each trial ended
        self._following: dict[str, Job] = {}
        if directory.exists():
            self.study = _joined(directory, study, data)
        files.make_folder(directory)
        lock = directory / "study.lock"
        whole = (
            all((directory / name).exists() for name in contents.NAMES) and contents.read_plan(directory) == self.study
        )
        if lock.exists() or not whole:
            with contextlib.closing(Lock(lock)):
                self.study = _joined(directory, study, data)  # another process may have been quicker
                self._name(describe)
        for phase in contents.PHASES:
            files.make_folder(directory / phase)

    def claimed(self, interrupted: Callable[[], bool] = lambda: False, at_once: int = 1) -> Iterator[Job | None]:
        """Yield each job whose part is missing, while its claim is held; end when no part is missing.

        The cells come in their order, and of each the next job as soon as those before it are made. No other process
        makes a part that is claimed. The claim ends when `write` has kept the part, with `let_go`, and with this
        process, however that ends. Whenever `at_once` claims are held, or nothing can be claimed now, None is yielded:
        wait a little, then ask again.
        """
        every = list(cells.of(self.study, self.data))
        left = every.copy()
        while left and not interrupted():
            job = None
            if len(self._claims) < at_once:
                for cell in list(left):
                    following = self.following(cell)
                    if following is None:
                        left.remove(cell)
                    elif self._path(following) not in self._claims and self._claim(self._path(following)):
                        job = following
                        break
            if not left and not all(path.exists() for path in self._ends):  # someone has removed what was there
                left = every.copy()
            elif left:
                yield job

    def following(self, cell: StudyCell) -> Job | None:
        """Return the first job of a cell whose part is missing or damaged; None when the cell is complete."""
        job = self._following.get(cell.id)
        if job is None or self._path(job).exists():
            job = None
            for job in protocol.jobs(self.study, cell, self.data.score, self._ended):  # noqa: B007
                pass
            if job is not None and self._ended(job) is not None:
                job = None
            if job is not None:
                self._following[cell.id] = job
        return job

    def _ended(self, job: Job) -> "pandas.DataFrame | None":
        """Return how the trials of a job ended, None if its part is not there."""
        path = self._path(job)
        if path not in self._ends or not path.exists():
            self._ends.pop(path, None)
            rows = parts.load(path)[0]
            if rows is None:
                return None
            if path.with_suffix(".lock").exists():  # left by a process that was killed: to claim the part removes it
                self._claim(path)
            self._ends[path] = last_rows(rows)
        return self._ends[path]

    def read(self, job: Job) -> "pandas.DataFrame | None":
        """Return the part that a job makes; None if it is missing, or damaged, with a warning."""
        return parts.read(self._path(job))

    def write(self, job: Job, rows: "pandas.DataFrame") -> None:
        """Keep the part that a job makes, and give up its claim."""
        path = self._path(job)
        parts.write(path, rows)
        if path in self._claims:
            self._release(path)

    def work(self, job: Job) -> Path:
        """Name a directory for what lets a claimed job go on after this process has died; it goes with the claim.

        It is made where there is something to keep: most jobs are done before. What is in it stays when the claim ends
        without a part, for whoever claims the job next.
        """
        path = self._path(job).with_suffix(".progress")
        if path.is_symlink():
            files.remove(path)
        return path

    def let_go(self) -> None:
        """Give up all claims."""
        for path in list(self._claims):
            self._release(path)

    def _path(self, job: Job) -> Path:
        return contents.part_of(self.directory, job)

    def _claim(self, path: Path) -> bool:
        """Claim a part unless another process does; then look again, for it may have been made in the meantime."""
        try:
            self._claims[path] = Lock(path.with_suffix(".lock"), wait=False)
        except Timeout:
            return False
        rows, damage = parts.load(path)
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
            files.remove_leftovers(path.parent, path.name)

    def _name(self, describe: Callable[[], dict[str, Any]]) -> None:
        # study.json comes first: a process that is killed here, or starts now, must find a study or nothing
        for name, value in zip(contents.NAMES, (lambda: to_dict(self.study), self.data._asdict, describe)):
            path = self.directory / name
            if not path.exists() or (name == "study.json" and contents.read_plan(self.directory) != self.study):
                files.write_json(path, value())


def _joined(directory: Path, study: Study, data: Facts) -> Study:
    """Return the study that a directory holds, grown by what is asked now; `study` itself in an empty one."""
    if not directory.is_dir():
        raise ValueError(f"--out {directory} is a file; name a directory")
    if all(entry.suffix in PASSING for entry in directory.iterdir()):
        return study
    try:
        whole = grown(contents.read_plan(directory), study)
    except ValueError as error:
        if not str(error).startswith("another study"):
            raise
        raise ValueError(f"--out {directory} holds {error}; name another directory") from error
    if (directory / "data.json").exists() and contents.read_facts(directory) != data:
        raise ValueError(f"--out {directory} holds a study of other data: they have changed; name another directory")
    _check_precision(directory)
    return whole


def _check_precision(directory: Path) -> None:
    """Raise a ValueError where a study was made with floats of another size: its parts and new ones do not mix."""
    try:
        there = files.read_json(directory, "environment.json", "study").get("x64", False)
    except ValueError:  # it is missing or damaged, and says nothing
        return
    if there != (here := parts.made_here()["x64"]):
        raise ValueError(
            f"--out {directory} holds a study that was made with JAX_ENABLE_X64={int(there)}, and here it is "
            f"{int(here)}; set it as it was, or name another directory"
        )
