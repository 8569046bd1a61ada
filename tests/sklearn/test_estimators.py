"""Estimators fit as mlp_jax trains and as scikit-learn's are used: weights, streams, warm starts, early ends."""

import copy
import pickle
import warnings

import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn import neural_network
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from mlp_jax import Config, Dataset, optimizers, predict, train
from mlp_jax.losses import RegressionSums
from mlp_jax.sklearn import MLPClassifier, MLPRegressor, fitting

IRIS, SPECIES = load_iris(return_X_y=True)
SUGAR, PROGRESS = load_diabetes(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0}
CONSTANT = {"schedule": "constant", "tol": 0.0, "n_iter_no_change": np.inf}


def fitted(kind=MLPClassifier, X=IRIS, y=SPECIES, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(**SMALL | changes).fit(X, y)


def test_a_fit_is_the_run_of_its_config():
    x = IRIS.astype(np.float32)
    data = Dataset.of(x, SPECIES, validation=0, test=0)
    config = Config(dataset=data.name, hidden=(8,), batch_size=32, steps=20 * 5, l2=1e-4 / 32, evaluations=1)
    ours, run = fitted(X=x, max_iter=20), train(config)
    for W, b, layer in zip(ours._fitted.params, ours._fitted.params, run.params):
        np.testing.assert_allclose(W.W, layer.W, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(b.b, layer.b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_run_on_a_table_predicts_new_rows_as_a_pipeline_of_one_hot_categories(tmp_path):
    """The run lies elsewhere, its table is gone, and the new rows have their columns in another order."""
    draw = np.random.default_rng(0)
    frame = pandas.DataFrame({"age": draw.integers(18, 90, 260), "town": draw.choice(["Rome", "Oslo", "Bern"], 260)})
    frame = frame.assign(height=draw.normal(1.7, 0.1, 260).round(2), pet=draw.choice(["cat", "dog"], 260))
    number = frame["age"] / 20 + 2 * (frame["town"] == "Rome") - (frame["pet"] == "cat") + draw.normal(0, 0.5, 260)
    frame["kind"] = np.array(["low", "middle", "high"])[np.digitize(number, [2, 4])]
    known, new = frame[:200], frame[200:].drop(columns="kind")
    known.to_csv(tmp_path / "known.csv", index=False)
    config = Config(
        dataset=str(tmp_path / "known.csv"), column="kind", validation=0, test=0, hidden=(8,), steps=20 * 7,
        l2=1e-4 / 32, evaluations=1,
    )  # fmt: skip
    train(config, out=tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").rename(tmp_path / "elsewhere/moved")
    (tmp_path / "known.csv").unlink()
    new[["pet", "height", "town", "age"]].to_csv(tmp_path / "new.csv", index=False)
    answers = predict(tmp_path / "elsewhere/moved", file=tmp_path / "new.csv")

    encode = OneHotEncoder(sparse_output=False, dtype=np.float32)
    as_number = FunctionTransformer(lambda column: column.astype(np.float32))
    kinds = {"age": as_number, "town": encode, "height": as_number, "pet": encode}
    columns = make_column_transformer(*((kind, [name]) for name, kind in kinds.items()))
    pipe = make_pipeline(columns, MLPClassifier(**SMALL, max_iter=20)).fit(known[list(kinds)], known["kind"])
    assert [answer.label for answer in answers] == pipe.predict(new).tolist()
    assert len(set(pipe.predict(new))) == 3
    shares = [[answer.probabilities[name] for name in pipe.classes_] for answer in answers]
    np.testing.assert_allclose(shares, pipe.predict_proba(new), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "y"),
    [
        (MLPClassifier, SPECIES),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in ((MLPClassifier, SPECIES > 0), (MLPRegressor, SPECIES))
        ),
    ],
)
@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
def test_coefs_are_those_of_scikit_learns_network_on_unscaled_data(kind, y, dtype):
    ours = fitted(kind, (IRIS * 100 + 7).astype(dtype), y, max_iter=3)
    theirs = getattr(neural_network, kind.__name__)(hidden_layer_sizes=(8,), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(IRIS * 100 + 7, y)
    theirs.coefs_, theirs.intercepts_ = (
        [a.astype(np.float64) for a in part] for part in (ours.coefs_, ours.intercepts_)
    )
    method = "predict_proba" if kind is MLPClassifier else "predict"
    x = IRIS * 100 + 7
    np.testing.assert_allclose(
        getattr(ours, method)(x), getattr(theirs, method)(x), rtol=2e-3 if dtype == np.float32 else 1e-9
    )
    assert {array.dtype for array in (*ours.coefs_, *ours.intercepts_)} == {np.dtype(dtype)}
    assert (ours.n_layers_, ours.out_activation_, ours.n_outputs_) == (3, theirs.out_activation_, theirs.n_outputs_)


@pytest.mark.slow
@pytest.mark.parametrize("solver", optimizers.OPTIMIZERS)
def test_every_optimizer_fits(solver):
    """At its own rate: 4,000 steps, since 200 epochs of 4 steps are few for the rate of a `sign` or of an Adam."""
    assert fitted(solver=solver, learning_rate_init=None, max_iter=1000).score(IRIS, SPECIES) > 0.85


@pytest.mark.slow
def test_defaults_fit():
    assert fitted(hidden_layer_sizes=(100,)).score(IRIS, SPECIES) > 0.97
    assert fitted(MLPRegressor, SUGAR, PROGRESS).score(SUGAR, PROGRESS) > 0.5


def test_weights_are_repeats_and_zeros_are_absent():
    weight = np.arange(len(IRIS)) % 3
    many = np.repeat(np.arange(len(IRIS)), weight)
    how = SMALL | {"batch_size": "full", "max_iter": 30}
    once = MLPClassifier(**how).fit(IRIS, SPECIES, sample_weight=weight)
    again = MLPClassifier(**how).fit(IRIS[many], SPECIES[many])
    np.testing.assert_allclose(once.predict_proba(IRIS), again.predict_proba(IRIS), rtol=1e-6)
    for bad, why in ((-weight - 1, "[Nn]egative"), (0 * weight, "at least one non-zero")):
        with pytest.raises(ValueError, match=why):
            MLPClassifier(**how).fit(IRIS, SPECIES, sample_weight=bad)


@pytest.mark.slow
def test_balanced_classes_count_the_same():
    rare = np.r_[0:50, 50:55]
    X, y = IRIS[50:][rare], np.where(rare < 50, "common", "rare")
    plain, even = (fitted(X=X, y=y, class_weight=weight, max_iter=5) for weight in (None, "balanced"))
    assert (even.predict(IRIS[100:]) == "rare").mean() > (plain.predict(IRIS[100:]) == "rare").mean() + 0.2


def test_a_stream_is_a_fit_of_as_many_epochs():
    whole = fitted(max_iter=7, **CONSTANT)
    stream = MLPClassifier(**SMALL, **CONSTANT)
    for _ in range(7):
        stream.partial_fit(IRIS, SPECIES, classes=[0, 1, 2])
    np.testing.assert_array_equal(stream.predict_proba(IRIS), whole.predict_proba(IRIS))
    np.testing.assert_array_equal(stream.loss_curve_, whole.loss_curve_)
    assert (stream.n_iter_, stream.t_) == (whole.n_iter_, whole.t_) == (7, 7 * 150)


def test_a_stream_may_change_its_length_and_bring_classes_later():
    stream = MLPClassifier(**SMALL).partial_fit(IRIS[:60], SPECIES[:60], classes=[0, 1, 2])
    stream.partial_fit(IRIS[100:101], SPECIES[100:101])
    assert stream.predict_proba(IRIS).shape == (150, 3)
    with pytest.raises(ValueError, match="are not those of the first call"):
        stream.partial_fit(IRIS, SPECIES, classes=[0, 1])
    with pytest.raises(ValueError, match="which classes does not name"):
        stream.partial_fit(IRIS, SPECIES + 1)
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(IRIS, SPECIES, classes=[0, 1, 2])


def test_a_warm_start_begins_where_the_last_fit_ended():
    model = fitted(max_iter=10, warm_start=True)
    first = model.loss_curve_[0]
    model.fit(IRIS, SPECIES)
    assert len(model.loss_curve_) == 20
    assert model.loss_curve_[10] < first / 2
    with pytest.raises(ValueError, match=r"Previously got \[0 1 2\], `y` has \[0 1\]"):
        model.fit(IRIS[:100], SPECIES[:100])
    cold = fitted(max_iter=5)
    np.testing.assert_array_equal(clone(cold).fit(IRIS, SPECIES).predict_proba(IRIS), cold.predict_proba(IRIS))


@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, SPECIES.astype(str)), (MLPRegressor, SPECIES)])
def test_an_early_end_returns_to_the_best(kind, y):
    model = fitted(kind, y=y, early_stopping=True, max_iter=400, learning_rate_init=0.05, validation_fraction=0.3)
    assert model.n_iter_ < 400
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    from sklearn.model_selection import train_test_split

    how = {"test_size": 0.3, "random_state": 0, "stratify": y if kind is MLPClassifier else None}
    _, X, _, held = train_test_split(IRIS, y, **how)
    assert model.score(X, held) == pytest.approx(model.best_validation_score_, abs=1e-6)


def test_the_loss_ends_a_fit_of_constant_rate_and_a_budget_is_warned_of():
    ended = fitted(schedule="constant", tol=0.01, n_iter_no_change=3, max_iter=500)
    assert ended.n_iter_ < 500
    improved = np.minimum.accumulate(ended.loss_curve_)[-5] - np.min(ended.loss_curve_[-4:])
    assert improved < 0.01
    with pytest.warns(ConvergenceWarning, match="has not converged after max_iter=2 epochs"):
        MLPClassifier(**SMALL, schedule="constant", max_iter=2).fit(IRIS, SPECIES)


def test_it_pickles_copies_and_searches():
    model = fitted(max_iter=3)
    for same in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(same.predict_proba(IRIS), model.predict_proba(IRIS))
        same.partial_fit(IRIS, SPECIES)
    search = GridSearchCV(MLPClassifier(**SMALL), {"learning_rate_init": [1e-5, 0.05]}, cv=3).fit(IRIS, SPECIES)
    assert search.best_params_ == {"learning_rate_init": 0.05}
    assert cross_val_score(MLPRegressor(**SMALL), SUGAR, PROGRESS, cv=3).mean() > 0.3


def test_what_people_pass():
    frame = pandas.DataFrame({"size": IRIS[:, 0], "place": np.where(SPECIES == 1, "north", "south")})
    names = np.array(["setosa", "versicolor", "virginica"], object)[SPECIES]
    encoder = make_column_transformer((OneHotEncoder(), ["place"]), remainder="passthrough")
    pipe = make_pipeline(encoder, MLPClassifier(**SMALL)).fit(frame, names)
    assert set(pipe.predict(frame)) == set(names)
    assert pipe.score(frame, names) > 0.9
    dense = fitted(max_iter=3)
    np.testing.assert_allclose(
        dense.predict_proba(sparse.csr_matrix(IRIS)), fitted(X=sparse.csr_array(IRIS), max_iter=3).predict_proba(IRIS)
    )
    columns = pandas.DataFrame(IRIS, columns=list("abcd"))
    assert list(fitted(X=columns).feature_names_in_) == list("abcd")
    two = fitted(MLPRegressor, y=IRIS[:, :2] @ [[1, 2], [3, 4]])
    assert two.predict(IRIS).shape == (150, 2)
    assert two.score(IRIS, IRIS[:, :2] @ [[1, 2], [3, 4]]) > 0.95
    assert fitted(y=np.zeros(150)).predict(IRIS).tolist() == [0] * 150


@pytest.mark.slow
def test_time_stamps_and_large_numbers_are_scaled_in_64_bits():
    t = 1_700_000_000_000 + 60.0 * np.arange(1000)[:, None]
    assert fitted(MLPRegressor, t, np.arange(1000) / 1000).score(t, np.arange(1000) / 1000) > 0.99
    assert fitted(MLPRegressor, SUGAR, np.maximum(PROGRESS, 0), output="relu").score(SUGAR, PROGRESS) > 0.4


@pytest.mark.usefixtures("no_beartype")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "lbfgs"}, "unknown optimizer 'lbfgs'; choose one of"),
        ({"solver": "sgd", "momentum": 0.9}, "optimizer 'sgd' has no hyper-parameter 'momentum'|momentum"),
        ({"batch_size": 0}, "batch_size 0 is not allowed"),
        ({"batch_size": "some"}, "unknown batch_size 'some'"),
        ({"scaling": "robust"}, "unknown scaling 'robust'"),
        ({"hidden_layer_sizes": (0,)}, "hidden width 0 is not allowed"),
        ({"hyper": {"rho": 1.0}}, "rho"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
        ({"learning_rate_init": -1.0}, "learning_rate"),
        ({"learning_rate_init": 1e20, "scaling": "none"}, "the loss was not finite at step"),
    ],
)
def test_what_is_not_allowed_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**SMALL | changes).fit(IRIS, SPECIES)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_values_beyond_what_can_be_scaled_are_refused(kind):
    X = np.finfo(np.float64).max * np.random.default_rng(0).uniform(size=(10, 2))
    with pytest.raises(ValueError, match="X holds values that are too large once they are scaled"):
        kind().fit(X, np.arange(10) % 2)


def test_a_fit_that_diverges_keeps_what_it_had():
    how = SMALL | {"activation": "identity", "solver": "sgd", "early_stopping": True, "n_iter_no_change": np.inf}
    how |= {"init": "he"}
    with pytest.warns(ConvergenceWarning, match="not finite at step 7.* the best parameters until then are kept"):
        model = MLPRegressor(**how, learning_rate_init=0.2).fit(IRIS, SPECIES)
    assert np.isfinite(model.validation_scores_).tolist() == [True, False]
    assert model.best_validation_score_ == model.validation_scores_[0]
    assert np.isfinite(model.predict(IRIS)).all()


@pytest.mark.parametrize("predicted", [[7.0, 7.0, 8.0], [7.0, 7.0, 7.0], [7.0, 7.0, np.nan]])
def test_the_score_of_equal_targets_is_scikit_learns(predicted):
    wrong = np.float32(predicted) - 7
    sums = (3, np.nan, abs(wrong).sum(), (wrong**2).sum(), 0, 0)
    score = fitting.scored(RegressionSums(*map(jnp.float32, sums)))
    expected = np.nan if np.isnan(wrong).any() else r2_score(np.full(3, 7.0), predicted)
    np.testing.assert_array_equal(score, expected)


def test_a_small_probability_keeps_its_digits():
    model = fitted(X=IRIS[:100].astype(np.float32), y=SPECIES[:100], max_iter=40)
    (W, V), (b, c) = model.coefs_, model.intercepts_
    z = np.maximum(IRIS @ W + b, 0) @ V + c
    probability = model.predict_proba(IRIS.astype(np.float32))
    assert probability.min() < np.finfo(np.float32).eps / 2
    np.testing.assert_allclose(probability, expit(np.column_stack([-z, z])), rtol=1e-3)


def test_a_class_of_one_row_can_not_be_held_out():
    with pytest.raises(ValueError, match=r"only 1 member.*Classes with too few members are: \['1'\]"):
        MLPClassifier(early_stopping=True).fit([[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1])


def test_a_batch_size_beyond_the_data_is_all_of_them():
    with pytest.warns(UserWarning, match="batch_size 500 is more than the 150 examples"):
        large = MLPClassifier(**SMALL, batch_size=500, max_iter=3).fit(IRIS, SPECIES)
    np.testing.assert_array_equal(large.predict_proba(IRIS), fitted(batch_size="full", max_iter=3).predict_proba(IRIS))


def test_verbose_changes_no_number(capsys):
    told = fitted(verbose=True, max_iter=4)
    assert capsys.readouterr().out.count("Iteration") == 4
    np.testing.assert_array_equal(told.loss_curve_, fitted(max_iter=4).loss_curve_)


def test_another_length_in_the_same_power_of_two_compiles_nothing():
    from mlp_jax.machine.programs import shared

    X, y = load_digits(return_X_y=True)
    first = fitted(X=X[:200], y=y[:200], max_iter=2)
    program = shared(fitting._alone, fitting.Plan(cell=first._fitted.cell, shuffled=True, early=False, room=2))
    before = len(program.compiled)
    assert before >= 1
    fitted(X=X[:255], y=y[:255], max_iter=2, learning_rate_init=0.01, alpha=0.1)
    assert len(program.compiled) == before
