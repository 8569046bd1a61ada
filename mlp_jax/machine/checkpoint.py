"""Save and restore a pytree of arrays with a JSON note beside it, completely or not at all.

Orbax writes arrays and JSON, never pickles, to a temporary name that it renames when everything is on disk. A checksum
of arrays and note is stored with them, so that a checkpoint that has changed on disk is never restored.
"""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mlp_jax.machine import controls

KEPT = 2
CHECKSUM, OF = "sha256", "of"  # entries of every note
OVERHEAD = 2**18  # bytes that a checkpoint takes beside its arrays, at most
LATE_SECONDS = 5.0  # to wait for the writers of a save that has failed


class Checkpoints:
    """The checkpoints in one directory, numbered by step; the newest few are kept.

    If several processes run together, only process 0 keeps checkpoints, and no process waits for another. `of` names
    the training that the checkpoints belong to, if it is known: those saved under another name are not restored.

    Raises:
        ValueError: this is one of several processes, but not process 0.
        OSError: the directory's name is not plain text, or a pipe or a device lies in it; from `save`, if the disk is
            full or can't be written to.
        ValueError: from `restore`, if no checkpoint is sound and has the right shapes.
    """

    def __init__(self, directory: Path, of: str = "") -> None:
        if jax.process_index() > 0:
            raise ValueError(
                f"process {jax.process_index()} of {jax.process_count()} can't keep checkpoints; process 0 can"
            )
        self._directory = directory.absolute()
        if controls.shown(str(self._directory)).encode() != os.fsencode(self._directory):
            raise OSError(f"can't keep checkpoints in {self._directory}: its name is no plain text; name another place")
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in self._directory.rglob("*"):
            if not (path.is_file() or path.is_dir()):  # orbax would wait for a pipe for ever
                raise OSError(
                    f"can't read checkpoints in {self._directory}: {path} is no file and no folder; delete it"
                )
        alone = ocp.options.MultiprocessingOptions(active_processes={0})
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, create=False, multiprocessing_options=alone
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)
        self._of, self._damaged = of, list[int]()

    @property
    def latest(self) -> int | None:
        """The newest step that was saved completely."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, note: dict) -> None:
        """Save `tree` and `note` as number `step`, unless it exists already; a damaged one is replaced."""
        while self._damaged:
            self._manager.delete(self._damaged.pop())
        if step in self._manager.all_steps():
            return
        tree = jax.tree.map(np.asarray, tree)  # one of several processes may not save a device's array alone
        note = note | {OF: self._of}
        note |= {CHECKSUM: _checksum(tree, note)}
        arguments = ocp.args.Composite(tree=ocp.args.StandardSave(tree), note=ocp.args.JsonSave(note))
        try:
            self._check_space(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
            with _silent_writers():
                self._manager.save(step, args=arguments)
                self._manager.wait_until_finished()
        except Exception as error:  # orbax's writers raise errors of their own for a full disk
            for partial in self._directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or _first_line(error)
            raise OSError(f"can't save checkpoint {step} in {self._directory}: {reason}") from error

    def _check_space(self, needed: int) -> None:
        if shutil.disk_usage(self._directory).free < needed + OVERHEAD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def restore(self, like: Callable[[dict], Any]) -> tuple[Any, dict]:
        """Return the newest sound tree, as NumPy arrays, and its note; warn about each newer one that is damaged.

        Args:
            like: returns for a note the arrays, or their shapes and types, that the tree must have.
        """
        if self.latest is None:
            raise ValueError(f"no checkpoint in {self._directory}; train with this --out first")
        found: list[str] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                read = self._read(step, like)
            except (MemoryError, PermissionError):
                raise  # that says nothing about the checkpoint
            except Exception as error:  # damage shows in many ways
                found.append(f"can't read checkpoint {step} in {self._directory}: {_first_line(error)}")
                self._damaged.append(step)
                continue
            for reason in found:
                warnings.warn(f"{reason}; going by checkpoint {step} instead", stacklevel=2)
            return read
        self._damaged.clear()
        raise ValueError(f"{found[0]}; no other is sound: delete that directory to train from the start")

    def faults(self) -> dict[int, str]:
        """Return for the number of each checkpoint what is wrong with it, or "" if it is sound."""
        found = {}
        for step in self._manager.all_steps():
            try:
                self._read(step)
                found[step] = ""
            except (MemoryError, PermissionError):
                raise
            except Exception as error:
                found[step] = _first_line(error)
        return found

    def _read(self, step: int, like: Callable[[dict], Any] | None = None) -> tuple[Any, dict]:
        _silence_readers()
        note = self._manager.restore(step, args=ocp.args.Composite(note=ocp.args.JsonRestore()))["note"]
        if (checksum := note.pop(CHECKSUM, None)) is None:
            raise ValueError("its note has no checksum")
        shapes = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like(note)) if like else None
        tree = self._manager.restore(step, args=ocp.args.Composite(tree=ocp.args.StandardRestore(shapes)))["tree"]
        shape = lambda tree: [leaf.shape for leaf in jax.tree.leaves(tree)]
        if like and shape(tree) != shape(shapes):
            raise ValueError("it holds arrays of other shapes")
        if checksum != _checksum(tree, note):
            raise ValueError("it has changed on disk since it was saved")
        of = note.pop(OF, "")
        if of and self._of and of != self._of:
            raise ValueError("it belongs to other training than the files beside it")
        return tree, note

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()


@functools.cache
def _silence_readers() -> None:
    """Keep orbax's readers quiet that end after damage has stopped the reading."""
    before = sys.unraisablehook
    of_reader = lambda record: record.exc_info and "tensorstore_spec" in str(record.exc_info[1])

    def quiet(found: Any) -> None:
        if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == "Event loop is closed"):
            before(found)

    sys.unraisablehook = quiet
    logging.getLogger("asyncio").addFilter(lambda record: not of_reader(record))


@contextlib.contextmanager
def _silent_writers() -> Iterator[None]:
    """Keep orbax's threads from printing what also becomes an error; some end only after `save` has failed."""
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


def _checksum(tree: Any, note: dict) -> str:
    """Return a checksum of the arrays, with their names, and of the note."""
    digest = hashlib.sha256(json.dumps(json.loads(json.dumps(note)), sort_keys=True).encode())
    name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")  # same for a tuple's field and a key
    named = ((name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree))
    for path, leaf in sorted(named, key=lambda pair: pair[0]):
        digest.update(f"{path} {leaf.dtype.str} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return said.partition(" [tensorstore_spec")[0]
