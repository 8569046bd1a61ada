"""How far a study is, read from its directory alone and nothing changed there."""

import math
import os
from pathlib import Path

import pytest
from study_by_hand import STUDY, study

from mlp_jax.study import contents, plan, progress
from mlp_jax.study.progress import Progress
from mlp_jax.study.protocol import last_rows


def of(directory: Path) -> Progress:
    rows = contents.read_study(directory)
    ends = last_rows(rows) if len(rows) else rows
    return progress.of(directory, contents.read_plan(directory), contents.read_all(directory).ways, ends)


def tick(directory: Path, seconds: float) -> None:
    """Let a part have come every so many seconds, in the order in which the cells are made."""
    names = [job for way in contents.read_all(directory).ways for job in way.made]
    for number, job in enumerate(names):
        os.utime(contents.part_of(directory, job), (1e9 + number * seconds,) * 2)


def test_cells_are_counted_as_they_are_made(tmp_path):
    directory = study(tmp_path / "a", complete=2, jobs=3)
    cells = of(directory).cells
    assert [(cell.optimizer, cell.batch_size) for cell in cells][:3] == [("sgd", 256), ("adam", 256), ("sgd", 16)]
    assert [(cell.made, cell.jobs) for cell in cells] == [(5, 5), (5, 5), (3, 5), (0, 5), (0, 5), (0, 5)]
    assert [cell.trials for cell in cells] == [10 + 3 * 6 + 5] * 2 + [10 + 2 * 6] + [0] * 3
    assert cells[0].fewest < math.inf
    assert cells[3].fewest == math.inf
    rows = contents.read_study(directory)
    failed = rows.query("status == 'INFEASIBLE'").groupby("cell")["trial"].nunique()
    assert sorted(cell.failed for cell in cells if cell.failed) == sorted(failed)


def test_a_claim_says_since_when_a_cell_is_at_work(tmp_path):
    directory = study(tmp_path / "a", complete=1, jobs=1)
    following = contents.read_all(directory).ways[1].next
    assert following is not None
    lock = contents.part_of(directory, following).with_suffix(".lock")
    lock.touch()
    os.utime(lock, (5.0, 5.0))
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*"))
    assert [cell.since for cell in of(directory).cells] == [None, 5.0, None, None, None, None]
    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*")) == before


def test_what_is_left_is_what_cells_like_it_took(tmp_path):
    directory = study(tmp_path / "a", complete=3, jobs=2)
    tick(directory, 10.0)
    # 3 jobs of adam at 16, 10 at B = 1, which are taken to be as much longer as the batch is smaller, to a power
    each = 10.0 * 16**-progress.FLATTEST
    assert of(directory).left == pytest.approx(3 * 10 + 10 * each)


def test_a_pause_is_no_work(tmp_path):
    directory = study(tmp_path / "a", complete=3, jobs=2)
    tick(directory, 10.0)
    told = of(directory).left
    names = [job for way in contents.read_all(directory).ways for job in way.made]
    for job in names[8:]:
        path = contents.part_of(directory, job)
        os.utime(path, (path.stat().st_mtime + 1e5,) * 2)
    assert of(directory).left == pytest.approx(told)


@pytest.mark.parametrize(("complete", "jobs"), [(0, 0), (0, 2), (2, 0), (6, 0)])
def test_nothing_is_said_of_the_time_before_two_batch_sizes_have_begun_or_when_all_is_done(tmp_path, complete, jobs):
    assert math.isnan(of(study(tmp_path / "a", complete=complete, jobs=jobs)).left)


def test_one_batch_size_alone_is_enough_where_there_is_no_other(tmp_path):
    asked = plan.changed(STUDY, {}, {"batch_sizes": (16,)})
    directory = study(tmp_path / "a", asked, complete=0, jobs=3)
    tick(directory, 10.0)
    assert of(directory).left == pytest.approx(10.0 * (2 + 5))


def test_times_that_copying_has_made_equal_say_nothing(tmp_path):
    directory = study(tmp_path / "a", complete=3, jobs=2)
    tick(directory, 0.0)
    assert math.isnan(of(directory).left)


def test_a_search_of_points_has_two_jobs_a_cell(tmp_path):
    asked = plan.changed(STUDY, {}, {"method": "halton", "points": 12, "seeds": 2})
    assert {(cell.made, cell.jobs) for cell in of(study(tmp_path / "a", asked, complete=5, jobs=1)).cells} == {
        (2, 2),
        (1, 2),
    }


def test_a_study_without_data_has_no_cells(tmp_path):
    directory = study(tmp_path / "a", complete=0)
    (directory / "data.json").unlink()
    assert of(directory).cells == []
