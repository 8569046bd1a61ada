"""The live page as a person meets it: an address on stderr, a page that renews itself, nothing left at the end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from chromium import BROWSER, browser
from study_by_hand import study, walk

from mlp_jax import cli
from mlp_jax.cli import live
from mlp_jax.machine.loopback import Loopback
from mlp_jax.report import template
from mlp_jax.study import contents, parts

STUDY = (
    "study", "--dataset", "iris", "--hidden", "4", "--optimizers", "sgd", "adagrad", "--batch-sizes", "4", "16", "64",
    "--rounds", "1", "--fresh-seeds", "2", "--target", "0.9",
)  # fmt: skip
NEEDS_A_BROWSER = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
LOOK = """({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  figures: [...document.querySelectorAll("figure [role=img]")].map((each) => each.getAttribute("aria-label")),
  live: document.getElementById("live") !== null,
  done: document.querySelectorAll(".boxes .complete").length,
})"""


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen]:
    """Run the command line beside the test, and leave nothing of it."""
    command = [sys.executable, "-m", "mlp_jax", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds; fail where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def address(process: subprocess.Popen) -> str:
    """Return where the page is, which is the first line on stderr."""
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("live page: http://127.0.0.1:"), said
    return said.split()[-1]


def is_gone(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return False
    except urllib.error.URLError:
        return True
    return False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "nowhere", "--live"), "is missing"),
        (("report", "a", "b", "--live"), "--live is for one study and no prices; name its directory alone"),
        (("report", "a", "--port", "80"), "port 80 is for the live page; add --live"),
        (("study", "--port", "80"), "port 80 is for the live page; add --live"),
    ],
)
def test_what_can_not_be_followed_is_refused(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert said in err
    assert not list(tmp_path.iterdir())


def test_a_page_that_was_cut_off_is_not_shown(tmp_path):
    with live.served(tmp_path, None) as server:
        live._show_all(server, [b'"<p>one</p>"\n', b'"<p>tw'])
        assert urllib.request.urlopen(server.address, timeout=5).read() == b"<p>one</p>"


def test_a_page_that_is_renewed_no_more_is_said_to_be_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    said = []
    with live.beside(tmp_path / "a b", None):
        until(lambda: said.append(capsys.readouterr().err) or "warning: " in "".join(said), 10)
    assert f"for its maker has ended; see mlp-jax report '{tmp_path / 'a b'}'\n" in "".join(said)
    (tmp_path / "waits").write_text("#!/bin/sh\nexec cat\n")
    (tmp_path / "waits").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "waits"))
    with live.beside(tmp_path, None):
        pass
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_no_module_is_run_that_lies_where_the_study_is_started(tmp_path, monkeypatch):
    directory = study(tmp_path / "study", complete=0)
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    with live.served(tmp_path, None) as server, monkeypatch.context() as patch:
        patch.setattr(live, "served", lambda *_: contextlib.nullcontext(server))
        with live.beside(directory, None):
            until(lambda: b"0 of 6 cells" in urllib.request.urlopen(server.address, timeout=5).read())
    assert not (tmp_path / "ran").exists()


def go_on(directory: Path, complete: int | None = None) -> None:
    """Make more of a study, as another process does."""
    plan, facts = contents.read_plan(directory), contents.read_facts(directory)
    keep = lambda job, rows: parts.write(contents.part_of(directory, job), rows)
    walk(plan, keep, lambda job: parts.read(contents.part_of(directory, job)), facts=facts, complete=complete)


@pytest.mark.slow
@NEEDS_A_BROWSER
def test_a_page_renews_itself_while_the_study_runs_and_ends_as_the_finished_one(tmp_path: Path) -> None:
    out = study(tmp_path / "study", complete=1, jobs=2)
    with started("report", out, "--live") as process, browser(tmp_path) as page:
        url = address(process)
        page.open(url, 360, 780)
        page.wait("document.querySelectorAll('.boxes .complete').length === 1")
        page.wait("document.documentElement.scrollWidth === document.documentElement.clientWidth")
        first = page.value(LOOK)
        assert first["live"]
        page.value("window.mark = 1; [...document.querySelectorAll('details')].at(-1).open = false; scrollTo(0, 700)")
        page.value("document.querySelectorAll('table.sortable th button')[1].click()")
        page.value("document.querySelectorAll('table.sortable th button')[2].focus()")
        go_on(out, complete=4)
        page.wait("document.querySelectorAll('.boxes .complete').length === 4")
        go_on(out)
        page.wait("document.getElementById('live') === null", 200)
        last = page.value(LOOK)
        assert process.wait(60) == 0
        assert len(last["figures"]) > len(first["figures"])
        assert all(last["figures"])
        assert page.value("window.mark") == 1, "it was never loaded anew"
        assert page.value("document.querySelector('th[aria-sort]').textContent") == "B"
        assert page.value("document.activeElement.textContent") == "best learning rate"
        assert not page.value("[...document.querySelectorAll('details')].at(-1).open")
        assert page.value("scrollY") > 0, "it was not taken to the top"
        assert set(page.requests) == {url}
        assert page.said == []
        page.open((out / "report.html").as_uri(), 360, 780)
        assert page.value(LOOK) == last, "the finished page is the file"
    assert is_gone(url)


@pytest.mark.slow
@NEEDS_A_BROWSER
def test_a_page_whose_server_has_given_its_place_to_another_says_that_it_has_ended(tmp_path: Path) -> None:
    first = template.render("waiting", {"title": "A study", "directory": tmp_path, "live": True})
    server = Loopback(first)
    with browser(tmp_path) as page:
        page.open(server.address)
        server.close()
        other = Loopback("", urllib.parse.urlsplit(server.address).port or 0)
        page.wait("document.getElementById('live').textContent.startsWith('The server has ended.')", 20)
        other.close()


@pytest.mark.slow
def test_the_server_ends_with_a_study_that_is_interrupted(tmp_path: Path) -> None:
    with started(*STUDY, "--out", tmp_path / "study", "--live") as process:
        url = address(process)
        until((tmp_path / "study" / "tuning").exists)
        assert not is_gone(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert is_gone(url)
        until(lambda: not _makers(tmp_path), 5)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX systems do")
def test_nothing_is_left_of_a_study_that_is_killed(tmp_path: Path) -> None:
    with started(*STUDY, "--out", tmp_path / "study", "--live") as process:
        url = address(process)
        until(lambda: _makers(tmp_path))
        process.kill()
        process.wait()
        assert is_gone(url)
        until(lambda: not _makers(tmp_path), 30)


@pytest.mark.slow
def test_a_study_that_another_process_runs_is_followed_to_its_end(tmp_path: Path) -> None:
    out = tmp_path / "study"
    with started(*STUDY, "--out", out) as process:
        until((out / "data.json").exists)
        with started("report", out, "--live") as follower:
            url = address(follower)
            assert not is_gone(url)
            assert process.wait(120) == 0
            assert follower.wait(60) == 0
            assert follower.stdout is not None
            assert follower.stdout.read() == f"{out / 'report.html'}\n"
            assert is_gone(url)


def _makers(folder: Path) -> list[str]:
    """The processes that make pages about a study in a folder."""
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "mlp_jax.report.following" in line and str(folder) in line]
