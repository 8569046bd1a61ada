"""What process 0 of a study does for the others: it claims what it hands out, and keeps what comes as it comes."""

import threading
import time
from collections import Counter
from pathlib import Path

import pandas
import pytest

from mlp_jax.study import cells, contents, protocol, store
from mlp_jax.study.places import processes
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config

TINY = Study(
    workload=Config(dataset="iris", validation=0.2), optimizers=("sgd", "momentum"), batch_sizes=(16, "full"),
    method="halton",
)  # fmt: skip
DATA = cells.facts(TINY, configs.load_data(TINY.workload))
CELLS = list(cells.of(TINY, DATA))
PARTS = 8  # four cells, each tuned and its winner run
PATIENCE = 60.0  # seconds for what takes less than one


class Hosts:
    """Two processes that are threads of this one: the messages of `machine.hosts`, kept in memory."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}
        self.taken: Counter[str] = Counter()
        self.reason: str | None = None
        self.changed = threading.Condition()
        self.mine = threading.local()

    def index(self) -> int:
        return getattr(self.mine, "index", 0)

    def count(self) -> int:
        return 2

    def name(self) -> str:
        return f"process {self.index()} of 2"

    def send(self, key: str, value: bytes) -> None:
        with self.changed:
            assert key not in self.messages
            self.messages[key] = value
            self.changed.notify_all()

    def receive(self, key: str) -> bytes:
        begin = time.monotonic()
        with self.changed:
            while key not in self.messages:
                self.changed.wait(0.01)
                assert time.monotonic() - begin < PATIENCE
                self.stopped()
            return self.messages[key]

    def receive_all(self, start: str) -> list[tuple[str, bytes]]:
        with self.changed:
            keys = [key for key in self.messages if key.startswith(start)]
            return [(key.removeprefix(start), self.messages.pop(key)) for key in keys]

    def take(self, key: str) -> int:
        with self.changed:
            self.taken[key] += 1
            return self.taken[key] - 1

    def stopped(self) -> bool:
        if self.reason:
            raise ValueError(self.reason)
        return self.reason is not None

    def interruptible(self, interrupted):
        return lambda: interrupted() or self.stopped()

    def ending_together(self):
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, _, error, __) -> None:
        if error is not None and self.reason is None:
            self.reason = f"{self.name()} failed: {error}"


@pytest.fixture
def hosts(monkeypatch) -> Hosts:
    made = Hosts()
    monkeypatch.setattr(processes, "hosts", made)
    monkeypatch.setattr(processes, "POLL", 0.01)
    return made


class Follower(threading.Thread):
    """Process 1, which is given the same study and no directory."""

    def __init__(self, hosts: Hosts, study: Study = TINY) -> None:
        super().__init__()
        self.hosts, self.study, self.outcome = hosts, study, None
        self.start()

    def run(self) -> None:
        self.hosts.mine.index = 1
        try:
            self.outcome = processes.run(self.study, "nowhere")
        except ValueError as error:
            self.outcome = error


def rows(job: Job, made_by: int = 0) -> pandas.DataFrame:
    """What stands for the rows of a job."""
    row = {"trial": job.name, "step": 0, "learning_rate": 0.1, "steps_to_target": 3.0, "validation_accuracy": 1.0}
    return pandas.DataFrame([row | {"made_by": made_by}])


def tuning(cell) -> Job:
    return next(protocol.jobs(TINY, cell, DATA.score, lambda _: None))


def train(monkeypatch, make) -> None:
    """Let `make(job, work, interrupted)` stand for the training."""
    monkeypatch.setattr(
        processes,
        "make",
        lambda job, dataset, progress, interrupted, mesh, work=None: make(job, work, interrupted),
    )


def wait(condition) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < PATIENCE
        time.sleep(0.005)


def part(out: Path, job: Job) -> Path:
    return out / job.phase / f"{job.name}.parquet"


def test_both_make_parts_and_process_0_keeps_all(hosts, tmp_path, monkeypatch, capfd):
    both, seen = threading.Barrier(2), []

    def make(job: Job, work, interrupted):
        both.wait(PATIENCE)  # so that each makes one of two
        seen.append((hosts.index(), work))
        return rows(job, hosts.index())

    train(monkeypatch, make)
    other = Follower(hosts)
    assert processes.run(TINY, tmp_path) == (True, PARTS)
    other.join()
    assert other.outcome == (True, PARTS / 2)
    found = contents.read_study(tmp_path)
    assert sorted(found["made_by"]) == [0] * 4 + [1] * 4
    assert not list(tmp_path.rglob("*.lock"))
    assert {index for index, work in seen if work is not None} == {0}, "process 0 alone has the directory"
    assert not list(tmp_path.rglob("*.progress"))
    said = capfd.readouterr().err
    for index in range(2):
        assert f"process {index} of 2 (8 devices): 4 of 8 parts" in said


def test_a_part_that_another_run_makes_is_not_overwritten(hosts, tmp_path, monkeypatch):
    beside = store.Store(tmp_path, TINY, DATA)
    taken, late = tuning(CELLS[0]), tuning(CELLS[1])
    assert next(beside.claimed()) == taken

    def make(job: Job, work, interrupted):
        if not part(tmp_path, taken).exists():
            beside.write(taken, rows(taken, 7))
        assert job.name != taken.name
        return rows(job)

    train(monkeypatch, make)
    other = Follower(hosts)
    assert processes.run(TINY, tmp_path) == (True, PARTS - 1)
    other.join()
    assert beside.read(taken)["made_by"].tolist() == [7]
    assert beside.read(late)["made_by"].tolist() == [0]


def test_a_job_that_is_handed_out_is_claimed(hosts, tmp_path, monkeypatch):
    beside, free = store.Store(tmp_path, TINY, DATA), []

    def make(job: Job, work, interrupted):
        free.append(beside._claim(part(tmp_path, job)))
        return rows(job)

    train(monkeypatch, make)
    other = Follower(hosts)
    assert processes.run(TINY, tmp_path).complete
    other.join()
    assert free == [False] * PARTS


def test_rows_that_come_are_kept_while_process_0_trains(hosts, tmp_path, monkeypatch):
    training, there = threading.Event(), []

    def make(job: Job, work, interrupted):
        if hosts.index() == 1:
            assert training.wait(PATIENCE)
        elif not training.is_set():
            training.set()
            wait(lambda: len(list(tmp_path.rglob("*.parquet"))) == 6)  # all of the other cells
            there.append(job)
        return rows(job)

    train(monkeypatch, make)
    other = Follower(hosts)
    assert processes.run(TINY, tmp_path) == (True, PARTS)
    other.join()
    assert [job.phase for job in there] == ["tuning"]


def test_an_interruption_keeps_what_has_come_and_ends_all(hosts, tmp_path, monkeypatch):
    done = threading.Event()

    def make(job: Job, work, interrupted):
        if hosts.index() == 1:
            wait(interrupted)  # and is done all the same
        else:
            done.set()
            wait(interrupted)
            return None
        return rows(job, 1)

    train(monkeypatch, make)
    hosts.stopped = done.is_set
    other = Follower(hosts)
    outcome = processes.run(TINY, tmp_path)
    other.join()
    assert not outcome.complete
    assert other.outcome is not None
    assert not other.outcome.complete
    assert len(list(tmp_path.rglob("*.parquet"))) == outcome.made
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize("index", [0, 1])
def test_who_fails_ends_all(hosts, tmp_path, monkeypatch, index):
    begun = threading.Event()

    def make(job: Job, work, interrupted):
        if hosts.index() == index:
            begun.set()
            raise ValueError("out of memory")
        begun.wait()  # else the other one might make all
        return rows(job)

    train(monkeypatch, make)
    other = Follower(hosts)
    with pytest.raises(ValueError, match="out of memory"):
        processes.run(TINY, tmp_path)
    other.join()
    assert "out of memory" in str(other.outcome)
    assert not list(tmp_path.rglob("*.lock"))


def test_a_part_that_can_not_be_kept_ends_all(hosts, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    def make(job: Job, work, interrupted):
        return rows(job)

    train(monkeypatch, make)
    monkeypatch.setattr(store.Store, "write", full)
    other = Follower(hosts)
    with pytest.raises(OSError, match="No space left"):
        processes.run(TINY, tmp_path)
    other.join()
    assert "No space left" in str(other.outcome)


def test_another_study_is_refused(hosts, tmp_path, monkeypatch):
    train(monkeypatch, lambda job, work, interrupted: rows(job))
    other = Follower(hosts, Study(workload=TINY.workload, optimizers=("sgd",)))
    with pytest.raises(ValueError, match="another study than process 0"):
        processes.run(TINY, tmp_path)
    other.join()
    assert "process 1 of 2 was given another study" in str(other.outcome)
