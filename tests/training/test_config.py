"""What a run may be asked: every field of its kind and in its domain, in Python as on the command line."""

import dataclasses
import math

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from mlp_jax import optimizers
from mlp_jax.training import config, population, task
from mlp_jax.training.budget import evaluation_points, total_steps
from mlp_jax.training.config import HYPER, SPACINGS, Config

PART, SPLITS = "a fraction from 0 to below 1, or a count of examples", "one of train, validation, test"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": -1}, "batch size -1 is not allowed; give a whole number of at least 1, or one of full, auto"),
        ({"evaluations": 2.5}, "evaluations 2.5 is not allowed; give a whole number of at least 1"),
        ({"seed": 1.5}, "seed 1.5 is not allowed; give a whole number from 0 to 2**32 - 1"),
        ({"steps": 0.5}, "steps 0.5 is not allowed; give a whole number from 1 to 2**31 - 1"),
        ({"validation": "a"}, f"validation 'a' is not allowed; give {PART}"),
        ({"test": math.inf}, f"test inf is not allowed; give {PART}"),
        ({"noise_scale": "no"}, "noise_scale 'no' is not allowed; give true or false"),
        ({"hidden": 128}, "hidden 128 is not allowed; give a list, each entry a whole number of at least 1"),
        ({"learning_rate": "0.1"}, "learning_rate '0.1' is not allowed; give a number"),
        ({"l2": True}, "l2 True is not allowed; give a number"),
        ({"init_std": "wide"}, "init_std 'wide' is not allowed; give a positive number"),
        ({"scaling": "nuit"}, "unknown scaling 'nuit'; choose one of auto, none, standard, unit"),
        ({"evaluate_on": ("trian",)}, "unknown split 'trian'; choose one of test, train, validation"),
        ({"evaluate_on": "train"}, f"evaluate_on 'train' is not allowed; give a list, each entry {SPLITS}"),
        ({"activation": ["relu"]}, "activation ['relu'] is not allowed; give text"),
        ({"dataset": None}, "dataset None is not allowed; give text"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_beartype")
def test_a_field_of_another_kind_is_refused_in_one_sentence(fields, message):
    with pytest.raises(ValueError, match="^") as raised:
        Config(**fields)
    assert str(raised.value) == message


@pytest.mark.usefixtures("no_beartype")
def test_numbers_of_numpy_are_as_good_as_plain_ones():
    given = Config(hidden=np.array([8, 4]), learning_rate=np.float64(0.5), seed=np.uint32(3), batch_size=np.int64(8))
    plain = Config(hidden=(8, 4), learning_rate=0.5, seed=3, batch_size=8)
    assert given == plain
    assert repr(given) == repr(plain)


def test_every_classical_hyperparameter_is_a_field_and_every_other_is_in_hyper():
    """`float | None` is the annotation of hyper-parameters alone; their domain is in the optimizers' table."""
    classical = {name for row in optimizers.CLASSICAL.values() for name in row.hyperparameters}
    known = {*classical, *optimizers.LINKS, *optimizers.REGULARIZERS} - {"schedule_steps", "warmup_share"}
    assert {field.name for field in dataclasses.fields(Config) if field.type == float | None} == known
    assert {*HYPER, *optimizers.REGULARIZERS} == known
    given = Config(optimizer="ademamix", hyper={"alpha": 3}, beta1=0.5)
    asked = task.resolve(given)
    assert (asked.hyper()["alpha"], asked.hyper()["beta1"]) == (3.0, 0.5)
    assert config.from_dict(config.to_dict(given)) == given
    assert "hyper" not in config.to_dict(Config())  # as before there was such a field


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hyper": {"rho": 1.0}}, "optimizer 'momentum' with schedule 'cosine' has no hyper-parameter 'rho'; it has"),
        ({"hyper": {"momentum": 0.5}}, "hyper 'momentum' has an option of its own; give momentum there"),
        ({"hyper": {"l2": 0.5}}, "hyper 'l2' has an option of its own; give l2 there"),
        ({"hyper": {"schedule_steps": 5.0}}, "hyper 'schedule_steps' follows from the budget; leave it out"),
        ({"optimizer": "radam", "hyper": {"threshold": 3.0}}, "threshold 3.0 is not allowed; give a number of at lea"),
        ({"hyper": {"warmup_share": 0.1}, "warmup_steps": 5.0}, "warmup_steps and warmup_share are two ways"),
        ({"hyper": {"rho": "much"}}, "hyper rho 'much' is not allowed; give a number"),
        ({"hyper": 5}, "hyper 5 is not allowed; give a table"),
    ],
)
@pytest.mark.usefixtures("no_beartype")
def test_hyperparameters_without_a_field_are_checked_too(fields, message):
    with pytest.raises(ValueError, match=message):
        Config(**fields)


@given(st.sampled_from(SPACINGS), st.integers(1, 70), st.integers(1, 2**31 - 1) | st.integers(1, 90))
def test_every_run_is_evaluated_at_its_start_and_at_its_end(spacing, evaluations, total):
    points = evaluation_points(Config(spacing=spacing, evaluations=evaluations), total)
    assert (points[0], points[-1]) == (0, total)
    assert (np.diff(points) >= 1).all()
    assert len(points) <= evaluations + 1


@given(st.sampled_from(SPACINGS), st.integers(1, 70), st.floats(1e-3, 1e6))
def test_a_budget_in_seconds_is_evaluated_at_its_start_and_at_its_end(spacing, evaluations, seconds):
    points = evaluation_points(Config(spacing=spacing, evaluations=evaluations, seconds=seconds), None)
    assert (points[0], points[-1], len(points)) == (0, seconds, evaluations + 1)
    assert (np.diff(points) > 0).all()


def test_more_steps_than_a_program_can_count_are_refused():
    assert total_steps(Config(epochs=1.0), 2**31 - 1, 1) == 2**31 - 1
    assert total_steps(Config(epochs=1e308, steps=9), 1000, 1) == 9
    for epochs in (3e6, 1e308):
        with pytest.raises(ValueError, match=r"^epochs .* take more than 2\*\*31 - 1 steps of 1 examples; give fewer"):
            total_steps(Config(epochs=epochs), 1000, 1)


LINE = np.random.default_rng(0).normal(size=(60, 1))


@pytest.mark.parametrize("output", ["auto", "relu"])
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
@pytest.mark.slow
def test_defaults_train_an_exact_line_on_every_seed(tmp_path, output, optimizer):
    np.savez(tmp_path / "line.npz", x=LINE, y=100 + 12 * LINE[:, 0])
    config = Config(dataset=str(tmp_path / "line.npz"), output=output, optimizer=optimizer, evaluations=1)
    trained = population.train_many(config, {}, np.arange(20))
    assert trained.metrics["validation_r2"].min() > 0.99


MASKS, MASK_IDS = np.array([np.eye(8)[[k % 8] * 8] for k in range(800)], np.uint8), np.arange(800) % 8
DIGITS, DIGIT_IDS = load_digits(return_X_y=True)


@pytest.mark.parametrize(
    ("x", "y", "file", "accuracy"),
    [
        pytest.param(MASKS, MASK_IDS, "masks.npz", 1.0, marks=pytest.mark.slow),
        (MASKS.astype(bool), MASK_IDS, "bool.npz", 1.0),
        (DIGITS.astype(np.uint8), DIGIT_IDS, "digits.npz", 0.97),
        (DIGITS.astype(np.uint8), DIGIT_IDS, "digits.csv", 0.97),
    ],
)
def test_bytes_that_end_below_255_are_learnt(tmp_path, x, y, file, accuracy):
    """The mean of four seeds, by default: masks of 0 and 1, and a table of 0 to 16."""
    if file.endswith("npz"):
        np.savez(tmp_path / file, x=x, y=y)
    else:
        pandas.DataFrame(x).assign(y=y).to_csv(tmp_path / file, index=False)
    config = Config(dataset=str(tmp_path / file), column="y", validation=0.2, test=0, evaluations=1)
    assert population.train_many(config, {}, np.arange(4)).metrics["validation_accuracy"].mean() >= accuracy


def test_what_is_asked_for_is_not_changed_by_the_data(tmp_path):
    np.savez(tmp_path / "line.npz", x=LINE, y=40 + 12 * LINE[:, 0])
    name = str(tmp_path / "line.npz")
    resolved = task.resolve(Config(dataset=name))
    assert (resolved.hyper()["clip"], resolved.total) == (1.0, 200)
    assert "clip" not in task.resolve(Config(dataset=name, learning_rate=0.05)).hyper()
    assert "clip" not in resolved.hyper(learning_rate=0.05)
    assert task.resolve(Config(dataset=name, clip=3.0)).hyper()["clip"] == 3.0
    assert task.resolve(Config(dataset=name, epochs=2.0)).total == 3
    assert task.resolve(Config(dataset=name, steps=7)).total == 7
    digits = task.resolve(Config())
    assert "clip" not in digits.hyper()
    assert (digits.total, digits.cell.batch_size) == (2000, 32)


def test_the_default_batch_fits_few_rows_and_a_given_one_must(tmp_path):
    np.savez(tmp_path / "few.npz", x=LINE[:20], y=np.arange(20) % 2)
    assert task.resolve(Config(dataset=str(tmp_path / "few.npz"))).cell.batch_size == 14
    with pytest.raises(ValueError, match="batch size 32 is not allowed; give a whole number from 1 to 14"):
        task.resolve(Config(dataset=str(tmp_path / "few.npz"), batch_size=32))
