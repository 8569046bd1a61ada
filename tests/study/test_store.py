"""A study on disk: parts whole or not at all, damage set aside, nothing of anybody else's touched, locks that die."""

import errno
import fcntl
import functools
import json
import resource
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax.study import cells, plan, store
from mlp_jax.study.cells import Job
from mlp_jax.study.plan import Study
from mlp_jax.study.store import Store
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config

STUDY = Study(workload=Config(dataset="iris", validation=0.2), optimizers=("sgd",), batch_sizes=(8,))
CELL = next(iter(cells.of(STUDY, configs.load_data(STUDY.workload))))
A, B, C = (Job(CELL._replace(id=name)) for name in "abc")
ROWS = pandas.DataFrame({"trial": ["a", "a", "b"], "step": [0, 3, 0], "steps_to_target": [3.0, 3.0, np.inf]})


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_part_comes_back_as_it_was_and_nothing_else_is_left(tmp_path):
    made = Store(tmp_path / "study", STUDY)
    assert made.read(A) is None
    made.write(A, ROWS)
    assert_frame_equal(made.read(A), ROWS)
    assert sorted(files(tmp_path / "study")) == ["environment.json", "study.json", "tuning/a.parquet"]
    assert store.read_plan(tmp_path / "study") == STUDY
    assert json.loads((tmp_path / "study/environment.json").read_text())["platform"] == "cpu"


def test_opening_a_study_again_changes_nothing(tmp_path):
    Store(tmp_path, STUDY).write(A, ROWS)
    before = files(tmp_path)
    Store(tmp_path, STUDY)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "entries", [(), ("study.lock", "study.json.7.partial"), ("study.json",), ("study.json", "tuning")]
)
def test_a_study_killed_while_it_was_opened_is_opened_again(tmp_path, entries):
    whole = Store(tmp_path / "whole", STUDY).directory
    (tmp_path / "killed").mkdir()
    for name in entries:
        if name == "tuning":
            (tmp_path / "killed/tuning").mkdir()
        else:
            (tmp_path / "killed" / name).write_bytes(
                b"" if Path(name).suffix in store.PASSING else (whole / name).read_bytes()
            )
    Store(tmp_path / "killed", STUDY).write(A._replace(point=0), ROWS)
    assert set(files(tmp_path / "killed")) == {"study.json", "environment.json", "winners/a-0.parquet"}


def test_the_study_is_named_before_anything_else_is_there(tmp_path, monkeypatch):
    """Whatever moment a process is killed at, what it leaves is a study or counts as nothing."""
    seen = []
    replace = store.files.replace

    def note(path, write):
        seen.append((path.name, sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix != ".lock")))
        replace(path, write)

    monkeypatch.setattr(store.files, "replace", note)
    Store(tmp_path, STUDY)
    assert seen == [("study.json", []), ("environment.json", ["study.json"])]


def data_end(whole: bytes) -> int:
    """Where the pages end that have checksums; the footer, with its length in the last bytes, has none."""
    return len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")


def flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]


def broken(whole: bytes, how: str) -> bytes:
    bytes_of = {"empty": b"", "half": whole[: len(whole) // 2], "other": b"not parquet\n" * 9}
    return bytes_of[how] if how in bytes_of else flipped(whole, data_end(whole) - 2)


@pytest.mark.parametrize("how", ["empty", "half", "other", "flipped"])
def test_a_damaged_part_is_named_and_set_aside(tmp_path, how):
    made = Store(tmp_path, STUDY)
    made.write(A, ROWS)
    path = tmp_path / "tuning/a.parquet"
    damaged = broken(path.read_bytes(), how)
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="tuning/a.parquet is damaged .*: it is left out"):
        assert store.read_study(tmp_path).empty
    assert path.read_bytes() == damaged
    with pytest.warns(UserWarning, match="tuning/a.parquet is damaged .*: it is set aside as .* and made again"):
        assert next(made.claimed([A])) == A
    assert (tmp_path / "tuning/a.damaged").read_bytes() == damaged
    made.write(A, ROWS)
    assert_frame_equal(store.read_study(tmp_path), ROWS)


def test_any_flipped_byte_of_the_data_is_noticed_or_harmless(tmp_path):
    made = Store(tmp_path, STUDY)
    made.write(A, ROWS)
    whole = (tmp_path / "tuning/a.parquet").read_bytes()
    path = tmp_path / "flipped.parquet"
    for place in range(4, data_end(whole), 3):
        path.write_bytes(flipped(whole, place))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rows = store.read_part(path)
        assert rows is None or rows.equals(ROWS)


def test_what_is_no_damage_is_not_set_aside(tmp_path, monkeypatch):
    made = Store(tmp_path, STUDY)
    made.write(A, ROWS)
    before = files(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pandas, "read_parquet", refuse)
    with pytest.raises(PermissionError):
        made.read(A)
    with pytest.raises(PermissionError):
        next(made.claimed([A]))
    assert files(tmp_path) == before


def test_another_study_is_refused_with_the_key_that_differs(tmp_path):
    Store(tmp_path, STUDY)
    before = files(tmp_path)
    for changes, message in (
        ({"points": 9}, r"another study \(points 8 there, 9 here\); name another directory"),
        ({"workload": {"l2": 0.1}}, r"another study \(workload \{.*\} there, \{.*'l2': 0.1.*\} here\)"),
    ):
        other = plan.changed(STUDY, changes.get("workload", {}), {k: v for k, v in changes.items() if k != "workload"})
        with pytest.raises(ValueError, match=message):
            Store(tmp_path, other)
    assert files(tmp_path) == before


def test_a_study_of_another_protocol_is_refused(tmp_path):
    Store(tmp_path, STUDY)
    fields = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(fields | {"protocol": "0.7"}))
    before = files(tmp_path)
    message = f"the study in {tmp_path} is of protocol 0.7, and this is protocol {plan.PROTOCOL}"
    for function in (lambda: Store(tmp_path, STUDY), lambda: store.read_study(tmp_path)):
        with pytest.raises(ValueError, match=message):
            function()
    assert files(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", '{"protocol": "1.0", "points": "x"}', '{"protocol": "1.0", "lr": 1}'])
def test_a_damaged_study_file_is_named(tmp_path, text, no_beartype):
    Store(tmp_path, STUDY)
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ValueError, match="study.json"):
        Store(tmp_path, STUDY)
    assert (tmp_path / "study.json").read_text() == text


def test_what_is_no_study_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/letter.txt").write_text("mine")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="file is a file; name a directory"):
        Store(tmp_path / "file", STUDY)
    with pytest.raises(ValueError, match=r"holds no study \(study.json is missing\)"):
        Store(tmp_path / "folder", STUDY)
    with pytest.raises(OSError, match="can't make .*: Not a directory; name another place"):
        Store(tmp_path / "file/below", STUDY)
    for name in ("file", "folder", "nowhere"):
        with pytest.raises(ValueError, match="holds no study|is not a directory"):
            store.read_study(tmp_path / name)
    assert files(tmp_path) == before


@contextmanager
def largest_file(size: int):
    """Let no file grow beyond `size` bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_part_and_the_rest_as_it_was(tmp_path):
    made = Store(tmp_path, STUDY)
    made.write(A, ROWS)
    before = files(tmp_path)
    many = pandas.DataFrame({"x": np.random.default_rng(0).normal(size=10**6)})
    with largest_file(2**20), pytest.raises(OSError, match="can't write .*tuning/b.parquet: .*; name another place"):
        made.write(B, many)
    assert files(tmp_path) == before
    made.write(B, many)
    assert len(made.read(B)) == 10**6


def test_a_full_disk_at_the_start_leaves_nothing(tmp_path, monkeypatch):
    def full(path, text):
        path.write_bytes(text.encode()[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="can't write .*study.json: No space left on device; name another place"):
            Store(tmp_path / "study", STUDY)
    assert files(tmp_path) == {}
    Store(tmp_path / "study", STUDY)


def claim(made: Store, *jobs: Job) -> list[Job | None]:
    """What is claimed of these jobs until none is free or missing."""
    return list(iter(functools.partial(next, made.claimed(jobs, at_once=9), None), None))


def test_one_process_at_a_time_holds_a_part(tmp_path):
    made, other = Store(tmp_path, STUDY), Store(tmp_path, STUDY)
    winner = A._replace(point=0)
    assert claim(made, A) == [A]
    assert claim(other, A, B, winner) == [B, winner]
    assert claim(made, A, B) == []
    other.let_go()
    assert claim(made, A, B) == [B]
    made.write(A, ROWS)
    assert claim(other, A, B) == []
    made.let_go()
    assert claim(other, A, B) == [B]
    other.let_go()
    assert sorted(files(tmp_path)) == ["environment.json", "study.json", "tuning/a.parquet"]


def test_claimed_jobs_come_until_none_is_missing(tmp_path):
    made, other = Store(tmp_path, STUDY), Store(tmp_path, STUDY)
    assert next(other.claimed([B])) == B
    jobs = made.claimed([A, B, C], at_once=2)
    assert [next(jobs), next(jobs), next(jobs)] == [A, C, None]
    made.write(C, ROWS)
    assert next(jobs) is None, "another process holds what is left"
    other.write(B, ROWS)
    assert next(jobs) is None, "what is claimed here is not there yet"
    made.write(A, ROWS)
    assert next(jobs, "end") == "end"


def test_so_many_jobs_are_claimed_at_once(tmp_path):
    made = Store(tmp_path, STUDY)
    jobs = made.claimed([A, B, C], at_once=2)
    assert [next(jobs) for _ in range(4)] == [A, B, None, None]
    made.write(B, ROWS)
    assert next(jobs) == C


def test_no_job_comes_once_interrupted(tmp_path):
    asked = []
    jobs = Store(tmp_path, STUDY).claimed([A, B, C], lambda: len(asked) > 0, at_once=2)
    assert [next(jobs), next(jobs), next(jobs)] == [A, B, None]
    asked.append("stop")
    assert next(jobs, "end") == "end"


def test_a_part_that_is_made_between_the_look_and_the_claim_is_not_made_again(tmp_path, monkeypatch):
    made, other = Store(tmp_path, STUDY), Store(tmp_path, STUDY)
    load, looks = store._load, []

    def look(path):
        found = load(path)
        if not looks:
            other.write(A, ROWS)
        looks.append(path)
        return found

    monkeypatch.setattr(store, "_load", look)
    assert claim(made, A, B) == [B]
    assert_frame_equal(made.read(A), ROWS)


def test_a_lock_file_that_was_removed_holds_nothing(tmp_path, monkeypatch):
    """A process opens it, another lets go of it and removes it, a third makes it anew: two would hold the part."""
    made, other = Store(tmp_path, STUDY), Store(tmp_path, STUDY)
    assert claim(other, A) == [A]
    flock = fcntl.flock

    def late(file, operation):
        if operation & fcntl.LOCK_EX and other._claims:
            other.let_go()
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert claim(made, A) == []
    assert not (tmp_path / "tuning/a.lock").exists()
    assert claim(made, A) == [A]


HOLDER = """
import sys, time
from pathlib import Path
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_process_lets_go_of_its_part(tmp_path):
    made = Store(tmp_path, STUDY)
    path = tmp_path / "tuning/a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert claim(made, A) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists()
    assert claim(made, A) == [A]


def test_what_killed_processes_left_beside_a_part_is_removed(tmp_path):
    made = Store(tmp_path, STUDY)
    made.write(A, ROWS)
    (tmp_path / "tuning/a.lock").touch()
    (tmp_path / "tuning/a.parquet.7.partial").write_bytes(b"half")
    (tmp_path / "tuning/a.progress").mkdir()
    (tmp_path / "tuning/a.progress/0").write_bytes(b"half")
    assert claim(made, A) == []
    assert sorted(files(tmp_path)) == ["environment.json", "study.json", "tuning/a.parquet"]
    assert not (tmp_path / "tuning/a.progress").exists()


def test_work_in_progress_stays_until_the_part_is_there(tmp_path):
    made = Store(tmp_path, STUDY)
    assert claim(made, A, B) == [A, B]
    for job in (A, B):
        assert not any(made.work(job).iterdir())
    (made.work(A) / "0").write_bytes(b"half")
    made.let_go()
    assert not (tmp_path / "tuning/b.progress").exists(), "nothing was in it"
    made.check_cells("ab")
    assert store.read_study(tmp_path).empty
    assert claim(made, A) == [A]
    assert (made.work(A) / "0").read_bytes() == b"half"
    made.write(A, ROWS)
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == ["a.parquet"]


def test_a_study_in_progress_is_read_as_far_as_it_is(tmp_path):
    made = Store(tmp_path, STUDY)
    assert store.read_study(tmp_path).empty
    made.write(B, ROWS)
    assert claim(made, C) == [C]
    (made.work(C) / "0").write_bytes(b"half")
    (tmp_path / "tuning/c.parquet.7.partial").write_bytes(b"half")
    assert_frame_equal(store.read_study(str(tmp_path)), ROWS)
    made.write(B._replace(point=0), ROWS.assign(test_loss=0.5))
    rows = store.read_study(tmp_path)
    assert len(rows) == 6
    assert rows["test_loss"].isna().tolist() == [True] * 3 + [False] * 3
