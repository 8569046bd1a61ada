"""A study is followed from its directory: a page for each change, nothing written before it is complete."""

import sys
import threading
from pathlib import Path

import pytest
from markupsafe import Markup
from study_by_hand import STUDY, study, walk

from mlp_jax.report import following, page, seal
from mlp_jax.study import contents, parts


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(page.canvas, "save", lambda figure, path: None)
    monkeypatch.setattr(page.canvas, "inline", lambda figure, name: Markup("<svg></svg>"))
    monkeypatch.setattr(following, "LOOK", 0.01)
    monkeypatch.setattr(following, "REST", 0.0)


def go_on(directory: Path, **how) -> None:
    """Make more of a study, as another process does."""
    asked, facts = contents.read_plan(directory), contents.read_facts(directory)
    walk(
        asked, lambda job, rows: parts.write(contents.part_of(directory, job), rows),
        lambda job: parts.read(contents.part_of(directory, job)), facts=facts, **how,
    )  # fmt: skip


def tree(directory: Path) -> dict:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_there_is_a_page_for_each_change_and_nothing_is_written(tmp_path):
    directory = study(tmp_path / "a", complete=0)
    before, seen = tree(directory), following.pages(directory)
    text, complete, _ = next(seen)
    assert not complete
    assert "0 of 6 cells" in text
    assert 'id="live"' in text
    assert tree(directory) == before
    go_on(directory, complete=1)
    before = tree(directory)
    assert "1 of 6 cells" in next(seen)[0]
    go_on(directory)
    assert next(seen)[1]
    assert tree(directory).keys() > before.keys()
    assert not [path for path in tree(directory) if path.suffix in (".html", ".png", ".lock")]


def test_without_a_change_there_is_no_page_and_a_study_is_waited_for(tmp_path):
    looks = []

    def interrupted() -> bool:
        looks.append(1)
        if len(looks) == 5:
            study(tmp_path / "a", complete=0)
        return len(looks) > 40

    assert len(list(following.pages(tmp_path / "a", interrupted=interrupted))) == 1


@pytest.mark.slow
def test_a_complete_study_gets_its_page_from_whoever_follows_it_unless_it_has_one(tmp_path, monkeypatch):
    directory, shown = study(tmp_path / "a"), []
    out = directory / "report.html"
    assert following.follow(directory, out, shown.append)
    assert seal.made_from(out) == seal.made_from(shown[-1])
    assert 'id="live"' not in out.read_text()
    before = out.stat().st_mtime_ns
    assert following.follow(directory, out, shown.append)
    assert out.stat().st_mtime_ns == before
    monkeypatch.setattr(following, "PATIENCE", 0.05)
    other = study(tmp_path / "b", complete=5)
    more = iter((other,))
    assert following.follow(other, other / "report.html", lambda _: [go_on(each) for each in more])
    assert (other / "report.html").exists()


def test_a_study_that_grows_while_its_page_is_made_is_followed_further(tmp_path, monkeypatch):
    directory, shown, texts = study(tmp_path / "a", complete=0), [], iter(("one", "two"))

    def watched(*_: object) -> tuple[str, bool]:
        if (text := next(texts)) == "one":
            (directory / "tuning" / "new.parquet").touch()
        return text, True

    monkeypatch.setattr(page, "watched", watched)
    assert following.follow(directory, directory / "report.html", shown.append)
    assert shown == ["one", "two"]


def test_nobody_else_is_waited_for_to_write_a_page_to_another_place(tmp_path, monkeypatch):
    directory, states, waits = study(tmp_path / "a", complete=0), iter((False, True)), []

    def watched(*_: object) -> tuple[str, bool]:
        if not (complete := next(states)):
            (directory / "tuning" / "new.parquet").touch()
        return seal.sealed("page", "ab"), complete

    monkeypatch.setattr(page, "watched", watched)
    monkeypatch.setattr(page, "write", lambda sources, out, reading: out.touch())
    monkeypatch.setattr(following, "_until", lambda done, seconds: waits.append(seconds))
    assert following.follow(directory, tmp_path / "other.html", lambda _: None)
    assert following.PATIENCE not in waits


def test_who_is_interrupted_writes_nothing(tmp_path):
    directory = study(tmp_path / "a", complete=1)
    assert not following.follow(directory, directory / "report.html", lambda _: None, interrupted=lambda: True)
    assert not (directory / "report.html").exists()


def test_pages_go_through_a_pipe_for_as_long_as_it_is_open(monkeypatch, capsys, tmp_path):
    made = threading.Event()

    class Open:
        def read(self) -> None:
            made.wait()

    def watched(*_: object) -> tuple[str, bool]:
        made.set()
        return "one\npage", True

    monkeypatch.setattr(sys, "stdin", Open())
    monkeypatch.setattr(following.os, "nice", lambda by: None)
    monkeypatch.setattr(page, "watched", watched)
    following._send(study(tmp_path / "a", complete=0))
    assert capsys.readouterr().out == '"one\\npage"\n'


def test_what_was_asked_is_what_is_followed(tmp_path):
    directory = study(tmp_path / "a", STUDY, complete=1)
    assert following._state(directory) != following._state(study(tmp_path / "b", STUDY, complete=2))
    assert following._state(tmp_path) == []
