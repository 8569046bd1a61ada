"""The README does what it says: its Python blocks run, and its commands are commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mlp_jax.cli import commands

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
EXPECTED = (
    r"best learning rate 0\.\d+: median accuracy 9\d\.\d%",
    r"0\.9\d+\n.*learning_rate_init",
    r"COMPLETE 0\.9\d+\n.*hidden 2 +128",
)


@pytest.mark.slow
@pytest.mark.parametrize(("block", "expected"), list(zip(BLOCKS, EXPECTED, strict=True)))
def test_python_block_runs(block, expected, tmp_path):
    result = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(expected, result.stdout, re.S)


@pytest.mark.parametrize("line", re.findall(r"^mlp-jax (.*)$", README, re.M))
def test_command_lines_are_understood(line, monkeypatch):
    called = []
    for name in ("train", "predict"):
        command = getattr(commands, name)

        def note(*arguments, name=name, **options) -> int:
            called.append(name)
            return 0

        note.__wrapped__ = command
        note.__name__, note.__doc__, note.__annotations__ = name, command.__doc__, command.__annotations__
        monkeypatch.setattr(commands, name, note)
    with pytest.raises(SystemExit) as stop:
        commands.main(shlex.split(line, comments=True))
    assert stop.value.code == 0
    assert called == [line.split()[0]]


def test_files_that_it_names_are_there():
    for path in re.findall(r"`((?:experiments|benchmarks)/\w+\.py)`", README):
        assert (ROOT / path).is_file(), path


ROWS = (ROOT / "experiments" / "README.md").read_text()


@pytest.mark.parametrize("line", re.findall(r"`mlp-jax lecture (L\d+[^`]*)`", ROWS))
def test_commands_of_the_lecture_are_understood(line):
    from mlp_jax.lecture import lessons

    row, *options = shlex.split(line)
    lesson = lessons.find(row)
    assert {word.removeprefix("--").replace("-", "_") for word in options if word.startswith("--")} <= {*lesson.knobs}


def test_the_lecture_has_all_its_rows_scripts_and_figures():
    assert re.findall(r"^\| (L\d+) \|", ROWS, re.M) == [f"L{number}" for number in range(1, 21)]
    scripts = {path.name for path in (ROOT / "experiments").glob("*.py")}
    assert set(re.findall(r"(\w+\.py)`", ROWS)) == scripts
    figures = {path.name for path in (ROOT / "experiments" / "figures").iterdir()}
    assert set(re.findall(r"\(figures/([^)]+)\)", ROWS)) <= figures
