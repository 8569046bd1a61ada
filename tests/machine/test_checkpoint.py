"""Checkpoints: what comes back is bit for bit what went in, or an error that says what to do."""

import os
import shutil
import sys
import threading
import time
import warnings

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
    tree, note = again.restore(lambda note: jax.eval_shape(lambda: TREE))
    again.close()
    assert note == {"note": [9, 0.1]}
    assert int(tree["step"]) == again.latest == 9
    for name in ("W", "bits"):
        np.testing.assert_array_equal(tree[name], TREE[name])
        assert tree[name].dtype == TREE[name].dtype
    assert tree["none"] is None
    assert len([entry for entry in (tmp_path / "checkpoints").iterdir() if entry.name.isdigit()]) == KEPT


def test_a_name_that_is_no_text_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(OSError, match="can't keep checkpoints in .*: its name is no plain text; name another place"):
        Checkpoints(tmp_path / b"\xff".decode(errors="surrogateescape"))


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "note/metadata", "tree/manifest.ocdbt"])
@pytest.mark.parametrize("harm", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_named_and_never_read(checkpoints, tmp_path, name, harm):
    checkpoints.save(1, TREE, {})
    path = tmp_path / "checkpoints" / "1" / name
    path.unlink()
    harm(path)
    with pytest.raises(OSError, match=f"can't read checkpoints in .*: {path} is no file and no folder; delete it"):
        Checkpoints(tmp_path / "checkpoints")


def test_a_step_that_is_there_is_left_alone(checkpoints):
    checkpoints.save(1, TREE, {"note": "first"})
    checkpoints.save(1, TREE | {"W": TREE["W"] + 1}, {"note": "second"})
    assert checkpoints.restore(lambda _: TREE)[1] == {"note": "first"}


def test_nothing_saved_yet(checkpoints):
    assert checkpoints.latest is None
    with pytest.raises(ValueError, match="no checkpoint in .*; train with this --out first"):
        checkpoints.restore(lambda _: TREE)


def test_damage_and_other_shapes_are_errors(checkpoints, tmp_path):
    checkpoints.save(1, TREE, {})
    with pytest.raises(ValueError, match="can't read checkpoint 1"):
        checkpoints.restore(lambda _: TREE | {"W": jnp.zeros((4, 4))})
    for path in (tmp_path / "checkpoints/1/tree").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="can't read checkpoint 1.*; no other is sound: delete that directory"):
        checkpoints.restore(lambda _: TREE)


def flipped(path, number: int) -> bytes:
    """Flip one bit of a file and return what it held."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[number // 8 % len(before)] ^= 1 << number % 8
    path.write_bytes(changed)
    return before


def test_a_flipped_bit_is_never_taken_for_what_was_saved(checkpoints, tmp_path):
    """Wherever it is, what comes back is what was saved, or the checkpoint before with a warning."""
    good = {step: TREE | {"W": TREE["W"] + step} for step in (1, 2)}
    for step, tree in good.items():
        checkpoints.save(step, tree, {"step": step})
    files = sorted(path for path in (tmp_path / "checkpoints/2").rglob("*") if path.is_file() and path.stat().st_size)
    rng, passed_over = np.random.default_rng(0), 0
    for number in range(40):
        path = files[number % len(files)]
        before = flipped(path, int(rng.integers(2**31)))
        again = Checkpoints(tmp_path / "checkpoints")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            tree, note = again.restore(lambda _: TREE)
        again.close()
        np.testing.assert_array_equal(tree["W"], good[note["step"]]["W"])
        mine = [str(warning.message) for warning in said if "checkpoint 2" in str(warning.message)]
        assert len(mine) == (note["step"] == 1)
        passed_over += note["step"] == 1
        path.write_bytes(before)
    assert passed_over > 3, "how many flips matter depends on what is written beside the arrays, such as the time"


@pytest.mark.parametrize("where", ["note/metadata", "_CHECKPOINT_METADATA"])
def test_a_note_without_a_checksum_is_damage_whatever_else_it_holds(checkpoints, tmp_path, where):
    """It was once taken for one that is older than checksums, so that other JSON in its place was believed."""
    for step in (1, 2):
        checkpoints.save(step, TREE, {"step": step})
    note = tmp_path / "checkpoints/2/note/metadata"
    content = (tmp_path / "checkpoints/2" / where).read_text()
    note.write_text(content.replace('"sha256"', '"sha257"'))
    again = Checkpoints(tmp_path / "checkpoints")
    with pytest.warns(UserWarning, match="can't read checkpoint 2 .* has no checksum; going by checkpoint 1 instead"):
        assert again.restore(lambda _: TREE)[1] == {"step": 1}
    again.close()


def test_training_goes_on_from_the_sound_one_and_the_damaged_one_goes(checkpoints, tmp_path):
    for step in (10, 20):
        checkpoints.save(step, TREE | {"step": jnp.int32(step)}, {})
    for path in (tmp_path / "checkpoints/20/tree").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    again = Checkpoints(tmp_path / "checkpoints")
    with pytest.warns(UserWarning, match="can't read checkpoint 20 in .*; going by checkpoint 10 instead"):
        assert again.restore(lambda _: TREE)[0]["step"] == 10
    for step in (15, 20):
        again.save(step, TREE | {"step": jnp.int32(step)}, {})
    tree, _ = again.restore(lambda _: TREE)
    again.close()
    assert tree["step"] == 20
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()) == [15, 20]


def test_another_process_of_several_keeps_none(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(ValueError, match="can't keep checkpoints; process 0 can"):
        Checkpoints(tmp_path / "checkpoints")


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


def test_a_checkpoint_that_memory_does_not_hold_is_not_taken_for_damaged(checkpoints, monkeypatch):
    for step in (1, 2):
        checkpoints.save(step, TREE, {})

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints._manager, "restore", fail)
        with pytest.raises(MemoryError):
            checkpoints.restore(lambda _: TREE)
    checkpoints.save(3, TREE, {})
    assert checkpoints._manager.all_steps() == [2, 3]


def test_what_is_wrong_with_each_is_told_without_knowing_its_shapes(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"state": (TREE, jax.random.key_data(jax.random.key(step)))}, {"note": step})
    assert checkpoints.faults() == {1: "", 2: ""}
    for path in (tmp_path / "checkpoints/1/tree").rglob("d/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(content)
    found = checkpoints.faults()
    assert found[2] == ""
    assert found[1] != ""


def test_those_of_other_training_are_not_taken(tmp_path):
    mine, other = (Checkpoints(tmp_path / name, of=name) for name in ("mine", "other"))
    mine.save(1, TREE, {})
    other.save(2, TREE, {})
    shutil.copytree(tmp_path / "other/2", tmp_path / "mine/2")
    again = Checkpoints(tmp_path / "mine", of="mine")
    assert again.faults() == {1: "", 2: "it belongs to other training than the files beside it"}
    with pytest.warns(UserWarning, match=r"can't read checkpoint 2 in .* going by checkpoint 1 instead"):
        again.restore(lambda _: TREE)
    for each in (mine, other, again):
        each.close()
