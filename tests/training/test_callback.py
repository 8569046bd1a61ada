"""A callback is told each evaluation once, in order, changes nothing, and is all that other loggers need."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mlp_jax import Config, train, train_many
from mlp_jax.training.trials import Evaluation

CONFIG = Config(dataset="iris", hidden=(4,), epochs=4.0, evaluations=6)
README = Path(__file__).parents[2] / "mlp_jax" / "training" / "README.md"


def test_a_run_tells_its_history_and_at_last_its_ends():
    told: list[Evaluation] = []
    run = train(CONFIG, callback=told.append)
    *way, end = told
    assert [each.step for each in way] == [row["step"] for row in run.history]
    for each, row in zip(way[1:], run.history[1:]):
        assert each.metrics == {name: value for name, value in row.items() if name != "step"}
    assert "batch_loss" not in way[0].metrics, "there was no mini-batch yet"
    assert (end.step, end.metrics, end.hyper) == (run.steps, run.metrics, run.hyper)
    quiet = train(CONFIG)
    assert quiet.metrics == run.metrics


@pytest.mark.slow
def test_many_trials_tell_each_evaluation_once_in_the_order_of_their_steps():
    told: list[Evaluation] = []
    rates = [0.01, 0.1, 1e30]
    trained = train_many(CONFIG, {"learning_rate": rates}, [0, 1, 2], callback=told.append, evaluation_share=1.0)
    for trial, rate in enumerate(rates):
        own = [each for each in told if each.trial == trial]
        assert [each.step for each in own] == [row["step"] for row in trained.rows_of(trial)]
        assert {(each.seed, each.hyper["learning_rate"]) for each in own} == {(trial, rate)}
        losses = [row["validation_loss"] for row in trained.rows_of(trial)]
        np.testing.assert_array_equal([each.metrics["validation_loss"] for each in own], losses)


def test_what_was_told_before_an_interruption_is_not_told_again(tmp_path):
    told: list[int] = []
    stop = lambda: len(told) >= 3
    train(CONFIG, out=tmp_path / "run", callback=lambda each: told.append(each.step), interrupted=stop)
    before = len(told)
    assert 3 <= before < 7
    run = train(CONFIG, out=tmp_path / "run", resume=True, callback=lambda each: told.append(each.step))
    assert told[:-1] == [row["step"] for row in run.history]
    assert told[-1] == run.steps


def test_a_callback_that_fails_ends_the_training():
    def fail(each: Evaluation) -> None:
        raise RuntimeError("the logger is full")

    with pytest.raises(RuntimeError, match="the logger is full"):
        train(CONFIG, callback=fail)


@pytest.mark.parametrize("name", [pytest.param("wandb", marks=pytest.mark.slow), "mlflow"])
def test_the_recipes_log_every_evaluation(monkeypatch, name):
    recipes = re.findall(r"```py\n(.*?)```", README.read_text(), re.DOTALL)
    (recipe,) = [code for code in recipes if f"import {name}" in code]
    assert len(recipe.strip().splitlines()) <= 7
    logged: list[tuple[int, dict]] = []

    class Open:
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def log(self, metrics: dict, step: int) -> None:
            logged.append((step, metrics))

    made = types.ModuleType(name)
    made.__dict__.update(init=lambda **_: Open(), start_run=lambda: Open(), log_params=lambda params: None)
    made.__dict__["log_metrics"] = lambda metrics, step: logged.append((step, metrics))
    monkeypatch.setitem(sys.modules, name, made)
    exec(recipe, {})
    assert len(logged) > 3
    assert logged[-1][1]["test_accuracy"] > 0.2
