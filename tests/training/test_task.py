"""What a Config means on its data: splits, columns, points and the target, by hand."""

import dataclasses
import math

import numpy as np
import pytest

from mlp_jax import losses
from mlp_jax.training import config as configs
from mlp_jax.training import task
from mlp_jax.training.config import Config
from mlp_jax.training.task import Task

IRIS = Config(dataset="iris", hidden=(4,), batch_size=8, epochs=2.0, evaluations=4)
METRICS = ("loss", "error", "accuracy")


def resolved(**changes) -> Task:
    return task.resolve(dataclasses.replace(IRIS, **changes))


@pytest.mark.parametrize(
    ("changes", "splits", "watched"),
    [
        ({}, ("train", "validation", "test"), ("validation",)),
        ({"evaluate_on": ("test", "train")}, ("train", "validation", "test"), ("validation", "train", "test")),
        ({"evaluate_on": ("validation", "test"), "validation": 0}, ("train", "test"), ("train", "test")),
        ({"evaluate_on": ("train", "test"), "validation": 0, "test": 0}, ("train",), ("train",)),
    ],
)
def test_the_monitored_split_is_watched_first_and_no_split_twice(changes, splits, watched):
    asked = resolved(**changes)
    assert asked.splits == splits
    assert asked.watched == watched
    assert (asked.monitor, asked.score) == (watched[0], f"{watched[0]}_accuracy")
    assert not asked.less_is_better


def test_columns_name_the_metrics_of_what_is_watched_in_the_order_of_the_splits():
    own = ("step", "examples", "epoch", "training_seconds", "batch_loss")
    assert resolved().columns == (*own, *(f"validation_{name}" for name in METRICS))
    asked = resolved(evaluate_on=("test", "train"), noise_scale=True)
    assert asked.metric_names == tuple(f"{split}_{name}" for split in configs.SPLITS for name in METRICS)
    assert asked.columns == (*own, *asked.metric_names, "noise_trace", "noise_squared_norm", "noise_scale")


def test_points_are_steps_or_seconds_and_there_is_room_for_an_end_between_two():
    asked = resolved()
    assert asked.total == math.ceil(2 * 108 / 8)
    np.testing.assert_array_equal(asked.points, [0, 7, 14, 20, 27])
    assert asked.room == 6
    timed = resolved(epochs=None, seconds=2.0)
    assert timed.total is None
    np.testing.assert_allclose(timed.points, [0, 0.5, 1.0, 1.5, 2.0])
    assert resolved(batch_size="full").total == 2


@pytest.mark.parametrize("stop_at", [None, 0.0, 0.5, 11 / 12, 0.99, 1.0, 1.1])
def test_the_limit_admits_exactly_the_errors_with_which_the_target_is_met(stop_at):
    asked = resolved(stop_at=stop_at)
    count = len(asked.dataset.validation.y)
    assert count == 12
    for errors in range(count + 1):
        accuracy = losses.metrics(losses.ClassificationSums(count, 0.0, errors))["accuracy"]  # pyright: ignore[reportArgumentType]
        met = stop_at is not None and float(accuracy) >= stop_at
        assert (errors <= int(asked.limits[0])) == met


def test_the_limit_of_an_error_is_in_the_units_of_the_targets():
    asked = task.resolve(Config(dataset="diabetes", stop_at=60.0))
    assert asked.less_is_better
    assert asked.score == "validation_rmse"
    assert asked.dataset.target_scale > 10
    mean_square = float(asked.limits[0]) / len(asked.dataset.validation.y)
    assert math.sqrt(mean_square) * asked.dataset.target_scale == pytest.approx(60.0, rel=1e-6)


def test_hyper_parameters_are_those_of_the_config_but_for_the_changes_and_schedules_end_with_the_budget():
    asked = resolved(momentum=0.5)
    assert asked.hyper() == {"learning_rate": 0.05, "momentum": 0.5, "schedule_steps": 27.0, "final_factor": 0.01}
    assert asked.hyper(learning_rate=0.3) == asked.hyper() | {"learning_rate": 0.3}
    with pytest.raises(ValueError, match="learning_rate -1.0 is not allowed"):
        asked.hyper(learning_rate=-1.0)


def test_data_that_are_given_are_not_loaded_and_decide_the_cell():
    dataset = configs.load_data(dataclasses.replace(IRIS, dataset="wine"))
    given = task.resolve(IRIS, dataset)
    assert given.dataset is dataset
    assert (given.cell.network.inputs, resolved().cell.network.inputs) == (13, 4)
    with pytest.raises(ValueError, match="batch size 109 is not allowed"):
        resolved(batch_size=109)


@pytest.mark.parametrize(
    ("dataset", "asked", "started"),
    [("digits", "auto", "he"), ("iris", "auto", "glorot"), ("digits", "glorot", "glorot"), ("iris", "zeros", "zeros")],
)
def test_pixels_start_as_he_s_and_other_features_as_glorot_s_unless_asked_otherwise(dataset, asked, started):
    assert task.resolve(Config(dataset=dataset, init=asked)).cell.network.init == started
