"""What a study writes to disk: study.json, data.json, environment.json, and a Parquet part for each finished job.

Invariant: a part is named by the hash of what its job asks, written under a temporary name and renamed; it exists
completely or not at all, and is never changed. A process makes a part only while it holds the claim to it. So a study
resumes and grows by looking at which parts exist, and several processes may work on one directory. Only the parts that
the study's protocol names count, from its first job on: no other file in its folders is ever read.
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
    """The directory of one study; `describe` is called once, to describe where the parts are made.

    The attribute `study` is the study in the directory, grown by what is asked now.

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
        self._ends: dict[Path, pandas.DataFrame] = {}  # how each trial ended, for the parts that were read
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
                self.study = _joined(directory, study, data)  # another process may have been faster
                self._name(describe)
        for phase in contents.PHASES:
            files.make_folder(directory / phase)

    def claimed(self, interrupted: Callable[[], bool] = lambda: False, at_once: int = 1) -> Iterator[Job | None]:
        """Yield each job whose part is missing, while its claim is held; end when no part is missing.

        Cells come in their order; the next job of a cell comes as soon as the jobs before it are made. No other process
        makes a part that is claimed. A claim ends when `write` has saved the part, by `let_go`, or when this process
        ends in any way. If `at_once` claims are held, or nothing can be claimed now, None is yielded: wait a little,
        then ask again.
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
            if not left and not all(path.exists() for path in self._ends):  # someone has removed a part
                left = every.copy()
            elif left:
                yield job

    def following(self, cell: StudyCell) -> Job | None:
        """Return the first job of a cell whose part is missing or damaged; None if the cell is complete."""
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
        """Return how the trials of a job ended; None if its part does not exist."""
        path = self._path(job)
        if path not in self._ends or not path.exists():
            self._ends.pop(path, None)
            rows = parts.load(path)[0]
            if rows is None:
                return None
            if path.with_suffix(".lock").exists():  # a killed process left it; claiming the part removes it
                self._claim(path)
            self._ends[path] = last_rows(rows)
        return self._ends[path]

    def read(self, job: Job) -> "pandas.DataFrame | None":
        """Return the part that a job makes; None if it is missing, or damaged, with a warning."""
        return parts.read(self._path(job))

    def write(self, job: Job, rows: "pandas.DataFrame") -> None:
        """Save the part that a job makes, and give up its claim."""
        path = self._path(job)
        parts.write(path, rows)
        if path in self._claims:
            self._release(path)

    def work(self, job: Job) -> Path:
        """Return a directory for checkpoints of a claimed job, from which the job can go on if this process dies.

        The job makes the directory when it has something to save; most jobs end before. If the claim ends without a
        part, the directory stays for the process that claims the job next.
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
        """Claim a part unless another process has; then look again, since it may have been made in the meantime."""
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
        """Give up a claim; remove the job's checkpoints if its part exists, or their directory if it is empty."""
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
    """Return the study in a directory, grown by `study`; if the directory is empty, `study` itself."""
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
    """Raise a ValueError if a study was made with floats of another size, since old and new parts would not mix."""
    try:
        there = files.read_json(directory, "environment.json", "study").get("x64", False)
    except ValueError:  # environment.json is missing or damaged
        return
    if there != (here := parts.made_here()["x64"]):
        raise ValueError(
            f"--out {directory} holds a study that was made with JAX_ENABLE_X64={int(there)}, and here it is "
            f"{int(here)}; set it as it was, or name another directory"
        )
