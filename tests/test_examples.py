"""The examples in docstrings are true, and every public name has words; those that train or read runs are slow.

The slow ones find `study.toml`, the study `runs/mine` and the run `runs/iris` where they are run.
"""

import doctest
import importlib
import pydoc
import re
from pathlib import Path
from typing import Any

import pytest

import mlp_jax
from mlp_jax import data, optimizers, sklearn, study, tables
from mlp_jax.cli import manual, pairs

FACES = (mlp_jax, data, optimizers, sklearn, study)
OTHERS = ("mlp_jax.trial", "mlp_jax.checks", "mlp_jax.analysis.response")  # modules with examples besides
MARKS = ("runs/", "study.toml", " train(", "train_many(", ".fit(", "(step(", " advance(")
STUDY = """
optimizers = ["sgd", "momentum"]
batch_sizes = [8, 32, "full"]
rounds = 1
fresh_seeds = 2
max_steps = 400
evaluations = 60
target = 0.9

[workload]
dataset = "iris"
hidden = [8]
validation = 0.2
"""


def public() -> dict[str, Any]:
    """Return what the faces hand out, by its name; constants have no docstring of their own."""
    named = {f"{face.__name__}.{name}": getattr(face, name) for face in FACES for name in face.__all__}
    return {name: each for name, each in named.items() if callable(each)}


def examples() -> dict[str, doctest.DocTest]:
    """Return every docstring with an example, of public names and of the modules beside them, once each."""
    finder, found = doctest.DocTestFinder(exclude_empty=True), {}
    for name, each in public().items():
        module = importlib.import_module(each.__module__)
        for test in finder.find(each, name, module=False, globs=vars(module).copy()):
            found.setdefault(test.docstring, test)
    for module in (tables, manual, pairs, *map(importlib.import_module, OTHERS)):
        own = [
            each
            for each in vars(module).values()
            if getattr(each, "__module__", None) == module.__name__ and hasattr(each, "__name__")
        ]
        for test in [test for each in own for test in finder.find(each, module=False, globs=vars(module).copy())]:
            found.setdefault(test.docstring, test)
    return {test.name: test for test in found.values() if test.examples}


EXAMPLES = examples()
SLOW = [name for name, test in EXAMPLES.items() if any(mark in (test.docstring or "") for mark in MARKS)]


def run(name: str) -> None:
    printed: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(EXAMPLES[name], out=printed.append)
    assert not printed, "".join(printed)


@pytest.fixture(autouse=True)
def _own_optimizers():
    """Forget what an example has registered."""
    before = dict(optimizers.OPTIMIZERS)
    yield
    optimizers.OPTIMIZERS.clear()
    optimizers.OPTIMIZERS.update(before)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in SLOW])
def test_examples_are_true(name):
    run(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a study, what it was asked by, and a run."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "study.toml").write_text(STUDY)
    assert study.run(study.from_toml(STUDY), folder / "runs/mine").complete
    mlp_jax.train(mlp_jax.Config(dataset="iris", hidden=(8,), steps=50), out=folder / "runs/iris")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_examples_that_train_or_read_are_true(name, made, monkeypatch):
    monkeypatch.chdir(made)
    run(name)


def test_every_public_name_has_words_and_most_an_example():
    named = public()
    assert not [name for name, each in named.items() if not (each.__doc__ or "").strip()]
    with_one = {name for name, each in named.items() if ">>>" in (each.__doc__ or "") or each is data.Dataset}
    assert len(with_one) / len(named) > 0.8, sorted(named.keys() - with_one)
    assert sum(len(test.examples) for test in EXAMPLES.values()) > 100


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_a_reference_renders_each_public_name_once(face):
    assert len(face.__all__) == len(set(face.__all__))
    text = pydoc.plain(pydoc.render_doc(face))
    for name in face.__all__:
        assert len(re.findall(rf"^    (?:class )?{name}(?: = .*?)?(?:\(| = |: )", text, re.M)) == 1, name
