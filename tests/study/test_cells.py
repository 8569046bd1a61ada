"""The cells of a study: every optimizer treated alike, named by all that decides their results; and their jobs."""

import dataclasses

import numpy as np
import pytest

from mlp_jax.study import cells
from mlp_jax.study.cells import Job
from mlp_jax.study.plan import Study
from mlp_jax.study.spaces import Space
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config

IRIS = Config(dataset="iris", hidden=(4,), validation=0.2)


@pytest.fixture(scope="module")
def iris():
    return configs.load_data(IRIS)


@pytest.mark.parametrize("method", ["halton", "sobol", "grid"])
def test_every_cell_has_the_same_points_and_seeds(iris, method):
    spaces = {"momentum": {"learning_rate": Space(low=0.01, high=1), "momentum": Space(choices=(0.9,))}}
    study = Study(workload=IRIS, batch_sizes=(1, 8, "full"), spaces=spaces, method=method, points=7)
    found = list(cells.of(study, iris))
    assert len(found) == len({cell.id for cell in found}) == 12
    assert {cell.seeds for cell in found} == {(0, 1, 2)}
    assert {len(values) for cell in found for values in cell.points.values()} == {7}
    first = {cell.optimizer: cell.points for cell in found[:4]}
    for cell in found:
        for name, values in cell.points.items():
            np.testing.assert_array_equal(values, first[cell.optimizer][name])
            assert not np.isnan(values).any()


def test_large_batches_come_first_and_full_is_counted_once(iris):
    n = len(iris.train.y)
    study = Study(workload=IRIS, optimizers=("sgd", "adam"), batch_sizes=(1, n, "full", 8))
    assert [(cell.batch_size, cell.optimizer) for cell in cells.of(study, iris)] == [
        (n, "sgd"), (n, "adam"), (8, "sgd"), (8, "adam"), (1, "sgd"), (1, "adam"),
    ]  # fmt: skip


def test_a_cell_is_what_the_study_and_the_workload_say(iris):
    study = Study(workload=IRIS, batch_sizes=(8,), max_steps=70, max_epochs=9.0, target=0.8, evaluations=5)
    for cell in cells.of(study, iris):
        assert cell.config == dataclasses.replace(
            IRIS, optimizer=cell.optimizer, batch_size=8, schedule="constant", steps=70, epochs=9.0, stop_at=0.8,
            evaluations=5, spacing="log",
        )  # fmt: skip


def test_a_batch_size_larger_than_the_data_is_refused(iris):
    with pytest.raises(ValueError, match="batch size 97 is not allowed"):
        list(cells.of(Study(workload=IRIS, batch_sizes=(97,)), iris))


def test_the_noise_scale_is_no_part_of_a_cells_identity(iris):
    studies = (Study(workload=IRIS, batch_sizes=(8,), noise_scale=measured) for measured in (False, True))
    without, measured = ([cell.id for cell in cells.of(study, iris)] for study in studies)
    assert without == measured


def test_where_the_data_lie_decides_nothing_and_what_they_are_does(iris):
    here, there = (
        Study(workload=dataclasses.replace(IRIS, data_dir=place), batch_sizes=(8,)) for place in ("here", "there")
    )
    assert here.id == there.id
    ids = [cell.id for cell in cells.of(here, iris)]
    assert [cell.id for cell in cells.of(there, iris)] == ids
    y = iris.train.y.copy()
    y[0] = (y[0] + 1) % 3
    other = dataclasses.replace(iris, train=iris.train._replace(y=y))
    assert not {cell.id for cell in cells.of(here, other)} & set(ids)


def test_each_job_has_a_name_of_its_own(iris):
    found = list(cells.of(Study(workload=IRIS, batch_sizes=(8,)), iris))
    tuning, winner = Job(found[0]), Job(found[0], 3)
    assert (tuning.phase, tuning.name) == ("tuning", found[0].id)
    assert (winner.phase, winner.name) == ("winners", f"{found[0].id}-3")
    assert Job(found[0], 3, noise_scale=True).name == f"{found[0].id}-3-noise"
    assert len({Job(cell, point).name for cell in found for point in (None, 0, 1)}) == 3 * len(found)
