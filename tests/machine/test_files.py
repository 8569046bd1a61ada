"""Files: whole or not at all, whoever writes, whoever is killed."""

import json
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


VALUE = {"name": "é", "rates": [0.1, 3, None], "of": {"x64": False, "center": -1.5e-7}, "count": 20}


def test_json_comes_back_as_it_was(tmp_path):
    for plain in (True, False):
        files.write_json(tmp_path / "a.json", VALUE, ascii=plain)
        assert files.read_json(tmp_path, "a.json") == VALUE
    files.write_json(tmp_path / "a.json", {"loss": float("nan"), "to": (1, float("inf"))})
    assert files.read_json(tmp_path, "a.json") == {"loss": None, "to": [1, None]}
    (tmp_path / "old.json").write_text(json.dumps(VALUE))
    assert files.read_json(tmp_path, "old.json") == VALUE, "what is older than checksums has none"


def test_any_changed_byte_of_json_is_noticed_or_harmless(tmp_path):
    files.write_json(tmp_path / "a.json", VALUE)
    whole, harmless = (tmp_path / "a.json").read_bytes(), 0
    for at in range(len(whole)):
        for byte in {whole[at] ^ 1, whole[at] ^ 2, whole[at] ^ 8, ord("3"), ord(" ")} - {whole[at]}:
            (tmp_path / "a.json").write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            try:
                found = files.read_json(tmp_path, "a.json")
            except ValueError:
                continue
            if found != VALUE:  # the name of the checksum itself has changed: an entry too many, which readers refuse
                (odd,) = found.keys() - VALUE.keys()
                assert files.CHECKSUM[1:] in odd or odd in files.CHECKSUM or len(odd) == len(files.CHECKSUM)
            harmless += 1
    assert harmless < len(whole)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (lambda path: path.write_text("[" * 100_000), "nested too deeply"),
        (lambda path: path.write_text('{"a": ' * 100_000), "nested too deeply"),
        (lambda path: path.write_text('{"a": ' + "[" * 60 + "]" * 60 + "}"), "nested too deeply"),
        (lambda path: path.write_text(f'{{"a": {"9" * 400}}}'), "too large, of 400 characters"),
        (lambda path: path.write_text(f'{{"a": {"9" * 5000}}}'), "too large, of 5000 characters"),
        (lambda path: path.write_text('{"a": 1e999}'), "too large"),
        (lambda path: path.write_text('{"a": -Infinity}'), "too large"),
        (lambda path: path.write_text('{"a": "' + "x" * 30_000_000 + '"}'), "30,000,009 bytes, and 16,777,216 are"),
        (lambda path: path.write_bytes(b'{"a": "\xff"}'), "utf-8"),
        (lambda path: path.write_text("[1]"), "no object"),
        (os.mkfifo, "no regular file"),
        (os.mkdir, "a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    ],
)
def test_odd_json_is_named_in_one_line_and_at_once(tmp_path, put, said):
    put(tmp_path / "a.json")
    with pytest.raises(ValueError, match=rf"a.json is damaged \(.*{said}.*\); bring it back as it was") as caught:
        files.read_json(tmp_path, "a.json")
    assert "\n" not in str(caught.value)
