"""Check every file in the directory of a study or a run, and print a line for each."""

from pathlib import Path

import tyro

from mlp_jax.cli import entry


def check(directory: Path, /, *, json: tyro.conf.FlagCreatePairsOff[bool] = False) -> int:
    """Say whether each file of a study or a run is as it was written.

    It reads everything and changes nothing. It also says what the next `mlp-jax study` would still train. The exit code
    is 1 if something is wrong.

    Args:
        directory: What `mlp-jax study` or `mlp-jax train --out` wrote.
        json: Print one JSON object on stdout.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is no directory; name one that mlp-jax study or train --out made")
    if (directory / "config.json").exists():
        from mlp_jax.report import seal
        from mlp_jax.training import soundness

        looked = soundness.check(directory) + seal.check_run(directory)
    elif any((directory / name).exists() for name in ("study.json", "data.json", "tuning")):
        from mlp_jax.report import seal
        from mlp_jax.study import soundness

        looked = soundness.check(directory) + seal.check(directory)
    else:
        raise ValueError(f"{directory} holds neither a study nor a run; name a directory that --out made")
    wrong = [each for each in looked if each.wrong]
    if json:
        found = [{"path": str(path), "said": said, "wrong": wrong} for path, said, wrong in looked]
        entry.show({"directory": str(directory), "wrong": len(wrong), "found": found})
    else:
        lines = [f"{'WRONG  ' if each.wrong else ''}{each.path}: {each.said}" for each in looked]
        entry.show("\n".join([*lines, f"{len(wrong) or 'nothing'} wrong in {directory}"]))
    return int(bool(wrong))
