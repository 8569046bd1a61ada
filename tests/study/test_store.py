"""A study on disk: parts whole or not at all, damage set aside, nothing of anybody else's touched, locks that die."""

import errno
import fcntl
import functools
import json
import os
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

from mlp_jax.machine import locks
from mlp_jax.machine.files import parsed_json, write_json
from mlp_jax.study import cells, contents, parts, plan, protocol, store
from mlp_jax.study.cells import Facts
from mlp_jax.study.histories import last_rows
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.study.store import Store
from mlp_jax.training.config import Config

STUDY = Study(
    workload=Config(dataset="iris", validation=0.2),
    optimizers=("sgd",),
    batch_sizes=(8, 16, 32),
    method="halton",
    points=2,
    seeds=1,
    fresh_seeds=1,
)
DATA = Facts("data", 96, "validation_accuracy")
NAMES = ["data.json", "environment.json", "study.json"]


def rows_of(job: Job) -> pandas.DataFrame:
    """What stands for the rows of a job: two rows of each trial."""
    hyper = pandas.DataFrame(job.hyper).assign(seed=job.seeds, trial=[f"{job.name}-{i}" for i in range(len(job.seeds))])
    ends = hyper.assign(steps_to_target=[3.0, *[np.inf] * (len(hyper) - 1)], validation_accuracy=0.5, phase=job.phase)
    return pandas.concat([ends.assign(step=step) for step in (0, 3)], ignore_index=True)


def opened(directory: Path, study: Study = STUDY) -> Store:
    return Store(directory, study, DATA)


def first_jobs(study: Study = STUDY) -> list[Job]:
    """The tuning of each cell."""
    return [next(protocol.jobs(study, cell, DATA.score, lambda _: None)) for cell in cells.of(study, DATA)]


A, B, C = first_jobs()
ROWS = rows_of(A)


def part(directory: Path, job: Job, suffix: str = ".parquet") -> Path:
    return directory / job.phase / (job.name + suffix)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_part_comes_back_as_it_was_and_nothing_else_is_left(tmp_path):
    made = opened(tmp_path / "study")
    assert made.read(A) is None
    made.write(A, ROWS)
    assert_frame_equal(made.read(A), ROWS)
    assert sorted(files(tmp_path / "study")) == [*NAMES, f"tuning/{A.name}.parquet"]
    assert contents.read_plan(tmp_path / "study") == STUDY
    assert json.loads((tmp_path / "study/environment.json").read_text())["platform"] == "cpu"


def test_opening_a_study_again_changes_nothing(tmp_path):
    opened(tmp_path).write(A, ROWS)
    before = files(tmp_path)
    opened(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "entries", [(), ("study.lock", "study.json.7.partial"), ("study.json",), ("study.json", "tuning")]
)
def test_a_study_killed_while_it_was_opened_is_opened_again(tmp_path, entries):
    whole = opened(tmp_path / "whole").directory
    (tmp_path / "killed").mkdir()
    for name in entries:
        if name == "tuning":
            (tmp_path / "killed/tuning").mkdir()
        else:
            (tmp_path / "killed" / name).write_bytes(
                b"" if Path(name).suffix in locks.PASSING else (whole / name).read_bytes()
            )
    opened(tmp_path / "killed").write(A._replace(phase="winners"), ROWS)
    assert set(files(tmp_path / "killed")) == {*NAMES, f"winners/{A.name}.parquet"}


def test_the_study_is_named_before_anything_else_is_there(tmp_path, monkeypatch):
    """Whatever moment a process is killed at, what it leaves is a study or counts as nothing."""
    seen = []
    replace = store.files.replace

    def note(path, write, **how):
        seen.append((path.name, sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix != ".lock")))
        replace(path, write, **how)

    monkeypatch.setattr(store.files, "replace", note)
    opened(tmp_path)
    assert seen == [
        ("study.json", []), ("data.json", ["study.json"]), ("environment.json", ["data.json", "study.json"]),
    ]  # fmt: skip


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
    made = opened(tmp_path)
    made.write(A, ROWS)
    path = part(tmp_path, A)
    damaged = broken(path.read_bytes(), how)
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=f"{A.name}.parquet is damaged .*: it is left out"):
        assert contents.read_study(tmp_path).empty
    assert path.read_bytes() == damaged
    with pytest.warns(UserWarning, match=f"{A.name}.parquet is damaged .*: it is set aside as .* and made again"):
        assert next(made.claimed()) == A
    assert part(tmp_path, A, ".damaged").read_bytes() == damaged
    made.write(A, ROWS)
    assert_frame_equal(contents.read_study(tmp_path), ROWS)


def test_any_flipped_byte_of_the_data_is_noticed_or_harmless(tmp_path):
    made = opened(tmp_path)
    made.write(A, ROWS)
    whole = (part(tmp_path, A)).read_bytes()
    path = tmp_path / "flipped.parquet"
    for place in range(4, data_end(whole), 3):
        path.write_bytes(flipped(whole, place))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rows = parts.read(path)
        assert rows is None or rows.equals(ROWS)


def test_what_is_no_damage_is_not_set_aside(tmp_path, monkeypatch):
    made = opened(tmp_path)
    made.write(A, ROWS)
    before = files(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pandas, "read_parquet", refuse)
    with pytest.raises(PermissionError):
        made.read(A)
    with pytest.raises(PermissionError):
        next(made.claimed())
    assert files(tmp_path) == before


def test_another_study_is_refused_with_the_key_that_differs(tmp_path):
    opened(tmp_path)
    before = files(tmp_path)
    for changes, message in (
        ({"points": 9}, r"another study \(points 2 there, 9 here\); name another directory"),
        ({"target": 0.9}, r"another study \(target 0.95 there, 0.9 here\); name another directory"),
        ({"workload": {"l2": 0.1}}, r"another study \(workload \{.*\} there, \{.*'l2': 0.1.*\} here\)"),
    ):
        other = plan.changed(STUDY, changes.get("workload", {}), {k: v for k, v in changes.items() if k != "workload"})
        with pytest.raises(ValueError, match=message):
            opened(tmp_path, other)
    assert files(tmp_path) == before


def test_a_study_of_another_protocol_is_refused(tmp_path):
    opened(tmp_path)
    write_json(tmp_path / "study.json", parsed_json(tmp_path / "study.json") | {"protocol": "0.7"})
    before = files(tmp_path)
    message = f"the study in {tmp_path} is of protocol 0.7, and this is protocol {plan.PROTOCOL}"
    for function in (lambda: opened(tmp_path), lambda: contents.read_study(tmp_path)):
        with pytest.raises(ValueError, match=message):
            function()
    assert files(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", '{"protocol": "2.0", "points": "x"}', '{"protocol": "2.0", "lr": 1}'])
def test_a_damaged_study_file_is_named(tmp_path, text, no_beartype):
    opened(tmp_path)
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ValueError, match="study.json"):
        opened(tmp_path)
    assert (tmp_path / "study.json").read_text() == text


def test_what_is_no_study_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/letter.txt").write_text("mine")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="file is a file; name a directory"):
        opened(tmp_path / "file")
    with pytest.raises(ValueError, match=r"holds no study \(study.json is missing\)"):
        opened(tmp_path / "folder")
    with pytest.raises(OSError, match="can't make .*: Not a directory; name another place"):
        opened(tmp_path / "file/below")
    for name in ("file", "folder", "nowhere"):
        with pytest.raises(ValueError, match="holds no study|is not a directory"):
            contents.read_study(tmp_path / name)
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
    made = opened(tmp_path)
    made.write(A, ROWS)
    before = files(tmp_path)
    many = pandas.DataFrame({"x": np.random.default_rng(0).normal(size=10**6)})
    with largest_file(2**20), pytest.raises(OSError, match=f"can't write .*{B.name}.parquet: .*; name another place"):
        made.write(B, many)
    assert files(tmp_path) == before
    made.write(B, many)
    assert len(made.read(B)) == 10**6


def test_a_full_disk_at_the_start_leaves_nothing(tmp_path, monkeypatch):
    def full(path, text, encoding):
        path.write_bytes(text.encode()[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="can't write .*study.json: No space left on device; name another place"):
            opened(tmp_path / "study")
    assert files(tmp_path) == {}
    opened(tmp_path / "study")


def claim(made: Store) -> list[Job]:
    """What is claimed until no job is free, or none is missing."""
    jobs = made.claimed(at_once=9)
    return list(iter(functools.partial(next, jobs, None), None))


def winner_of(job: Job) -> Job:
    """The job that follows the tuning of a cell."""
    there = {job.name: last_rows(rows_of(job))}
    return list(protocol.jobs(STUDY, job.cell, DATA.score, lambda job: there.get(job.name)))[-1]


def test_one_process_at_a_time_holds_a_part_and_the_next_comes_when_it_is_there(tmp_path):
    made, other = opened(tmp_path), opened(tmp_path)
    assert next(made.claimed(at_once=1)) == A
    assert claim(other) == [B, C]
    assert claim(made) == []
    other.let_go()
    assert claim(made) == [B, C]
    made.write(A, rows_of(A))
    assert claim(other) == [winner_of(A)]
    made.let_go()
    assert claim(other) == [B, C]
    other.let_go()
    assert sorted(files(tmp_path)) == [*NAMES, f"tuning/{A.name}.parquet"]


def test_claimed_jobs_come_until_none_is_missing_the_first_cell_first(tmp_path):
    made, seen = opened(tmp_path), []
    for job in made.claimed():
        assert job is not None
        seen.append((job.cell.batch_size, job.phase))
        made.write(job, rows_of(job))
    assert seen == [(size, phase) for size in (32, 16, 8) for phase in ("tuning", "winners")]
    assert list(made.claimed()) == []
    assert contents.read_all(tmp_path)[1:3] == (3, 3)


def test_parts_that_someone_removes_meanwhile_are_made_again(tmp_path):
    made, removed = opened(tmp_path), 0
    for number, job in enumerate(made.claimed()):
        assert job is not None
        made.write(job, rows_of(job))
        if number in (1, 2, 4, 5):
            contents.part_of(tmp_path, A).unlink(missing_ok=True)
            removed += 1
    assert removed == 4
    assert contents.read_all(tmp_path)[1:3] == (3, 3)


def test_so_many_jobs_are_claimed_at_once(tmp_path):
    made, other = opened(tmp_path), opened(tmp_path)
    jobs = made.claimed(at_once=2)
    assert [next(jobs) for _ in range(4)] == [A, B, None, None]
    made.write(B, rows_of(B))
    assert next(jobs) == winner_of(B)
    assert next(jobs) is None
    made.let_go()
    assert claim(other) == [A, winner_of(B), C]
    assert [next(jobs), next(jobs)] == [None, None], "another process holds what is left"


def test_no_job_comes_once_interrupted(tmp_path):
    asked = []
    jobs = opened(tmp_path).claimed(lambda: len(asked) > 0, at_once=2)
    assert [next(jobs), next(jobs), next(jobs)] == [A, B, None]
    asked.append("stop")
    assert next(jobs, "end") == "end"


def test_a_part_that_is_made_between_the_look_and_the_claim_is_not_made_again(tmp_path, monkeypatch):
    made, other = opened(tmp_path), opened(tmp_path)
    load, looks = parts.load, []

    def look(path):
        found = load(path)
        if not looks:
            other.write(A, ROWS)
        looks.append(path)
        return found

    monkeypatch.setattr(parts, "load", look)
    assert claim(made) == [B, C]
    made.let_go()
    assert claim(made) == [winner_of(A), B, C]
    assert_frame_equal(made.read(A), ROWS)


def test_a_lock_file_that_was_removed_holds_nothing(tmp_path, monkeypatch):
    """A process opens it, another lets go of it and removes it, a third makes it anew: two would hold the part."""
    made, other = opened(tmp_path), opened(tmp_path)
    assert next(other.claimed()) == A
    flock = fcntl.flock

    def late(file, operation):
        if operation & fcntl.LOCK_EX and other._claims:
            other.let_go()
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not made._claim(part(tmp_path, A))
    assert not part(tmp_path, A, ".lock").exists()
    assert made._claim(part(tmp_path, A))


def test_what_the_protocol_does_not_name_is_never_read(tmp_path):
    """Another study's part, one of a winner that is none any more, what a person put there."""
    made = opened(tmp_path)
    for job in iter(functools.partial(next, made.claimed(), None), None):
        made.write(job, rows_of(job))
    before = contents.read_study(tmp_path)
    rows_of(A).assign(steps_to_target=1.0).to_parquet(tmp_path / f"winners/{A.cell.id}-0-0123456789abcdef.parquet")
    rows_of(B).to_parquet(tmp_path / "tuning/other.parquet")
    assert_frame_equal(contents.read_study(tmp_path), before)
    assert list(opened(tmp_path).claimed()) == []


def test_rows_that_change_make_what_followed_from_them_anew(tmp_path):
    made = opened(tmp_path)
    for job in iter(functools.partial(next, made.claimed(), None), None):
        made.write(job, rows_of(job))
    winner = winner_of(A)
    changed = rows_of(A)
    changed["steps_to_target"] = np.where(changed["steps_to_target"] < np.inf, np.inf, 3.0)
    parts.write(part(tmp_path, A), changed)
    (again,) = [job for job in claim(opened(tmp_path)) if job is not None]
    assert again.cell == winner.cell
    assert again.hyper != winner.hyper
    assert set(contents.read_study(tmp_path).query("phase == 'winners'")["trial"].str.split("-").str[0]) == {
        B.cell.id, C.cell.id
    }  # fmt: skip


def test_a_study_grows_and_what_is_there_stays(tmp_path):
    made = opened(tmp_path)
    for job in iter(functools.partial(next, made.claimed(), None), None):
        made.write(job, rows_of(job))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    asked = plan.changed(STUDY, {}, {"optimizers": ("adam",), "batch_sizes": (64, 8), "fresh_seeds": 2})
    larger = Store(tmp_path, asked, DATA)
    assert larger.study == plan.changed(
        STUDY, {}, {"optimizers": ("sgd", "adam"), "batch_sizes": (8, 16, 32, 64), "fresh_seeds": 2}
    )
    assert contents.read_plan(tmp_path) == larger.study
    for job in iter(functools.partial(next, larger.claimed(), None), None):
        larger.write(job, rows_of(job))
    anew = Store(tmp_path.parent / "anew", larger.study, DATA)
    for job in iter(functools.partial(next, anew.claimed(), None), None):
        anew.write(job, rows_of(job))
    order = ["seed", "learning_rate", "phase", "step", "steps_to_target"]
    both = [
        contents.read_study(each).drop(columns="trial").sort_values(order, ignore_index=True)
        for each in (tmp_path, anew.directory)
    ]
    assert len(both[0]) == len(both[1])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents.read_all(tmp_path)[1:3] == (8, 8)
    assert opened(tmp_path).study == larger.study, "who asks for less asks for what is there"


def test_data_that_changed_are_refused(tmp_path):
    opened(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="holds a study of other data: they have changed; name another directory"):
        Store(tmp_path, STUDY, DATA._replace(fingerprint="other"))
    assert files(tmp_path) == before


FACTS = '{"fingerprint": "x", "examples": %s, "score": "y"}'


@pytest.mark.parametrize("text", ["{}", *(FACTS % count for count in ('"many"', "1e308", "0", "-1")), "3", "{"])
def test_damaged_facts_are_named(tmp_path, text):
    opened(tmp_path)
    (tmp_path / "data.json").write_text(text)
    for read in (lambda: contents.read_study(tmp_path), lambda: opened(tmp_path)):
        with pytest.raises(ValueError, match="data.json"):
            read()


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
    made = opened(tmp_path)
    path = part(tmp_path, A, ".lock")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert claim(made) == [B, C]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists()
    assert claim(made) == [A]


def test_what_killed_processes_left_beside_a_part_is_removed(tmp_path):
    opened(tmp_path).write(A, ROWS)
    part(tmp_path, A, ".lock").touch()
    part(tmp_path, A, ".parquet.7.partial").write_bytes(b"half")
    part(tmp_path, A, ".progress").mkdir()
    (part(tmp_path, A, ".progress") / "0").write_bytes(b"half")
    made = opened(tmp_path)
    assert claim(made) == [winner_of(A), B, C]
    made.let_go()
    assert sorted(files(tmp_path)) == [*NAMES, f"tuning/{A.name}.parquet"]
    assert not part(tmp_path, A, ".progress").exists()


def test_work_in_progress_stays_until_the_part_is_there(tmp_path):
    made = opened(tmp_path)
    assert claim(made) == [A, B, C]
    for job in (A, B):
        assert not made.work(job).exists(), "it is made late"
        made.work(job).mkdir()
    (made.work(A) / "0").write_bytes(b"half")
    made.let_go()
    assert not part(tmp_path, B, ".progress").exists(), "nothing was in it"
    assert contents.read_study(tmp_path).empty
    assert next(made.claimed()) == A
    assert (made.work(A) / "0").read_bytes() == b"half"
    made.write(A, ROWS)
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == [f"{A.name}.parquet"]


def test_a_study_in_progress_is_read_as_far_as_it_is(tmp_path):
    made = opened(tmp_path)
    assert contents.read_study(tmp_path).empty
    made.write(B, rows_of(B))
    assert next(made.claimed()) == A
    made.work(A).mkdir()
    (made.work(A) / "0").write_bytes(b"half")
    part(tmp_path, A, ".parquet.7.partial").write_bytes(b"half")
    assert_frame_equal(contents.read_study(str(tmp_path)), rows_of(B))
    made.write(winner_of(B), rows_of(winner_of(B)).assign(test_loss=0.5))
    rows = contents.read_study(tmp_path)
    assert rows["test_loss"].isna().tolist() == [True] * 4 + [False] * 2
    assert contents.read_all(tmp_path)[1:3] == (1, 3)
    (tmp_path / "data.json").unlink()
    assert contents.read_study(tmp_path).empty, "killed while it was begun"


def test_a_study_does_not_go_on_with_floats_of_another_size(tmp_path, monkeypatch):
    opened(tmp_path).write(A, ROWS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    here = parts.made_here()
    monkeypatch.setattr(parts, "made_here", lambda: here | {"x64": not here["x64"]})
    with pytest.raises(
        ValueError, match=r"holds a study that was made with JAX_ENABLE_X64=0, and here it is 1; set it"
    ):
        opened(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_what_made_the_parts_is_known_each_kind_once(tmp_path):
    made = opened(tmp_path)
    for job, version in zip((A, B, C), ("0.10", "0.11", "0.10")):
        rows = rows_of(job)
        rows.attrs[parts.MADE_BY] = {"jax": version}
        made.write(job, rows)
    assert contents.read_all(tmp_path).made_by == [{"jax": "0.10"}, {"jax": "0.11"}]


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_no_lock_follows_a_link_or_waits_for_a_pipe(tmp_path, kind):
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    opened(tmp_path / "study")
    for lock in (tmp_path / "study/study.lock", part(tmp_path / "study", A, ".lock")):
        put = {"link": lambda path: path.symlink_to(precious), "pipe": os.mkfifo, "directory": Path.mkdir}[kind]
        put(lock)
    made = opened(tmp_path / "study")
    assert next(made.claimed()) == A
    made.write(A, ROWS)
    assert precious.read_text() == "as it was"


def test_no_file_of_a_study_is_written_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    made = opened(tmp_path / "study")
    for path in (part(tmp_path / "study", A), tmp_path / "study/environment.json"):
        path.unlink(missing_ok=True)
        path.symlink_to(precious if path.suffix == ".json" else tmp_path / "nowhere")
    next(made.claimed())
    made.write(A, ROWS)
    (tmp_path / "study/environment.json").unlink()
    (tmp_path / "study/environment.json").symlink_to(tmp_path / "nowhere")
    opened(tmp_path / "study")
    assert precious.read_text() == "as it was"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("target", [0.5, 0.96])
def test_rows_are_not_read_by_another_target_than_they_were_made_for(tmp_path, target):
    made = opened(tmp_path)
    made.write(A, ROWS)
    fields = json.loads((tmp_path / "study.json").read_text()) | {"target": target}
    (tmp_path / "study.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"study.json is damaged \(it has changed since it was written\)"):
        contents.read_study(tmp_path)
    fields.pop("checksum")
    (tmp_path / "study.json").write_text(json.dumps(fields))
    assert contents.read_study(tmp_path).empty, "its cells are others"
