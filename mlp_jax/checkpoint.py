"""Save and restore a pytree of arrays with a JSON note beside it, whole or not at all.

Orbax writes arrays and JSON, never pickles, to a temporary name that it renames when all is on disk.
"""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

KEPT = 2


class Checkpoints:
    """The checkpoints in one directory, numbered by step; the newest few are kept.

    Raises:
        OSError: from `save`, when the disk is full or may not be written to.
        ValueError: from `restore`, when what is on disk can't be read or has another shape.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    @property
    def latest(self) -> int | None:
        """The newest step that was saved whole."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Any, note: dict) -> None:
        """Save `tree` and `note` as number `step`, unless that number is there already."""
        if step in self._manager.all_steps():
            return
        arguments = ocp.args.Composite(tree=ocp.args.StandardSave(tree), note=ocp.args.JsonSave(note))
        try:
            self._manager.save(step, args=arguments)
            self._manager.wait_until_finished()
        except Exception as error:  # the writers below raise their own kinds for a full disk
            raise OSError(f"can't save checkpoint {step} in {self._directory}: {_first_line(error)}") from error

    def restore(self, like: Any) -> tuple[Any, dict]:
        """Return the newest tree, with the shapes and types of `like` (arrays or shapes), and its note."""
        step = self.latest
        if step is None:
            raise ValueError(f"no checkpoint in {self._directory}; train with this --out first")
        arguments = ocp.args.Composite(tree=ocp.args.StandardRestore(like), note=ocp.args.JsonRestore())
        try:
            restored = self._manager.restore(step, args=arguments)
        except Exception as error:
            message = f"can't read checkpoint {step} in {self._directory}: {_first_line(error)}"
            raise ValueError(f"{message}; delete that folder to go on from an earlier one") from error
        return restored["tree"], restored["note"]

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
