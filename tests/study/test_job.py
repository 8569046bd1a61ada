"""One job of a study: the rows that it makes, what is measured for whom, and how it goes on after an interrupt."""

import dataclasses
import math

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from mlp_jax import trial
from mlp_jax.study import cells, job
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.plan import Study
from mlp_jax.study.protocol import Job
from mlp_jax.training import config as configs
from mlp_jax.training import group, population, timetable
from mlp_jax.training import run as single
from mlp_jax.training.config import Config
from mlp_jax.training.trials import NEVER, Cutoff

TINY = Study(
    workload=Config(dataset="iris", hidden=(4,), validation=0.2),
    optimizers=("momentum",),
    batch_sizes=(16,),
    max_epochs=8.0,
    target=0.9,
    evaluations=12,
)
RATES, SEEDS = [0.3, 0.03, 0.003, 0.1], [5, 6, 7, 9]


@pytest.fixture(scope="module")
def dataset():
    return configs.load_data(TINY.workload)


@pytest.fixture(scope="module")
def cell(dataset) -> StudyCell:
    return next(cells.of(TINY, cells.facts(TINY, dataset)))


@pytest.fixture(scope="module")
def tuning(cell) -> Job:
    return Job(cell, "tuning", 2, {"learning_rate": RATES}, SEEDS, NEVER)


@pytest.fixture(scope="module")
def won(cell) -> Job:
    return Job(cell, "winners", 3, {"learning_rate": [0.1] * 3}, [20, 21, 22], NEVER)


@pytest.fixture(scope="module")
def tuned(tuning, dataset) -> pandas.DataFrame:
    return job.make(tuning, dataset)


@pytest.fixture(scope="module")
def winners(won, dataset) -> pandas.DataFrame:
    return job.make(won, dataset)


def timeless(rows: pandas.DataFrame) -> pandas.DataFrame:
    return rows.drop(columns="training_seconds")


def test_every_row_names_its_trial_its_phase_and_its_cell(tuned, winners, cell):
    for rows, phase, number, count in ((tuned, "tuning", 2, 4), (winners, "winners", 3, 3)):
        trials = [f"{cell.id}-{phase}-{number}-{one}" for one in range(count)]
        assert list(dict.fromkeys(rows["trial"])) == trials
        labels = {"phase": phase, "cell": cell.id, "optimizer": "momentum", "batch_size": 16, "round": number}
        assert all((rows[name] == value).all() for name, value in labels.items())
        assert not rows.duplicated(["trial", "step"]).any()
        assert "batch_loss" not in rows
    assert [name for name in winners if name not in tuned] == ["test_loss", "test_error", "test_accuracy"]
    assert [name for name in tuned if name not in winners] == []


def test_tuned_rows_are_those_of_a_population(tuned, cell):
    alone = population.train(cell.config, {"learning_rate": RATES}, SEEDS, evaluation_share=1.0)
    expected = alone.history_frame()
    for name in ("learning_rate", "seed", "step", "examples", "epoch", "validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(tuned[name], expected[name])
    for name in ("status", "failed", "steps", "steps_to_target"):
        np.testing.assert_array_equal(tuned[name], getattr(alone, name)[expected["trial"]])


def test_winners_rows_are_those_of_runs_alone(winners, cell):
    for seed, found in winners.groupby("seed"):
        alone = single.train(dataclasses.replace(cell.config, learning_rate=0.1, seed=int(seed)))
        for name in ("step", "validation_loss", "validation_accuracy"):
            np.testing.assert_array_equal(found[name], [row[name] for row in alone.history])
        assert set(found["steps_to_target"]) == {alone.steps_to_target}
        assert set(found["test_loss"]) == {alone.metrics["test_loss"]}
        assert set(found["status"]) == {alone.status}
        each = (found["training_seconds"] / found["step"]).iloc[1:]
        assert each.to_numpy() == pytest.approx(each.iloc[0])


def test_the_noise_scale_is_measured_for_every_fresh_seed_and_changes_no_row(winners, won, dataset):
    rows = job.make(won._replace(noise_scale=True), dataset)
    for name in trial.NOISE:
        assert np.isfinite(rows[name]).all()
    assert_frame_equal(timeless(rows).drop(columns=list(trial.NOISE)), timeless(winners), check_like=True)


def test_a_cutoff_ends_trials_and_their_rows(tuning, tuned, dataset):
    least = tuned["steps_to_target"].min()
    assert math.isfinite(least)
    rows = job.make(tuning._replace(cutoff=Cutoff(math.inf, 1.5)), dataset)
    assert rows["step"].max() <= 1.5 * least
    shared = timeless(tuned)[tuned["step"] <= 1.5 * least].reset_index(drop=True)
    columns = ["trial", "step", "validation_loss"]
    assert_frame_equal(rows[columns].reset_index(drop=True), shared[columns])


def test_an_interrupted_job_goes_on_in_its_directory_which_is_left_to_the_caller(
    tmp_path, monkeypatch, tuned, tuning, dataset
):
    monkeypatch.setattr(timetable, "GLANCE", 1e-9)
    work, asked = tmp_path / "work", iter(range(10**6))
    kept = {"work": work, "interrupted": lambda: next(asked) >= 25}
    assert job.make(tuning, dataset, **kept) is None
    before = sorted(path.name for path in work.iterdir())
    assert "checkpoints" in before
    begun, looks = [], group.Group.looks
    monkeypatch.setattr(group.Group, "looks", lambda self, stop: begun.append(self.timetable.step) or looks(self, stop))
    rest = job.make(tuning, dataset, work=work)
    assert rest is not None
    assert_frame_equal(timeless(rest), timeless(tuned), check_like=True)
    assert begun[0] > 0, "it goes on from where it was"
    assert sorted(path.name for path in work.iterdir()) == before


def test_a_cell_is_compiled_ahead_for_all_its_jobs(monkeypatch, dataset, tuning, won):
    study = dataclasses.replace(TINY, batch_sizes=(12,))
    (cell,) = cells.of(study, cells.facts(study, dataset))
    job.compile_ahead(cell, dataset, None)
    counts, train = [], population.train_many

    def noted(*arguments, **options):
        trained = train(*arguments, **options)
        counts.append(trained.compilations)
        return trained

    monkeypatch.setattr(population, "train_many", noted)
    for asked in (tuning, won):
        job.make(asked._replace(cell=cell), dataset)
    assert counts == [0, 0]


def test_a_search_may_race(tuning, dataset):
    search = dataclasses.replace(TINY, method="halton", target=2.0)
    (cell,) = cells.of(search, cells.facts(search, dataset))
    raced = job.make(tuning._replace(cell=cell, racing=2), dataset)
    assert set(raced["status"]) == {"COMPLETE", "INCOMPLETE"}
    assert raced["step"].max() == cell.budget
