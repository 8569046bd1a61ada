"""Classes or numbers: what the values of a target are taken for, and why."""

import numpy as np
import pytest

from mlp_jax.data import DataError
from mlp_jax.data.target import taken

DRAW = np.random.default_rng(0)
REAL = DRAW.normal(size=400)


@pytest.mark.parametrize(
    ("y", "classes", "why"),
    [
        (np.arange(400) % 62, 62, "integers from 0 to 61"),
        (np.arange(400) % 62 + 1, 62, "integers from 1 to 62"),
        ((np.arange(400) % 62).astype(float), 0, "numbers: 62 different values"),
        (np.sign(REAL), 2, "2 different whole numbers"),
        ((REAL > 0).astype(float), 2, "2 different whole numbers"),
        (REAL > 0, 2, "true and false"),
        (np.arange(20), 0, "numbers: 20 different values in 20 rows"),
        (np.arange(400) % 7 + 3, 7, "7 different whole numbers; --task regression"),
        (REAL, 0, "numbers that are not whole"),
        (np.array(["b", "a"] * 9), 2, "2 different texts"),
    ],
)
def test_what_a_target_is_taken_for(y, classes, why):
    found = taken("y", y, "auto")
    assert len(found.classes) == classes
    assert found.why.startswith(why)


def test_the_task_decides_where_it_is_given():
    quality = np.arange(400) % 7 + 3
    number = taken("y", quality, "regression")
    np.testing.assert_array_equal(number.y, quality)
    assert (number.classes, number.why) == ((), "task regression was asked for")
    assert len(taken("y", (np.arange(400) % 62).astype(float), "classification").classes) == 62
    assert taken("y", np.array([-1.0, 1.0] * 5), "auto").classes == ("-1", "1")
    with pytest.raises(DataError, match="holds text .'a'., and task regression needs numbers"):
        taken("y", np.array(["b", "a"] * 9), "regression")


def test_text_with_nearly_as_many_values_as_rows_is_not_classes_in_silence():
    names = np.array([f"n{k}" for k in range(300)])
    with pytest.raises(DataError, match="300 different texts in 300 rows .*--task classification"):
        taken("y", names, "auto")
    assert len(taken("y", names, "classification").classes) == 300


@pytest.mark.parametrize("task", ["auto", "regression", "classification"])
def test_one_value_is_no_target(task):
    with pytest.raises(DataError, match="y has one value only .1.5."):
        taken("y", np.full(9, 1.5), task)
