"""Files: whole or not at all, whoever writes, whoever is killed."""

import os
import stat
import subprocess
import sys

import pytest

from mlp_jax.machine import files


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(stat.S_ISDIR(os.fstat(file).st_mode)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("renamed") or rename(*names))
    files.replace(tmp_path / "a", lambda path: path.write_text("new"))
    assert done == [False, "renamed", True]
    assert (tmp_path / "a").read_text() == "new"


def test_it_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    files.replace(tmp_path / "a", lambda path: path.write_text("new"))
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writers_of_one_number_do_not_collide(tmp_path, monkeypatch):
    """Containers on a shared disk all have the process id 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def outer(path) -> None:
        path.write_text("out")
        files.replace(tmp_path / "a", lambda inner: inner.write_text("in"))
        assert (tmp_path / "a").read_text() == "in"
        assert path.read_text() == "out"

    files.replace(tmp_path / "a", outer)
    assert (tmp_path / "a").read_text() == "out"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    code = f"""
import os, pathlib
from mlp_jax.machine import files
files.replace(pathlib.Path({str(tmp_path / "a")!r}), lambda path: (path.write_text("half"), os.kill(os.getpid(), 9)))
"""
    subprocess.run([sys.executable, "-c", code])
    assert len(list(tmp_path.glob("a.*.partial"))) == 1
    (tmp_path / "ab.1.partial").write_text("another's")
    files.replace(tmp_path / "a", lambda path: path.write_text("new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "ab.1.partial"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def fail(path) -> None:
        path.write_text("half")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        files.replace(tmp_path / "a", fail)
    assert not list(tmp_path.iterdir())
