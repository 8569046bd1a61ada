"""Lock files: only one of the processes that share a folder holds a lock, until it releases it or ends.

Invariant: a lock follows no link and waits for no pipe, and a released lock leaves no file.
"""

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout

from mlp_jax.machine import files

PASSING = (".partial", ".lock")  # files that a killed process may leave


class Lock:
    """A lock file that this process holds until it closes it; when the process ends, the system releases the lock.

    Raises:
        Timeout: another process holds the lock, and `wait` is False.
        OSError: the file can't be made.
    """

    def __init__(self, path: Path, wait: bool = True) -> None:
        self.path, self.lock = path, FileLock(path, thread_local=False)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            files.remove(path)  # not a lock: to open it would follow a link, or wait for a pipe
        try:
            self.lock.acquire(blocking=wait)
        except Timeout:
            raise
        except OSError as error:
            raise OSError(f"can't write {path}: {error.strerror or error}; name another place") from error

    def close(self) -> None:
        """Remove the file, then release the lock: a process that opened it before notices that the file is gone."""
        with contextlib.suppress(OSError):  # Windows removes it with the lock
            self.path.unlink()
        self.lock.release()
