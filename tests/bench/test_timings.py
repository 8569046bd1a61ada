"""The times of a study's cells: measured for each, read back whole, and refused where they are of something else."""

import json

import pytest

from mlp_jax.bench import record, timings
from mlp_jax.bench.timings import Effort, Timing
from mlp_jax.machine.files import parsed_json
from mlp_jax.study import Study, changed
from mlp_jax.training.config import Config

STUDY = Study(
    workload=Config(dataset="iris", hidden=(4,), validation=0.2, l2=0.01),
    optimizers=("sgd", "adam"), batch_sizes=(8, "full"), target=0.8,
)  # fmt: skip
CELLS = [("sgd", 96), ("adam", 96), ("sgd", 8), ("adam", 8)]


@pytest.fixture(scope="module")
def measured() -> dict:
    told: list[str] = []
    made = timings.measure(STUDY, Effort(1, 0.001), told.append)
    assert len(told) == len(CELLS) + 1
    return made


@pytest.fixture
def path(measured, tmp_path):
    record.write(measured, tmp_path / "times.json")
    return tmp_path / "times.json"


@pytest.mark.slow
def test_each_cell_is_timed_alone_and_with_others(measured, path):
    assert [(row["optimizer"], row["batch_size"]) for row in measured["cells"]] == CELLS
    found = timings.of(timings.read(path))
    assert list(found) == CELLS
    for alone, together in found.values():
        assert 1e-7 < alone < 0.1
        assert 10 < together < 1e8
    assert record.kind_of(path) == timings.KIND
    text = timings.table(measured)
    assert all(f"{name}" in text for name, _ in CELLS)


def test_the_time_alone_is_that_of_one_trial_and_the_rate_that_of_ten(measured, monkeypatch):
    """With a clock that counts the steps of all trials, alone takes one and ten together take ten."""
    counted = {}

    def steps_of(run, count: int) -> float:
        before = int(run.__self__.lanes.state.step.sum())
        run(count)
        counted[run] = (int(run.__self__.lanes.state.step.sum()) - before) / count
        return counted[run]

    monkeypatch.setattr(timings, "time_of", steps_of)
    made = timings.measure(changed(STUDY, {}, {"batch_sizes": (8,)}), Effort(1, 0.001))
    assert timings.of(made) == {
        ("sgd", 8): Timing(1.0, 1.0),
        ("adam", 8): Timing(1.0, 1.0),
    }  # 10 trials in 10 "seconds"


def test_times_match_their_study_and_those_of_fewer_cells(measured, path):
    assert list(timings.matching(measured, path, STUDY, CELLS[:2])) == CELLS[:2]
    more = changed(STUDY, {}, {"rounds": 9, "target": 0.5, "batch_sizes": (8,)})  # nothing that a step depends on
    assert list(timings.matching(measured, path, more, CELLS[2:])) == CELLS[2:]
    elsewhere = changed(STUDY, {"data_dir": "/elsewhere"}, {})
    assert timings.matching(measured, path, elsewhere, CELLS)


def test_times_of_another_study_are_refused(measured, path):
    with pytest.raises(ValueError, match="times.json lacks momentum at batch size 8; measure again with mlp-jax bench"):
        timings.matching(measured, path, STUDY, [("momentum", 8)])
    with pytest.raises(ValueError, match=r"is of another workload \(hidden \[4\] there, \[5\] in the study\)"):
        timings.matching(measured, path, changed(STUDY, {"hidden": (5,)}, {}), CELLS)
    old = measured | {"study": measured["study"] | {"identity": measured["study"]["identity"] | {"protocol": "1.0"}}}
    with pytest.raises(ValueError, match=r"the study that .*times.json is of is of protocol 1.0, and this is protocol"):
        timings.matching(old, path, STUDY, CELLS)
    full = measured | {"cells": [{"optimizer": "sgd", "batch_size": 8, "error": "too large"}]}
    with pytest.raises(ValueError, match=r"lacks sgd at batch size 8 \(too large\)"):
        timings.matching(full, path, STUDY, [("sgd", 8)])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"kind": "other"}, "is not a record of mlp-jax bench --study; name"), ({"version": "0.9"}, "has version '0.9'"),
     ({"cells": [{"optimizer": "sgd"}]}, "is damaged"), ({"cells": 3}, "is damaged"),
     ({"environment": {}}, "is damaged")],
)  # fmt: skip
def test_other_files_and_damage_are_refused(path, change, said):
    path.write_text(json.dumps(parsed_json(path) | change))
    with pytest.raises(ValueError, match=said):
        timings.read(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="is not a record"):
        timings.read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="is not a record"):
        timings.read(path)


def test_a_cell_that_does_not_fit_is_said_in_its_row(monkeypatch):
    def none_left(*_):
        raise MemoryError("9 GB of 8")

    monkeypatch.setattr(timings.workloads, "Together", none_left)
    made = timings.measure(changed(STUDY, {}, {"batch_sizes": (8,)}), Effort(1, 0.001))
    assert [row["error"] for row in made["cells"]] == ["9 GB of 8"] * 2
    assert "9 GB of 8" in timings.table(made)
    assert timings.of(made) == {}
