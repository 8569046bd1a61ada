"""Help that reads like a manual: words for every option, values with names, and what holds without an option."""

import dataclasses
import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import tyro

from mlp_jax.cli import commands, manual
from mlp_jax.optimizers.schedules import LINKS
from mlp_jax.study import Study


@dataclass(frozen=True, kw_only=True)
class Wide:
    hidden: tuple[int, ...] = (4,)
    """Widths."""


@dataclass(frozen=True, kw_only=True)
class Deep(Wide):
    depth: int = 2
    """How
    deep."""
    seed: int | None = None
    """A seed (default: today's)."""


def build(
    path: str, speed: float = 1.0, /, *, shape: Annotated[Deep, tyro.conf.arg(name="")], quick: bool = False
) -> tuple:
    """Build it.

    Well.

      build it --quick

    Args:
        path: Where.
        speed: How fast.
        shape: Not an option.
        quick: Hurry.
    """
    return path, speed, shape, quick


def read(*words: str):
    return tyro.cli(manual.laid_out(build), args=words, config=(tyro.conf.OmitArgPrefixes,))()


def helped(function, capsys) -> str:
    with pytest.raises(SystemExit):
        tyro.cli(manual.laid_out(function), args=["--help"], config=(tyro.conf.OmitArgPrefixes,))
    return manual.tidied(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "built"),
    [
        ("a", ("a", 1.0, Deep(), False)),
        ("a 2 --quick", ("a", 2.0, Deep(), True)),
        ("a --depth 3 --hidden 8 9 --seed 1", ("a", 1.0, Deep(depth=3, hidden=(8, 9), seed=1), False)),
        ("a --hidden", ("a", 1.0, Deep(hidden=()), False)),
    ],
)
def test_a_command_is_called_with_what_was_given(words, built):
    assert read(*words.split()) == built


def test_help_has_headings_names_of_values_and_defaults(capsys):
    text = helped(build, capsys)
    assert "Build it.\n\nWell.\n\n  build it --quick\n" in text
    assert re.search(
        r"options.*--depth N +How deep\. \(default: 2\).*network options.*--hidden \[N \.\.\.\]", text, re.S
    )
    assert re.search(r"--seed N +A seed \(default: today's\)\.\s", text)
    assert re.search(r"--quick +Hurry\.\s", text)
    assert "[SPEED]" in text
    assert "None" not in text


def test_a_value_is_called_after_its_kind():
    named = manual.value_name
    assert [named(int | Literal["full"]), named(tuple[int, int]), named(float | None)] == ["N|full", "N N", "NUMBER"]


def test_paragraphs_are_wrapped_and_examples_are_not(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = "one two three four five six\n\n\n\n  mlp-jax train --hidden 64 32"
    assert manual.tidied(text) == "one two three four\nfive six\n\n  mlp-jax train --hidden 64 32\n"


@pytest.mark.parametrize("command", commands.COMMANDS, ids=lambda command: command.__name__)
def test_every_option_of_every_command_has_words_and_a_true_default(command, capsys):
    for parameter in inspect.signature(command).parameters.values():
        for option in manual._options(command, parameter):
            assert len(option.text) > 5, option.name
            assert option.text.endswith((".", "…")), option.name
    text = helped(command, capsys)
    assert not re.search(r"None|inspect|factory|\{|STR\b|INT\b|FLOAT\b", text)


def test_no_option_stands_under_two_headings():
    names = [name for names in manual.HEADINGS.values() for name in names]
    assert len(names) == len(set(names))


def default_of(text: str) -> str:
    found = re.search(r"\(default: (.*?)\)", text)
    assert found is not None
    return found[1]


def test_what_the_help_of_a_study_calls_a_default_is_one():
    told = {
        option.name: option.text
        for parameter in inspect.signature(commands.study).parameters.values()
        for option in manual._options(commands.study, parameter)
    }
    study = Study()
    for name in ("rounds", "points", "seeds", "fresh_seeds", "max_steps", "max_epochs", "target", "seed"):
        assert float(default_of(told[name])) == getattr(study, name), name
    for name in ("method", "schedule"):
        assert default_of(told[name]) == getattr(study, name)
    assert default_of(told["optimizers"]).split() == list(study.optimizers)
    assert default_of(told["batch_sizes"]).split(",")[0].split() == [str(size) for size in study.batch_sizes]
    assert default_of(told["hidden"]).split() == [str(width) for width in study.workload.hidden]
    assert default_of(told["dataset"]) == study.workload.dataset


def test_what_the_help_of_a_run_calls_a_default_is_one():
    from mlp_jax.training.config import Config

    told = manual.fields_told(Config)
    assert {*told} == {field.name for field in dataclasses.fields(Config)}
    for name in ("final_factor", "stages"):
        assert float(default_of(told[name])) == LINKS[name].default


def test_the_list_of_commands_explains_the_words_first():
    text = subprocess.run([sys.executable, "-m", "mlp_jax", "--help"], capture_output=True, text=True).stdout
    assert max(map(len, text.splitlines()[2:])) <= 80
    top = text.partition("positional")[0].partition(" options\n")[0]
    for word in ("trial", "point", "cell", "study", "target", "critical batch size"):
        assert re.search(rf"^  {word}\b", top, re.M), word
    assert len(re.findall(r"^  mlp-jax", top, re.M)) == 3
