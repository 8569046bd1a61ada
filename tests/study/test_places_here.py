"""A study on the devices of this process: programs compiled behind, others' parts waited for, a mesh handed on."""

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest
from pandas.testing import assert_frame_equal

from mlp_jax.study import cells, contents, protocol, store
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.places import here
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.training import config as configs
from mlp_jax.training import population
from mlp_jax.training.config import Config

TINY = Study(
    workload=Config(dataset="iris", hidden=(), validation=0.2),
    optimizers=("sgd",),
    batch_sizes=(8, 16, 32, 64, "full"),
    method="halton",
    points=1,
    seeds=1,
    fresh_seeds=1,
    max_epochs=2.0,
    target=0.9,
    evaluations=2,
)
SMALL = dataclasses.replace(TINY, batch_sizes=(16, "full"))


def tuning(cell: StudyCell) -> Job:
    return next(protocol.jobs(TINY, cell, "validation_accuracy", lambda _: None))


@pytest.fixture(scope="module")
def dataset():
    return configs.load_data(TINY.workload)


@pytest.fixture(scope="module")
def order(dataset) -> list[StudyCell]:
    return list(cells.of(TINY, cells.facts(TINY, dataset)))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def compilers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("compiler")]


def test_each_cell_is_compiled_once_while_one_that_comes_before_it_trains(monkeypatch, dataset, order):
    names, compiled = [cell.id for cell in order], []
    monkeypatch.setattr(here, "compile_ahead", lambda cell, data, mesh: compiled.append((cell.id, data, mesh)))
    expected = {0: [1, 2], 1: [1, 2, 3], 3: [1, 2, 3, 4], 4: [1, 2, 3, 4]}
    with here._compiler(order, dataset, (8, 1)) as compile_behind:
        for number, known in expected.items():
            compile_behind(tuning(order[number]))
            wait_for(lambda known=known: len(compiled) >= len(known))
            assert [names.index(name) for name, *_ in compiled] == known
        compile_behind(tuning(order[0])._replace(phase="winners"))
    assert compiled == [(name, dataset, (8, 1)) for name in names[1:]]
    assert not compilers()


def test_a_cell_that_is_trained_before_its_turn_is_compiled_where_it_is_needed(monkeypatch, dataset, order):
    compiled = []
    monkeypatch.setattr(here, "compile_ahead", lambda cell, *_: compiled.append(cell.id))
    with here._compiler(order, dataset, None) as compile_behind:
        for number in (2, 1, 0):
            compile_behind(tuning(order[number]))
        wait_for(lambda: len(compiled) == 2)
    assert compiled == [order[3].id, order[4].id]


def test_what_has_not_been_compiled_at_the_end_is_left(monkeypatch, dataset, order):
    begun, over = [], threading.Event()
    monkeypatch.setattr(here, "compile_ahead", lambda cell, *_: begun.append(cell.id) or over.wait(30))
    with here._compiler(order, dataset, None) as compile_behind:
        compile_behind(tuning(order[0]))
        wait_for(lambda: begun)
        threading.Timer(0.1, over.set).start()
    assert begun == [order[1].id]


@pytest.mark.slow
def test_a_fault_while_compiling_behind_shows_nowhere(tmp_path, monkeypatch):
    assert here.run(SMALL, tmp_path / "whole") == (True, 4)
    tried = []
    monkeypatch.setattr(here, "compile_ahead", lambda cell, *_: tried.append(cell.id) or 1 / 0)
    assert here.run(SMALL, tmp_path / "failing") == (True, 4)
    assert tried
    whole, failing = (
        contents.read_study(tmp_path / name).drop(columns="training_seconds") for name in ("whole", "failing")
    )
    order = ["trial", "step"]
    assert_frame_equal(failing.sort_values(order, ignore_index=True), whole.sort_values(order, ignore_index=True))


def test_a_part_of_another_process_is_waited_for_until_it_is_there(tmp_path, monkeypatch, order, dataset):
    other = store.Store(tmp_path, SMALL, cells.facts(SMALL, dataset))
    assert next(other.claimed()) == tuning(order[0])
    waits = iter([lambda: None, other.let_go])  # the other process dies while it is waited for
    monkeypatch.setattr(here, "time", SimpleNamespace(sleep=lambda _: next(waits)()))
    assert here.run(SMALL, tmp_path) == (True, 4)
    assert next(waits, None) is None
    assert len(list(tmp_path.rglob("*.parquet"))) == 4


def test_an_interrupt_ends_the_wait(tmp_path, monkeypatch, order, dataset):
    waited = []
    monkeypatch.setattr(here, "time", SimpleNamespace(sleep=waited.append))
    other = store.Store(tmp_path, SMALL, cells.facts(SMALL, dataset))
    assert next(other.claimed()) == tuning(order[0])
    outcome = here.run(SMALL, tmp_path, interrupted=lambda: len(waited) > 2)
    assert outcome == (False, 2), "the other cell is tuned and its winner has run"


@pytest.mark.slow
def test_a_mesh_reaches_tuning_and_the_winners_that_go_through_the_same_program(tmp_path, monkeypatch):
    study, seen = dataclasses.replace(SMALL, batch_sizes=(16,)), []
    train = population.train_many

    def noted(*arguments, **options):
        seen.append((options["timed"], options["mesh"]))
        return train(*arguments, **options)

    monkeypatch.setattr(population, "train_many", noted)
    for name, mesh in (("chosen", None), ("both", (4, 2)), ("shared", (1, 8))):
        assert here.run(study, tmp_path / name, mesh=mesh).complete
    assert list(dict.fromkeys(seen)) == [(timed, mesh) for mesh in (None, (4, 2), (1, 8)) for timed in (False, True)]
    with pytest.raises(ValueError, match="mesh 3 × 1 does not fit the 8 device"):
        here.run(study, tmp_path / "none", mesh=(3, 1))
    assert not (tmp_path / "none").exists()
