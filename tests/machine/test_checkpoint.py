"""Checkpoints: what comes back is bit for bit what went in, or an error that says what to do."""

import shutil
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.machine.checkpoint import KEPT, Checkpoints

pytestmark = pytest.mark.backend

TREE = {"W": jnp.arange(6.0).reshape(2, 3) / 7, "none": None, "step": jnp.int32(5), "bits": jnp.uint32(2**32 - 1)}


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "checkpoints")
    yield made
    made.close()


def test_newest_comes_back_bit_for_bit(checkpoints, tmp_path):
    for step in (1, 4, 9):
        checkpoints.save(step, TREE | {"step": jnp.int32(step)}, {"note": [step, 0.1]})
    again = Checkpoints(tmp_path / "checkpoints")
    tree, note = again.restore(jax.eval_shape(lambda: TREE))
    again.close()
    assert note == {"note": [9, 0.1]}
    assert int(tree["step"]) == again.latest == 9
    for name in ("W", "bits"):
        np.testing.assert_array_equal(tree[name], TREE[name])
        assert tree[name].dtype == TREE[name].dtype
    assert tree["none"] is None
    assert len([entry for entry in (tmp_path / "checkpoints").iterdir() if entry.name.isdigit()]) == KEPT


def test_a_step_that_is_there_is_left_alone(checkpoints):
    checkpoints.save(1, TREE, {"note": "first"})
    checkpoints.save(1, TREE | {"W": TREE["W"] + 1}, {"note": "second"})
    assert checkpoints.restore(TREE)[1] == {"note": "first"}


def test_nothing_saved_yet(checkpoints):
    assert checkpoints.latest is None
    with pytest.raises(ValueError, match="no checkpoint in .*; train with this --out first"):
        checkpoints.restore(TREE)


def test_damage_and_other_shapes_are_errors(checkpoints, tmp_path):
    checkpoints.save(1, TREE, {})
    with pytest.raises(ValueError, match="can't read checkpoint 1"):
        checkpoints.restore(TREE | {"W": jnp.zeros((4, 4))})
    for path in (tmp_path / "checkpoints/1/tree").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="can't read checkpoint 1.*; delete that folder"):
        checkpoints.restore(TREE)


def test_a_disk_without_room_is_an_os_error_and_nothing_stays(checkpoints, tmp_path, monkeypatch):
    checkpoints.save(1, TREE, {})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="can't save checkpoint 2 in .*: No space left on device$"):
        checkpoints.save(2, TREE, {})
    assert checkpoints.latest == 1
    assert not list((tmp_path / "checkpoints").glob("2*"))


def test_a_writer_that_fails_is_an_os_error_and_no_hook_stays(checkpoints, monkeypatch, capfd):
    before = sys.excepthook, threading.excepthook

    def late() -> None:
        time.sleep(0.2)
        raise RuntimeError("the same again")

    def fail(*_, **__):
        threading.Thread(target=late).start()
        raise RuntimeError("RESOURCE_EXHAUSTED: No space left on device [details]\nmore lines")

    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(OSError, match=r"can't save checkpoint 2 .*No space left on device \[details\]$"):
        checkpoints.save(2, TREE, {})
    assert capfd.readouterr().err == ""
    assert (sys.excepthook, threading.excepthook) == before
