"""Lock files: of the processes that share a folder one alone holds a lock, until it gives it up or ends.

Invariant: a lock follows no link and waits for no pipe, and no file is left of one that was given up.
"""

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout

from mlp_jax.machine import files

PASSING = (".partial", ".lock")  # what a process that was killed may leave


class Lock:
    """A lock file that this process holds until it closes it; the system lets go of it when the process ends.

    Raises:
        Timeout: another process holds it, and there is no `wait`.
        OSError: it can't be made.
    """

    def __init__(self, path: Path, wait: bool = True) -> None:
        self.path, self.lock = path, FileLock(path, thread_local=False)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            files.remove(path)  # no lock of ours: to open it would follow a link, or wait for a pipe
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
