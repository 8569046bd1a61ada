"""Save and restore a pytree of arrays with a JSON note beside it, whole or not at all.

Orbax writes arrays and JSON, never pickles, to a temporary name that it renames when all is on disk.
"""

import contextlib
import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

KEPT = 2
OVERHEAD = 2**18  # bytes that a checkpoint takes beside its arrays, at most
LATE_SECONDS = 5.0  # to wait for the writers of a save that has failed


class Checkpoints:
    """The checkpoints in one directory, numbered by step; the newest few are kept.

    Of several processes that run together process 0 alone keeps any, and none waits for another.

    Raises:
        ValueError: this is another process of several.
        OSError: from `save`, when the disk is full or may not be written to.
        ValueError: from `restore`, when what is on disk can't be read or has another shape.
    """

    def __init__(self, directory: Path) -> None:
        if jax.process_index() > 0:
            raise ValueError(
                f"process {jax.process_index()} of {jax.process_count()} can't keep checkpoints; process 0 can"
            )
        self._directory = directory.absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        alone = ocp.options.MultiprocessingOptions(active_processes={0})
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, create=False, multiprocessing_options=alone
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    @property
    def latest(self) -> int | None:
        """The newest step that was saved whole."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, note: dict) -> None:
        """Save `tree` and `note` as number `step`, unless that number is there already."""
        if step in self._manager.all_steps():
            return
        tree = jax.tree.map(np.asarray, tree)  # a process of several may not save a device's array by itself
        arguments = ocp.args.Composite(tree=ocp.args.StandardSave(tree), note=ocp.args.JsonSave(note))
        try:
            self._check_space(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
            with _silent_writers():
                self._manager.save(step, args=arguments)
                self._manager.wait_until_finished()
        except Exception as error:  # the writers below raise their own kinds for a full disk
            for partial in self._directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or _first_line(error)
            raise OSError(f"can't save checkpoint {step} in {self._directory}: {reason}") from error

    def _check_space(self, needed: int) -> None:
        if shutil.disk_usage(self._directory).free < needed + OVERHEAD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def restore(self, like: Any) -> tuple[Any, dict]:
        """Return the newest tree, NumPy arrays with the shapes and types of `like` (arrays or shapes), and its note."""
        step = self.latest
        if step is None:
            raise ValueError(f"no checkpoint in {self._directory}; train with this --out first")
        like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        arguments = ocp.args.Composite(tree=ocp.args.StandardRestore(like), note=ocp.args.JsonRestore())
        try:
            restored = self._manager.restore(step, args=arguments)
        except Exception as error:
            message = f"can't read checkpoint {step} in {self._directory}: {_first_line(error)}"
            raise ValueError(f"{message}; delete that folder to go on from an earlier one") from error
        shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (restored["tree"], like)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"can't read checkpoint {step} in {self._directory}: it holds arrays of other shapes")
        return restored["tree"], restored["note"]

    def note(self) -> dict:
        """Return the note of the newest checkpoint."""
        arguments = ocp.args.Composite(note=ocp.args.JsonRestore())
        return self._manager.restore(self.latest, args=arguments)["note"]

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()


@contextlib.contextmanager
def _silent_writers() -> Iterator[None]:
    """Keep orbax's threads from printing what also becomes an error; some of them end only after `save` has failed."""
    logger, level, others = logging.getLogger("absl"), logging.getLogger("absl").level, set(threading.enumerate())
    before = threading.excepthook

    def quiet(failure: threading.ExceptHookArgs) -> None:
        if failure.thread in others:
            before(failure)

    logger.setLevel(logging.CRITICAL + 1)
    threading.excepthook = quiet
    try:
        yield
    except Exception:
        end = time.monotonic() + LATE_SECONDS
        for thread in set(threading.enumerate()) - others:
            thread.join(max(0.0, end - time.monotonic()))
        raise
    finally:
        threading.excepthook = before
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
