"""Results per class against scikit-learn's."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics

from mlp_jax import Config, Dataset, train
from mlp_jax.training import classes, prediction


@pytest.mark.parametrize(
    ("k", "output"),
    [
        pytest.param(3, "softmax", marks=pytest.mark.slow),
        pytest.param(2, "sigmoid", marks=pytest.mark.slow),
        (2, "tanh"),
    ],
)
@pytest.mark.slow
def test_a_runs_results_are_those_of_scikit_learn(tmp_path, k, output):
    draw = np.random.default_rng(0)
    y = draw.integers(0, k, 200)
    x = draw.normal(size=(200, 3)) + y[:, None]
    np.savez(tmp_path / "d.npz", x=x, y=y)
    config = Config(dataset=str(tmp_path / "d.npz"), output=output, epochs=5.0, hidden=(8,), test=0.5)
    run = train(config, out=tmp_path / "run")
    answers = [prediction.predict(tmp_path / "run", index=index)[0] for index in range(0, 100, 5)]
    found = run.per_class("test")
    assert np.trace(found["confusion"]) == round(run.metrics["test_accuracy"] * 100)
    assert run.summary()["per_class"]["test"] == found
    twenty = dataclasses.replace(
        run.dataset, test=type(run.dataset.test)(run.dataset.test.x[::5], run.dataset.test.y[::5])
    )
    counts = classes.confusion(run.cell.network, run.params, twenty, twenty.test)
    truth, label = [answer.truth for answer in answers], [answer.label for answer in answers]
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(truth, label, labels=run.dataset.classes))


def test_precision_and_recall():
    draw = np.random.default_rng(0)
    truth, label = draw.integers(0, 4, 99), draw.integers(0, 4, 99)
    found = classes.results(metrics.confusion_matrix(truth, label), tuple("abcd"))
    np.testing.assert_allclose(list(found["precision"].values()), metrics.precision_score(truth, label, average=None))
    np.testing.assert_allclose(list(found["recall"].values()), metrics.recall_score(truth, label, average=None))


@pytest.mark.slow
def test_real_targets_have_no_classes():
    x = np.random.default_rng(0).normal(size=(40, 2))
    run = train(Config(steps=2, hidden=(4,)), dataset=Dataset.of(x, x[:, 0]))
    with pytest.raises(ValueError, match="no results per class, since its targets are real numbers"):
        run.per_class()
    assert "per_class" not in run.summary()
