"""Arrays, data frames and sparse matrices in memory."""

import dataclasses
import gc

import numpy as np
import pandas
import pytest
from scipy import sparse

from mlp_jax import Config, Dataset, Study, train, train_many
from mlp_jax import study as studies
from mlp_jax.data import DataError, load

X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
FORMS = {"array": X, "frame": pandas.DataFrame(X), "sparse": sparse.csr_matrix(X), "list": X.tolist()}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_the_file_they_would_be(tmp_path, form):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    made, read = Dataset.of(FORMS[form], pandas.Series(Y)), load(str(tmp_path / "d.npz"))
    assert made.fingerprint == read.fingerprint
    assert (made.classes, made.task) == (read.classes, read.task)


def test_the_name_is_the_content_and_finds_it():
    data, same, other = Dataset.of(X, Y), Dataset.of(X.copy(), Y), Dataset.of(X + 1e-3, Y)
    assert data.name == same.name != other.name
    by_name = train(Config(dataset=data.name, epochs=1.0, hidden=(4,)))
    given = train(Config(epochs=1.0, hidden=(4,)), dataset=data)
    assert by_name.metrics == given.metrics
    name = other.name
    del other
    gc.collect()
    with pytest.raises(DataError, match="is not in this process; make it again with Dataset.of"):
        load(name)


@pytest.mark.slow
def test_many_trials_and_a_study_take_it_by_its_name(tmp_path):
    data = Dataset.of(X, Y, validation=12)
    trained = train_many(Config(dataset=data.name, epochs=1.0, hidden=(4,)), {"learning_rate": [0.1, 0.2]}, [0, 1])
    assert trained.task.dataset is data
    assert np.isfinite(trained.metrics["validation_loss"]).all()
    workload = Config(dataset=data.name, hidden=(4,))
    asked = Study(workload=workload, optimizers=("sgd",), batch_sizes=(8,), max_steps=8, rounds=1, fresh_seeds=1)
    assert studies.run(asked, tmp_path / "study").made >= 2
    assert studies.run(asked, tmp_path / "study") == (True, 0)
    other = Dataset.of(X, (Y + 1) % 3, validation=12)
    changed = dataclasses.replace(asked, workload=dataclasses.replace(workload, dataset=other.name))
    with pytest.raises(ValueError, match="another study"):
        studies.run(changed, tmp_path / "study")


def test_parts_of_their_own_and_texts():
    texts = np.array(["a", "b", "c"], object)[Y]
    data = Dataset.of(X, texts, test=(X[:5], texts[:5]), validation=(X[5:9], texts[5:9]))
    assert data.classes == ("a", "b", "c")
    assert [len(part.y) for part in (data.train, data.validation, data.test)] == [60, 4, 5]
    np.testing.assert_allclose(data.test.x, X[:5], rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:5], r"x has shape \(60, 4\) and y \(5,\)"),
        (X[:, 0], Y, "give a row of x for each y"),
        (X.astype(str), Y, "x holds <U"),
        (pandas.DataFrame({"a": ["u", "v"] * 30}), Y, "no numbers|x holds"),
        (np.where(X > 1, np.inf, X), Y, "not finite"),
        (X, Y * 0, "one value only"),
        (X[:, :, None, None], Y[:7], "give a row of x for each y"),
    ],
)
def test_what_does_not_fit_is_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        Dataset.of(x, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), r"weight has shape \(5,\)"),
        (-np.ones(60), "weight goes from -1 to -1; give numbers of at least 0"),
        (np.zeros(60), "not all 0"),
        (np.full(60, np.nan), "give a finite number for each of 60 rows"),
        (["a"] * 60, "weight has shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weight, message):
    with pytest.raises(DataError, match=message):
        Dataset.of(X, Y, weight=weight)


def test_examples_of_little_weight_are_not_learnt():
    y = np.where(X[:, 0] > 0, "right", "left")
    wrong = np.concatenate([y, np.where(X[:, 0] > 0, "left", "right")])
    weight = np.repeat([1.0, 1e-6], 60)
    data = Dataset.of(np.concatenate([X, X]), wrong, weight=weight, validation=0, test=(X, y))
    run = train(Config(dataset=data.name, hidden=(8,), steps=300))
    assert run.metrics["test_accuracy"] > 0.95
    assert run.metrics["train_accuracy"] < 0.6  # metrics count every example once
