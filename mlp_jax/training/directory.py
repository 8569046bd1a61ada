"""What a run leaves on disk: config.json, environment.json, model.json, metrics.parquet, checkpoints in one directory.

Invariant: every file is written under a temporary name and renamed, so a reader never meets half of one; a directory
that holds another run is never touched.
"""

import json
from pathlib import Path

from mlp_jax.machine.files import finite, make_folder, read_json, replace
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config


class Records:
    """The directory of one run.

    Raises:
        ValueError: the path is a file, holds something else, or holds a run that must not go on: another
            configuration, or the same without `resume`.
        OSError: it can't be written.
    """

    def __init__(self, directory: Path, config: Config, resume: bool) -> None:
        self.directory = directory
        if directory.exists():
            self._check(config, resume)
        make_folder(directory)
        self.write_json("config.json", configs.to_dict(config))

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.directory / "checkpoints"

    def write_json(self, name: str, value: dict) -> None:
        """Write `value`, with null for every number that is not finite."""
        text = json.dumps(finite(value), indent=2, allow_nan=False) + "\n"
        replace(self.directory / name, lambda path: path.write_text(text))

    def write_metrics(self, rows: list[dict]) -> None:
        """Write metrics.parquet, a row per evaluation."""
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist(rows)
        replace(self.directory / "metrics.parquet", lambda path: pyarrow.parquet.write_table(table, path))

    def _check(self, config: Config, resume: bool) -> None:
        if not self.directory.is_dir():
            raise ValueError(f"--out {self.directory} is a file; name a new directory")
        if not any(entry for entry in self.directory.iterdir() if not entry.name.endswith(".partial")):
            return
        before = read_json(self.directory, "config.json")
        after = json.loads(json.dumps(configs.to_dict(config)))
        if before != after:
            names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
            name = names[0]
            raise ValueError(
                f"--out {self.directory} holds a run of another configuration ({name} {before.get(name)!r} there, "
                f"{after.get(name)!r} here); name another directory"
            )
        if not resume:
            raise ValueError(f"--out {self.directory} holds this run already; add --resume to go on with it")
