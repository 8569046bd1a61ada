"""One job of a study: the rows that it makes, what is measured for whom, and how it goes on after an interrupt."""

import dataclasses

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax import trial
from mlp_jax.study import cells, job
from mlp_jax.study.cells import FRESH, Job, StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.training import config as configs
from mlp_jax.training import group, population
from mlp_jax.training import run as single
from mlp_jax.training.config import Config

TINY = Study(
    workload=Config(dataset="iris", hidden=(4,), validation=0.2),
    optimizers=("momentum",),
    batch_sizes=(16,),
    points=3,
    seeds=2,
    fresh_seeds=3,
    max_epochs=8.0,
    target=0.9,
    evaluations=4,
)
POINT = 1


@pytest.fixture(scope="module")
def dataset():
    return configs.load_data(TINY.workload)


@pytest.fixture(scope="module")
def cell(dataset) -> StudyCell:
    return next(cells.of(TINY, dataset))


@pytest.fixture(scope="module")
def tuned(cell, dataset) -> pandas.DataFrame:
    return job.make(TINY, Job(cell), dataset)


@pytest.fixture(scope="module")
def winners(cell, dataset) -> pandas.DataFrame:
    return job.make(TINY, Job(cell, POINT), dataset)


def timeless(rows: pandas.DataFrame) -> pandas.DataFrame:
    return rows.drop(columns="training_seconds")


def test_every_row_names_its_trial_its_phase_and_its_cell(tuned, winners, cell):
    for rows, phase, count in ((tuned, "tuning", 6), (winners, "winners", 3)):
        assert list(dict.fromkeys(rows["trial"])) == [f"{cell.id}-{phase}-{number}" for number in range(count)]
        labels = {"phase": phase, "cell": cell.id, "optimizer": "momentum", "batch_size": 16}
        assert all((rows[name] == value).all() for name, value in labels.items())
        assert not rows.duplicated(["trial", "step"]).any()
        assert "batch_loss" not in rows
    assert [name for name in winners if name not in tuned] == ["test_loss", "test_error", "test_accuracy"]
    assert [name for name in tuned if name not in winners] == []


def test_tuning_trains_every_point_with_every_seed_and_winners_one_point_with_fresh_ones(tuned, winners, cell):
    of_trials = lambda rows: rows.groupby("trial", sort=False).first()
    assert of_trials(tuned)["point"].tolist() == [0, 0, 1, 1, 2, 2]
    assert of_trials(tuned)["seed"].tolist() == [0, 1] * 3
    assert of_trials(winners)["point"].tolist() == [POINT] * 3
    assert of_trials(winners)["seed"].tolist() == [FRESH, FRESH + 1, FRESH + 2]
    for rows in (tuned, winners):
        np.testing.assert_array_equal(rows["learning_rate"], cell.points["learning_rate"][rows["point"]])


def test_tuned_rows_are_those_of_a_population(tuned, cell):
    rates = np.repeat(cell.points["learning_rate"], 2)
    alone = population.train(cell.config, {"learning_rate": rates}, [0, 1] * 3, evaluation_share=1.0)
    expected = alone.history_frame()
    for name in ("learning_rate", "seed", "step", "examples", "epoch", "validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(tuned[name], expected[name])
    for name in ("status", "failed", "steps", "steps_to_target"):
        np.testing.assert_array_equal(tuned[name], getattr(alone, name)[expected["trial"]])


def test_winners_rows_are_those_of_runs_alone(winners, cell):
    rate = float(cell.points["learning_rate"][POINT])
    for seed, found in winners.groupby("seed"):
        alone = single.train(dataclasses.replace(cell.config, learning_rate=rate, seed=int(seed)))
        for name in ("step", "validation_loss", "validation_accuracy"):
            np.testing.assert_array_equal(found[name], [row[name] for row in alone.history])
        assert set(found["steps_to_target"]) == {alone.steps_to_target}
        assert set(found["test_loss"]) == {alone.metrics["test_loss"]}
        assert set(found["status"]) == {alone.status}
        each = (found["training_seconds"] / found["step"]).iloc[1:]
        assert each.to_numpy() == pytest.approx(each.iloc[0])


def test_the_noise_scale_is_measured_for_the_first_fresh_seed_alone_and_changes_no_row(winners, cell, dataset):
    rows = job.make(TINY, Job(cell, POINT, noise_scale=True), dataset)
    for name in trial.NOISE:
        np.testing.assert_array_equal(np.isfinite(rows[name]), rows["seed"] == FRESH)
    assert_frame_equal(timeless(rows).drop(columns=list(trial.NOISE)), timeless(winners), check_like=True)
    one = dataclasses.replace(TINY, fresh_seeds=1)
    assert set(job.make(one, Job(cell, POINT, noise_scale=True), dataset)["seed"]) == {FRESH}


def test_an_interrupted_job_goes_on_in_its_directory_which_is_left_to_the_caller(
    tmp_path, monkeypatch, tuned, cell, dataset
):
    monkeypatch.setattr(group, "GLANCE", 1e-9)
    work, asked = tmp_path / "work", iter(range(10**6))
    kept = {"work": work, "interrupted": lambda: next(asked) >= 25}
    assert job.make(TINY, Job(cell), dataset, **kept) is None
    before = sorted(path.name for path in (work / "0").iterdir())
    assert "checkpoints" in before
    begun, looks = [], group.Group.looks
    monkeypatch.setattr(group.Group, "looks", lambda self, stop: begun.append(self.step) or looks(self, stop))
    rest = job.make(TINY, Job(cell), dataset, work=work)
    assert rest is not None
    assert_frame_equal(timeless(rest), timeless(tuned), check_like=True)
    assert begun[0] > 0, "it goes on from where it was"
    assert sorted(path.name for path in (work / "0").iterdir()) == before


def test_a_cell_is_compiled_ahead_for_its_tuning_and_its_winners(monkeypatch, dataset):
    (cell,) = cells.of(dataclasses.replace(TINY, batch_sizes=(12,)), dataset)
    job.compile_ahead(cell, dataset, None)
    counts, train = [], population.train_many

    def noted(*arguments, **options):
        trained = train(*arguments, **options)
        counts.append(trained.compilations)
        return trained

    monkeypatch.setattr(population, "train_many", noted)
    for asked in (Job(cell), Job(cell, 0)):
        job.make(TINY, asked, dataset)
    assert counts == [0, 0]


def test_racing_is_for_tuning_alone(dataset, cell):
    raced = dataclasses.replace(TINY, racing=2)
    assert "INCOMPLETE" in set(job.make(raced, Job(cell), dataset)["status"])
    assert "INCOMPLETE" not in set(job.make(raced, Job(cell, POINT), dataset)["status"])
