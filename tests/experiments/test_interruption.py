"""Each script in its quick form, interrupted after its first part and started again."""

import re
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))
SECONDS = 300


def start(name: str, out: Path) -> subprocess.Popen:
    """Start the quick form of a script in a folder of its own, so that its figures go there too."""
    command = [sys.executable, str(ROOT / "experiments" / f"{name}.py"), "--quick", "--out", str(out)]
    return subprocess.Popen(command, cwd=out.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def parts(out: Path) -> dict[Path, int]:
    """Return what is kept so far: parts of experiments, and those of studies."""
    of_experiments = [path for path in out.glob("*/*/*.json") if re.fullmatch("[0-9a-f]{12}", path.parent.name)]
    return {path: path.stat().st_mtime_ns for path in (*of_experiments, *out.glob("**/*.parquet"))}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_what_was_done_is_kept_and_the_same_command_goes_on(name, tmp_path):
    out = tmp_path / "runs"
    script, end = start(name, out), time.monotonic() + SECONDS
    try:
        while not parts(out) and script.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        script.send_signal(SIGINT)
        _, said = script.communicate(timeout=SECONDS)
    finally:
        script.kill()
    kept = parts(out)
    assert script.returncode == 130, said
    assert kept
    assert "Traceback" not in said
    assert said.count("interrupted") == 1
    assert said.splitlines()[-1].startswith("interrupted: saved in ")
    assert said.endswith("; run the same command to go on\n")
    script = start(name, out)
    written, said = script.communicate(timeout=2 * SECONDS)
    assert script.returncode == 0, said
    assert written.startswith("quick form: ")
    after = parts(out)
    assert {path: after[path] for path in kept} == kept
