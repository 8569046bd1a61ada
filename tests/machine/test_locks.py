"""A lock is held by one, leaves no file, and is taken whatever a killed process, or anyone, left in its place."""

import fcntl
import os

import pytest
from filelock import Timeout

from mlp_jax.machine.locks import Lock


def test_one_alone_holds_a_lock_and_no_file_is_left(tmp_path):
    path = tmp_path / "a.lock"
    first = Lock(path)
    with pytest.raises(Timeout):
        Lock(path, wait=False)
    first.close()
    assert not path.exists()
    Lock(path, wait=False).close()
    assert not path.exists()


@pytest.mark.parametrize("put", [lambda path: path.write_text("left"), os.mkfifo, os.mkdir,
                                 lambda path: path.symlink_to(path.with_name("other"))])  # fmt: skip
def test_what_lies_in_its_place_keeps_nobody_out(tmp_path, put):
    path, other = tmp_path / "a.lock", tmp_path / "other"
    other.write_text("content")
    put(path)
    Lock(path, wait=False).close()
    assert other.read_text() == "content"
    assert not path.exists()


def test_who_opened_a_lock_that_was_given_up_since_holds_nothing(tmp_path, monkeypatch):
    path, flock, third = tmp_path / "a.lock", fcntl.flock, []
    first = Lock(path)

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        first.close()
        third.append(Lock(path, wait=False))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(Timeout):
        Lock(path, wait=False)
    third[0].close()


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"can't write .*a.lock: .*; name another place"):
        Lock(tmp_path / "file" / "a.lock")
