"""Check whether the files and checkpoints in a directory of training are as they were written.

Invariant: nothing is changed, made or removed.
"""

from pathlib import Path

from mlp_jax.machine import parquet, soundness
from mlp_jax.machine.soundness import Looked
from mlp_jax.training import config as configs
from mlp_jax.training import prediction


def check(directory: Path) -> list[Looked]:
    """Check everything in a directory of `mlp-jax train --out` or of a population."""
    names = [name for name in ("config.json", "environment.json", "model.json") if (directory / name).exists()]
    looked = [soundness.of_json(directory, name, "run") for name in dict.fromkeys(["config.json", *names])]
    if not looked[0].wrong:
        looked[0] = _config(directory)
    if (directory / "metrics.parquet").exists():
        looked.append(_metrics(directory / "metrics.parquet"))
    return looked + _checkpoints(directory, all(not each.wrong for each in looked))


def _config(directory: Path) -> Looked:
    path = directory / "config.json"
    try:
        configs.from_dict(soundness.files.read_json(directory, "config.json"))
    except ValueError as error:
        return Looked(path, str(error), wrong=True)
    return Looked(path, "sound")


def _metrics(path: Path) -> Looked:
    try:
        table = parquet.read(path)
    except (ValueError, OSError) as error:
        return Looked(path, f"is damaged ({error}); train --resume writes it again", wrong=True)
    return Looked(path, f"sound: {table.num_rows:,} evaluations")


def _checkpoints(directory: Path, known: bool) -> list[Looked]:
    """Check the checkpoints; that they belong to this training is `known` only if the files beside them are sound."""
    folder = directory / "checkpoints"
    if not folder.is_dir():
        return [Looked(folder, "none yet: train --resume begins anew")]
    from mlp_jax.machine.checkpoint import Checkpoints

    of = prediction.identity(directory) if known and (directory / "model.json").exists() else ""
    try:
        checkpoints = Checkpoints(folder, of)
    except OSError as error:
        return [Looked(folder, str(error), wrong=True)]
    try:
        faults = checkpoints.faults()
    finally:
        checkpoints.close()
    looked = [Looked(folder / str(step), fault or "sound", bool(fault)) for step, fault in sorted(faults.items())]
    sound = [step for step, fault in faults.items() if not fault]
    went_on = f"train --resume goes on from checkpoint {max(sound)}" if sound else "no checkpoint is sound"
    return [*looked, Looked(folder, went_on, wrong=not sound and bool(faults))]
