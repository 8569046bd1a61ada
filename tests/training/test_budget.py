"""A budget that grows: a run goes on from its end to the numbers of one that had the larger budget from the start."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from mlp_jax.machine import files
from mlp_jax.training import budget, population, prediction, run, soundness, timetable
from mlp_jax.training.config import Config

SMALL = Config(steps=40, hidden=(8,), evaluations=2, schedule="constant", warmup_steps=5.0)
LARGE = dataclasses.replace(SMALL, steps=120, evaluations=6)
KEYS = ("step", "epoch", "batch_loss", "validation_loss", "validation_accuracy")


def found(result: run.Run) -> tuple:
    return [[row[key] for key in KEYS] for row in result.history[1:]], result.metrics, result.steps_to_target


def assert_same(a: run.Run, b: run.Run) -> None:
    assert found(a) == found(b)
    for x, y in zip(jax.tree.leaves(a.state), jax.tree.leaves(b.state), strict=True):
        np.testing.assert_array_equal(x, y)


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole() -> run.Run:
    return run.train(LARGE)


@pytest.mark.slow
def test_a_run_goes_on_to_a_larger_budget_and_is_the_run_that_had_it_from_the_start(tmp_path, whole):
    part = run.train(SMALL, out=tmp_path)
    rest = run.train(LARGE, out=tmp_path, resume=True)
    assert (part.status, part.steps * 3) == ("COMPLETE", rest.steps)
    assert_same(rest, whole)
    assert_same(run.train(LARGE, out=tmp_path, resume=True), whole)
    assert all(not each.wrong for each in soundness.check(tmp_path))
    np.testing.assert_array_equal(prediction.read(tmp_path).params[0].W, whole.params[0].W)


@pytest.mark.slow
def test_it_may_be_interrupted_before_and_after_and_grow_twice(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    middle = dataclasses.replace(SMALL, steps=80, evaluations=4)
    for config, looks in ((SMALL, 20), (middle, 10), (LARGE, 30), (LARGE, 10**6)):
        questions = iter(range(10**7))
        interrupted = lambda looks=looks, questions=questions: next(questions) >= looks
        rest = run.train(config, out=tmp_path, resume=(tmp_path / "config.json").exists(), interrupted=interrupted)
        assert rest.status == ("COMPLETE" if looks == 10**6 else "INCOMPLETE")
    assert_same(rest, whole)


@pytest.mark.slow
def test_a_kill_between_the_two_files_that_say_it_loses_nothing(tmp_path, whole, monkeypatch):
    run.train(SMALL, out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run.RunDirectory, "_write_config", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.train(LARGE, out=tmp_path, resume=True)
    assert files.read_json(tmp_path, "config.json")["steps"] == SMALL.steps
    assert run.train(SMALL, out=tmp_path, resume=True).steps * 3 == whole.steps
    assert_same(run.train(LARGE, out=tmp_path, resume=True), whole)


@pytest.mark.slow
def test_other_points_change_the_history_alone(tmp_path, whole):
    run.train(dataclasses.replace(SMALL, evaluations=5), out=tmp_path)
    rest = run.train(dataclasses.replace(LARGE, evaluations=3, spacing="log"), out=tmp_path, resume=True)
    assert rest.metrics == whole.metrics
    steps = [row["step"] for row in rest.history]
    assert steps == sorted(set(steps))
    assert steps[:6] == np.rint(np.linspace(0, rest.steps / 3, 6)).tolist()
    assert steps[-1] == rest.steps


def test_what_has_ended_for_good_does_not_go_on(tmp_path):
    for name, changes in (("met", {"stop_at": 0.2}), ("failed", {"learning_rate": 1e30})):
        short, long = (dataclasses.replace(config, **changes) for config in (SMALL, LARGE))
        part = run.train(short, out=tmp_path / name)
        assert part.status == "INFEASIBLE" or part.steps_to_target == part.steps
        rest = run.train(long, out=tmp_path / name, resume=True)
        assert (rest.steps, rest.status, rest.steps_to_target) == (part.steps, part.status, part.steps_to_target)


def test_seconds_grow_too(tmp_path):
    config = Config(hidden=(8,), seconds=0.05, evaluations=2)
    part = run.train(config, out=tmp_path)
    rest = run.train(dataclasses.replace(config, seconds=0.15, evaluations=4), out=tmp_path, resume=True)
    assert rest.steps > part.steps
    assert rest.history[-1]["training_seconds"] >= 0.15
    count = len(part.history)
    assert rest.history[1:count] == part.history[1:]
    assert len(rest.history) > count


@pytest.mark.parametrize(
    ("had", "has", "message"),
    [
        ({"schedule": "auto"}, {"schedule": "auto", "steps": 80}, "schedule 'cosine' ends with its budget"),
        ({"schedule": "step"}, {"schedule": "step", "steps": 80}, "another run with --schedule constant"),
        ({}, {"steps": 39}, "a budget of 40 steps, which can only grow"),
        ({}, {"steps": None, "epochs": 0.5}, "a budget of 40 steps, which can only grow"),
        ({}, {"seconds": 1.0}, "which can only grow; give at least as much"),
        ({"steps": None, "seconds": 0.02}, {"steps": None, "seconds": 0.01}, "a budget of 0.02 seconds"),
        ({"seconds": 60.0}, {"seconds": 30.0}, "a budget of 40 steps and 60 seconds, which can only grow"),
        ({}, {"steps": 80, "seed": 1}, r"another configuration \(seed 0 there, 1 here\); name another directory$"),
        ({}, {"evaluations": 3}, r"another configuration \(evaluations 2 there, 3 here\); name another directory$"),
    ],
)
def test_a_budget_that_can_not_go_on_is_refused_and_nothing_touched(tmp_path, had, has, message):
    run.train(dataclasses.replace(SMALL, warmup_steps=None, **had), out=tmp_path)
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=message):
        run.train(dataclasses.replace(SMALL, warmup_steps=None, **has), out=tmp_path, resume=True)
    assert tree(tmp_path) == before


def test_without_resume_and_for_many_trials_another_budget_is_another_configuration(tmp_path):
    run.train(SMALL, out=tmp_path / "one")
    with pytest.raises(ValueError, match="or add --resume to go on with a larger budget"):
        run.train(LARGE, out=tmp_path / "one")
    population.train(SMALL, seeds=[0, 1], out=tmp_path / "many")
    with pytest.raises(ValueError, match="another configuration .*; name another directory$"):
        population.train(LARGE, seeds=[0, 1], out=tmp_path / "many", resume=True)


def test_budgets_count_steps_by_what_binds():
    assert budget.total_steps(Config(epochs=2.5), 100, 10) == 25
    assert budget.total_steps(Config(epochs=2.5, steps=7), 100, 10) == 7
    assert budget.total_steps(Config(seconds=1.0), 100, 10) is None


@pytest.mark.parametrize(("task", "epochs", "least"), [("multiclass", 20, 2000), ("regression", 30, 200)])
def test_a_budget_that_nobody_gave_is_in_epochs_but_no_fewer_steps(task, epochs, least):
    assert budget.total_steps(Config(), 10_000, 10, task) == epochs * 1000
    assert budget.total_steps(Config(), 20, 10, task) == least
    with pytest.raises(ValueError, match=rf"^epochs {epochs}.0 take more than 2\*\*31 - 1 steps of 1 examples"):
        budget.total_steps(Config(), 2**31 // epochs + 1, 1, task)
