"""Continuous integration runs what the README tells a stranger to run."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = "```python\nimport a\n```\n\n```sh\none\ntwo\n```\ntext\n```\nplain\n```\n```sh\nthree\n```\n"


def block(number: int, text: str) -> str:
    command = ["awk", "-v", f"number={number}", "-f", str(ROOT / ".ci/block.awk")]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("number", "lines"), [(1, "one\ntwo\n"), (2, "three\n"), (3, "")])
def test_shell_blocks_alone_are_counted(number, lines):
    assert block(number, TEXT) == lines


def test_the_readme_has_both():
    readme = (ROOT / "README.md").read_text()
    assert block(1, readme).endswith("mlp-jax study\n")
    assert "pytest" in block(2, readme)


def test_the_script_is_understood_by_the_shell():
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)
