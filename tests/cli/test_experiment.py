"""What experiments share: options that are refused, parts that are made once, results as text or JSON."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mlp_jax import data
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.study import Study

SCRIPT = '"""About {}."""\n\nNUMBER = {}\n'


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    seeds: Count = 5
    sizes: tuple[Count, ...] = (1, 2)
    figure: Path = Path("figure.png")


@pytest.fixture
def module(tmp_path, load) -> ModuleType:
    return load(tmp_path / "measured.py", "the first", 1)


@pytest.fixture
def load():
    def load(path: Path, about: str, number: int) -> ModuleType:
        path.write_text(SCRIPT.format(about, number))
        made = ModuleType(path.stem)
        made.__file__ = str(path)
        return made

    return load


def options(tmp_path: Path, **given) -> Options:
    return Options(out=tmp_path / "runs", figure=tmp_path / "figure.png", **given)


def never():
    raise AssertionError("made twice")


def test_a_part_is_made_once_and_is_the_same_when_read(module, tmp_path):
    first = experiment.Parts(options(tmp_path), module)("a", lambda: {"x": (1, 2.5), "y": float("inf")})
    assert first == {"x": [1, 2.5], "y": float("inf")}
    assert experiment.Parts(options(tmp_path), module)("a", never) == first
    with pytest.raises(AssertionError, match="made twice"):
        experiment.Parts(options(tmp_path), module)("b", never)


def test_a_part_never_waits_for_a_pipe(module, tmp_path):
    parts = experiment.Parts(options(tmp_path), module)
    parts("one", lambda: 1)
    (kept,) = parts.folder.iterdir()
    kept.unlink()
    os.mkfifo(kept)
    assert parts("one", lambda: 2) == 2
    assert kept.is_file()


def test_parts_follow_the_code_and_the_options_but_not_the_docstring(load, tmp_path):
    script, asked = tmp_path / "measured.py", options(tmp_path)
    folder = experiment.Parts(asked, load(script, "the first", 1)).folder
    assert folder.parent == tmp_path / "runs" / "measured"
    assert experiment.Parts(asked, load(script, "what was measured", 1)).folder == folder
    assert experiment.Parts(asked, load(script, "the first", 2)).folder != folder
    assert experiment.Parts(options(tmp_path, seeds=6), load(script, "the first", 1)).folder != folder
    assert experiment.Parts(options(tmp_path, json=True), load(script, "the first", 1)).folder == folder


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(module, tmp_path, capsys, monkeypatch):
    def interrupt(given):
        parts = experiment.Parts(given, module)
        parts("a", lambda: 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(
        sys, "argv", ["measured.py", "--out", str(tmp_path / "runs"), "--figure", str(tmp_path / "a.png")]
    )
    with pytest.raises(SystemExit) as stop:
        experiment.script(interrupt, Options)
    assert stop.value.code == 130
    assert capsys.readouterr().err == f"interrupted: saved in {tmp_path / 'runs'}; run the same command to go on\n"
    assert experiment.Parts(options(tmp_path), module)("a", never) == 1


def test_an_interruption_that_was_swallowed_ends_before_the_next_part(module, tmp_path, monkeypatch):
    parts = experiment.Parts(options(tmp_path), module)
    monkeypatch.setattr(experiment.signals, "swallowed", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        parts("a", never)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 0}, "seeds 0 is not allowed; give a whole number of at least 1"),
        ({"sizes": ()}, "sizes has no value; give at least one"),
        ({"sizes": (1, 0)}, "sizes 0 is not allowed"),
        ({"figure": Path("figure.txt")}, "unknown suffix of a figure '.txt'; choose one of .pdf, .png, .svg"),
    ],
)
def test_options_that_can_not_be_are_refused(tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        experiment.check(Options(**{"out": tmp_path / "runs", "figure": tmp_path / "figure.png"} | given))


def test_a_figure_or_parts_without_a_place_are_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="name another place"):
        experiment.check(Options(figure=tmp_path / "file" / "figure.png"))
    with pytest.raises(OSError, match="name another place"):
        experiment.check(Options(figure=tmp_path / "figure.png", out=tmp_path / "file"))
    experiment.check(options(tmp_path))
    assert not (tmp_path / "figure.png").exists()


def test_a_quick_form_says_that_it_is_one(tmp_path, capsys):
    experiment.show(options(tmp_path), {"x": 1}, "x is 1", "one seed")
    assert capsys.readouterr().out.splitlines()[0].startswith("quick form: one seed; ")
    experiment.show(options(tmp_path, json=True), {"x": float("nan")}, "", "one seed")
    assert json.loads(capsys.readouterr().out) == {"x": None, "quick": "one seed"}


def test_a_study_that_is_interrupted_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment.studies, "find", lambda *_, **__: experiment.studies.Found(False))
    asked = Study()
    with pytest.raises(SystemExit, match="130"):
        experiment.found(options(tmp_path), "compared", asked)
    folder = tmp_path / "runs" / f"compared-{asked.id}"
    assert capsys.readouterr().err == f"interrupted: saved in {folder}; run the same command to go on\n"


def test_the_first_examples_of_a_data_set_become_a_data_set(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class WithData(experiment.Asked):
        data_dir: str | None = None

    path = experiment.first_examples(WithData(out=tmp_path / "runs"), "digits", 100)
    whole, first = data.load("digits", validation=0), data.load(str(path), validation=0)
    np.testing.assert_array_equal(first.train.x.reshape(100, -1), whole.train.x[:100].reshape(100, -1))
    np.testing.assert_array_equal(first.test.y, whole.test.y)
    written = path.stat().st_mtime_ns
    assert experiment.first_examples(WithData(out=tmp_path / "runs"), "digits", 100) == path
    assert path.stat().st_mtime_ns == written


def test_a_spread_is_written_without_a_negative_zero():
    found = experiment.spread([3.0, -0.001, 1.0])
    assert found == (1.0, -0.001, 3.0)
    assert experiment.written(found, 2) == "1.00 [0.00, 3.00]"
