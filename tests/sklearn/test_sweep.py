"""A search in one program finds what GridSearchCV finds over the same estimator."""

import warnings

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

from mlp_jax.machine.programs import shared
from mlp_jax.sklearn import MLPClassifier, MLPRegressor, SweepCV, fitting

IRIS, SPECIES = load_iris(return_X_y=True)
IRIS = IRIS.astype(np.float32)
SUGAR, PROGRESS = load_diabetes(return_X_y=True)
SUGAR = SUGAR.astype(np.float32)
GRID = {"learning_rate_init": [1e-3, 0.1], "alpha": [1e-4, 0.1]}
SMALL = {"hidden_layer_sizes": (8,), "random_state": 3, "max_iter": 6}
CHANGES = [
    {"schedule": "constant", "tol": 0.05, "n_iter_no_change": 1}, {"early_stopping": True}, {"batch_size": "full"},
    {"class_weight": "balanced"}, {"shuffle": False}, {"scaling": "none"},
]  # fmt: skip


def assert_same(a, b, tolerance=1e-9):
    """Compare two searches: names, types, values of all columns but the times."""
    assert list(a.cv_results_) == list(b.cv_results_)
    for name, column in b.cv_results_.items():
        if "time" in name:
            continue
        assert getattr(a.cv_results_[name], "dtype", None) == getattr(column, "dtype", None), name
        if name.endswith("_score"):
            np.testing.assert_allclose(a.cv_results_[name], column, atol=tolerance, err_msg=name)
        else:
            assert list(a.cv_results_[name]) == list(column)
    assert (a.best_params_, a.best_index_, a.n_splits_) == (b.best_params_, b.best_index_, b.n_splits_)
    assert a.best_score_ == pytest.approx(b.best_score_, abs=tolerance)


@pytest.mark.parametrize(
    "changes",
    [{}, *(pytest.param(changes, marks=pytest.mark.slow) for changes in CHANGES)],
)
def test_it_finds_what_a_grid_search_finds(changes):
    model = MLPClassifier(**SMALL | changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        searches = [
            kind(model, GRID, cv=4, return_train_score=True).fit(IRIS, SPECIES) for kind in (SweepCV, GridSearchCV)
        ]
    assert_same(*searches)
    np.testing.assert_array_equal(*(search.predict(IRIS) for search in searches))
    np.testing.assert_array_equal(*(search.classes_ for search in searches))


@pytest.mark.slow
def test_regressions_other_scores_groups_and_shapes():
    model = MLPRegressor(**SMALL)
    groups = np.arange(len(SUGAR)) % 8  # 276, 276 and 332 rows to train on: all up to the same power of two
    for scoring, grid, cv in [
        (None, GRID, KFold(3, shuffle=True, random_state=0)),
        ("neg_mean_absolute_error", GRID, 3),
        ("r2", [{"hidden_layer_sizes": [(4,), ()]}, {"activation": ["tanh"], "alpha": [0.1]}], GroupKFold(3)),
    ]:
        searches = [kind(model, grid, cv=cv, scoring=scoring) for kind in (SweepCV, GridSearchCV)]
        for search in searches:
            search.fit(SUGAR, PROGRESS, **({"groups": groups} if isinstance(cv, GroupKFold) else {}))
        assert_same(*searches, tolerance=1e-4)


def test_all_value_like_candidates_share_one_program():
    model = MLPClassifier(**SMALL | {"hidden_layer_sizes": (7,)})
    grid = GRID | {"random_state": [0, 1], "tol": [0.1, 0.2], "momentum": [0.5, 0.9]}
    search = SweepCV(model, grid, cv=KFold(4), refit=False).fit(IRIS, SPECIES)
    assert len(search.cv_results_["params"]) == 32
    from mlp_jax.machine import devices, programs

    there = [
        program
        for (function, key), program in programs._shared.items()
        if function is fitting._many and key[0].cell.network.hidden == (7,)
    ]
    assert len(there) == 1
    assert len(there[0].compiled) == 1
    assert devices.mesh().shape["trial"] >= 1
    assert shared


@pytest.mark.slow
def test_seeds_are_those_that_follow():
    model = MLPClassifier(**SMALL | {"max_iter": 2})
    grid = {"learning_rate_init": [0.01, 0.1]}
    several = SweepCV(model, grid, cv=3, n_seeds=2).fit(IRIS, SPECIES).cv_results_
    each = [SweepCV(model.set_params(random_state=seed), grid, cv=3).fit(IRIS, SPECIES).cv_results_ for seed in (3, 4)]
    for fold in range(3):
        name = f"split{fold}_test_score"
        np.testing.assert_allclose(several[name], (each[0][name] + each[1][name]) / 2)


def test_a_fit_that_diverges_has_the_error_score():
    from sklearn.exceptions import FitFailedWarning

    model = MLPClassifier(**SMALL | {"scaling": "none"})
    grid = {"learning_rate_init": [0.01, 1e20]}
    with pytest.warns(FitFailedWarning, match="of 3 of 6 fits was not finite"):
        search = SweepCV(model, grid, cv=3).fit(IRIS, SPECIES)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    assert search.best_index_ == 0
    with pytest.raises(ValueError, match="of 3 of 6 fits was not finite"):
        SweepCV(model, grid, cv=3, error_score="raise").fit(IRIS, SPECIES)


@pytest.mark.slow
def test_weights_reach_the_fits():
    weight = np.where(SPECIES == 2, 1e-6, 1.0)
    model = MLPClassifier(**SMALL | {"max_iter": 30})
    plain, weighted = (
        SweepCV(model, {"alpha": [1e-4]}, cv=3).fit(IRIS, SPECIES, sample_weight=w) for w in (None, weight)
    )
    assert weighted.best_score_ < plain.best_score_ - 0.2
    assert 2 not in weighted.predict(IRIS)


def test_what_it_does_not_search_is_said():
    with pytest.raises(ValueError, match="not MLPClassifier; use GridSearchCV"):
        SweepCV(neural_network.MLPClassifier(), GRID).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="give scoring one name or function"):
        SweepCV(MLPClassifier(), GRID, scoring=["accuracy", "f1_macro"]).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="n_seeds 0 is not allowed"):
        SweepCV(MLPClassifier(), GRID, n_seeds=0).fit(IRIS, SPECIES)
