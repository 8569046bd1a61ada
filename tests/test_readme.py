"""The pages that people read do what they say: their Python blocks run, their commands are commands, their links lead
somewhere; and the first page is short."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mlp_jax.cli import commands

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (".", ".github", "mlp_jax", "experiments", "benchmarks")
    for path in sorted((ROOT / folder).glob("**/*.md" if folder == "mlp_jax" else "*.md"))
}
README, ROWS = PAGES["README.md"], PAGES["experiments/README.md"]
PRINTED = {  # what the Python blocks of a page print, where the page itself does not show it
    "mlp_jax/sklearn/README.md": (r"0\.9\d+\n.*learning_rate_init",),
    "mlp_jax/training/README.md": (
        r"best learning rate 0\.\d+: median accuracy 9\d\.\d%",
        r"COMPLETE 0\.9\d+\n.*hidden 2 +128",
    ),
}
BLOCKS = {name: re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) for name, page in PAGES.items()}
PLACEHOLDERS = ("…", "COMMAND")  # in text that names a command, and is none itself


def commands_in(page: str) -> list[str]:
    """Return what follows `mlp-jax` in each command of a page, in its lines and within its text."""
    lines = re.findall(r"^(?:    )?(?:srun \S+ )?mlp-jax (.*)$", page, re.M)
    within = re.findall(r"`mlp-jax ([^`]+)`", page)
    return [line for line in dict.fromkeys(lines + within) if not any(word in line for word in PLACEHOLDERS)]


def run(*words: str, where: Path) -> str:
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=where)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_first_page_fits_on_a_screen_and_a_half():
    lines = README.splitlines()
    assert len(README.split()) <= 900
    assert next(number for number, line in enumerate(lines, 1) if line.startswith("![")) <= 15
    assert lines.index("```python") < 45


@pytest.mark.slow
def test_the_first_python_block_prints_what_stands_below_it(tmp_path):
    shown = re.search(r"^```python\n.*?^```\n.*?^```\n(.*?)^```", README, re.M | re.S)
    assert shown is not None
    printed = run("-c", BLOCKS["README.md"][0], where=tmp_path).split()
    number = re.compile(r"\d+\.\d+")
    for said, found in zip(shown[1].split(), printed, strict=True):
        assert float(found) == pytest.approx(float(said), abs=0.02) if number.fullmatch(said) else found == said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "printed"),
    [each for name, printed in PRINTED.items() for each in zip(BLOCKS[name], printed, strict=True)],
)
def test_python_blocks_run(block, printed, tmp_path):
    assert re.search(printed, run("-c", block, where=tmp_path), re.S)


def test_every_python_block_is_run_by_a_test():
    counts = {name: len(blocks) for name, blocks in BLOCKS.items() if blocks}
    assert counts == {"README.md": 1} | {name: len(printed) for name, printed in PRINTED.items()}


@pytest.mark.slow
def test_the_first_page_s_commands_run(tmp_path):
    table = README.split("## On the command line")[1].split("##")[0]
    lines = re.findall(r"^\| `mlp-jax (\w+ [^`]*)` \|", table, re.M)
    printed = [run("-m", "mlp_jax", *shlex.split(line), where=tmp_path) for line in lines]
    for text, expected in zip(printed, (r"COMPLETE.*test .*0\.9", r"B_crit.*momentum.*adam", r"record: "), strict=True):
        assert re.search(expected, text, re.S)


LINES = dict.fromkeys(line for page in PAGES.values() for line in commands_in(page) if "--help" not in line)


def test_commands_that_are_named_are_there():
    assert {line.split()[0] for line in LINES} <= {command.__name__ for command in commands.COMMANDS}


@pytest.mark.parametrize("line", [line for line in LINES if " " in line])
def test_command_lines_are_understood(line, monkeypatch):
    called = []
    command = getattr(commands, line.split()[0])

    def note(*arguments, **options) -> int:
        called.append(command.__name__)
        return 0

    note.__wrapped__ = command
    note.__name__, note.__doc__, note.__annotations__ = command.__name__, command.__doc__, command.__annotations__
    others = [each for each in commands.COMMANDS if each is not command]
    monkeypatch.setattr(commands, "COMMANDS", (note, *others))
    with pytest.raises(SystemExit) as stop:
        commands.main(shlex.split(line, comments=True))
    assert stop.value.code == 0
    assert called == [command.__name__]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_scripts_are_there(name):
    place = (ROOT / name).parent
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGES[name]):
        assert (place / link).exists(), link
    for path in re.findall(r"`((?:experiments|benchmarks)/\w+\.py)`", PAGES[name]):
        assert (ROOT / path).is_file(), path


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
