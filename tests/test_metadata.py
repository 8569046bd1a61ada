"""What the package says of itself is said once, and continuous integration tests what it promises."""

import re
import tomllib
from pathlib import Path

import pytest

import mlp_jax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")


def test_the_version_stands_in_one_place():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mlp_jax.__version__)
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    assert f"## {mlp_jax.__version__}" in (ROOT / ".github/CHANGELOG.md").read_text(encoding="utf-8")


def test_the_workflow_tests_each_python_that_the_package_names():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    listed = re.search(r"python: \[(.*)\]", WORKFLOW)
    assert listed is not None
    assert [each.strip(' "') for each in listed[1].split(",")] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_workflow_tests_the_oldest_jax_that_is_allowed():
    oldest = next(each.removeprefix("jax>=") for each in PROJECT["dependencies"] if each.startswith("jax>="))
    assert f"jax=={oldest}.0 jaxlib=={oldest}.0" in WORKFLOW


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_are_yaml(path):
    yaml = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)
