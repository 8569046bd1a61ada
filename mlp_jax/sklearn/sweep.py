"""`SweepCV`: a grid search that trains all candidates on all folds in one compiled program.

Invariant: each fit equals that of the estimator on the fold alone, within rounding. Candidates that differ in what
decides a program (widths, activation, solver, batch size, …) need a program each.
"""

import time
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import indexable

from mlp_jax.machine import devices
from mlp_jax.sklearn import lanes, tables
from mlp_jax.sklearn.mlp import MLP


class SweepCV(GridSearchCV):
    """scikit-learn's `GridSearchCV` for the estimators here: one compiled program trains all candidates on all folds.

    Attributes and methods are those of GridSearchCV. `cv_results_` has the means over seeds; the time of a fit is the
    time of all fits divided by their number. Fits on the folds are in 32 bits, whatever the type of X. Call
    `mlp_jax.devices.start_cpu_devices()` before anything else runs on JAX, so that all cores take part.

    Each fit equals that of GridSearchCV, with one exception: if the folds' numbers of training rows lie on both sides
    of a power of two, the smaller folds see their rows in another order.

    >>> from sklearn.datasets import load_iris
    >>> from mlp_jax.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> search = SweepCV(MLPClassifier(random_state=0), {"learning_rate_init": [1e-4, 0.1]}, cv=3).fit(X, y)
    >>> search.best_params_
    {'learning_rate_init': 0.1}

    Args:
        estimator: an MLPClassifier or MLPRegressor of mlp_jax.
        param_grid: values to try, by parameter; or several such dictionaries.
        scoring: a score's name or function; None is accuracy, or R².
        refit: fit the best candidate on all rows afterwards; or a function from `cv_results_` to the best one's number.
        cv: number of folds, or a splitter that makes them.
        n_seeds: number of fits of each candidate on each fold, with `random_state` and the numbers after it as seeds.
        error_score: score of a fit whose loss was not finite, or "raise".
        return_train_score: also score the rows that were trained on.
    """

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        refit=True,
        cv=None,
        verbose=0,
        n_seeds=1,
        error_score=np.nan,
        return_train_score=False,
    ):
        how = {"scoring": scoring, "refit": refit, "cv": cv, "verbose": verbose, "error_score": error_score}
        super().__init__(estimator, param_grid, return_train_score=return_train_score, **how)
        self.n_seeds = n_seeds

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any = None, *, groups: Any = None, sample_weight: Any = None
    ) -> "SweepCV":
        """Train every candidate on every fold, and the best one on all rows.

        Raises:
            ValueError: the estimator is not one of mlp_jax, a parameter or the data are not allowed, or `scoring` names
                several scores.
        """
        self._check()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX may have started with fewer devices
            devices.start_cpu_devices()
        X, y, groups = indexable(X, y, groups)
        cv: Any = check_cv(self.cv, y, classifier=is_classifier(self.estimator))  # pyright: ignore[reportArgumentType]
        folds = list(cv.split(X, y, groups))
        candidates = list(ParameterGrid(self.param_grid))
        asked = [_copy(self.estimator).set_params(**params) for params in candidates]
        self.scorer_, self.multimetric_ = check_scoring(self.estimator, self.scoring), False
        begin = time.perf_counter()
        base, keep = _copy(self.estimator), not self._scored_on_the_way(y)
        x, target = base._validated(X, y, reset=True)
        how = {"seeds": self.n_seeds, "keep": keep, "learned": self.return_train_score}
        trained = lanes.train(asked, base, x, target, sample_weight, folds, **how)
        fitted = time.perf_counter()
        tested, training = trained.tested, trained.trained
        if keep:
            scorer: Any = self.scorer_
            of = lambda part: trained.scores(scorer, asked, base, X, y, [fold[part] for fold in folds])
            tested, training = of(1), of(0) if self.return_train_score else training
        times = np.array([fitted - begin, time.perf_counter() - fitted]) / tested.size
        scores = {"test": self._filled(tested)} | ({"train": training} if self.return_train_score else {})
        self.cv_results_, self.n_splits_ = tables.results(candidates, scores, times), len(folds)
        self._choose(candidates)
        if self.refit:
            begin = time.perf_counter()
            self.best_estimator_ = _copy(self.estimator).set_params(**candidates[self.best_index_])
            self.best_estimator_.fit(X, y, sample_weight=sample_weight)
            self.refit_time_ = time.perf_counter() - begin
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _check(self) -> None:
        if not isinstance(self.estimator, MLP):
            raise ValueError(
                f"SweepCV searches over mlp_jax's MLPClassifier or MLPRegressor, not {type(self.estimator).__name__}; "
                "use GridSearchCV, or scale inside by the estimator's scaling"
            )
        if not (self.scoring is None or isinstance(self.scoring, str) or callable(self.scoring)):
            raise ValueError("SweepCV has one score; give scoring one name or function, or use GridSearchCV")
        if self.n_seeds < 1:
            raise ValueError(f"n_seeds {self.n_seeds!r} is not allowed; give a whole number of at least 1")

    def _scored_on_the_way(self, y: Any) -> bool:
        """Tell whether the score is accuracy, or R² of one number per row: these need no predictions on the host."""
        usual = (None, "accuracy") if is_classifier(self.estimator) else (None, "r2")
        return self.scoring in usual and (is_classifier(self.estimator) or np.ndim(y) == 1)

    def _filled(self, scores: np.ndarray) -> np.ndarray:
        """Return scores with `error_score` in place of missing ones, and warn of these."""
        failed = ~np.isfinite(scores)
        if failed.any() and isinstance(self.error_score, str):
            raise ValueError(f"the loss of {failed.sum()} of {failed.size} fits was not finite; try smaller rates")
        if failed.any():
            warnings.warn(
                f"the loss of {failed.sum()} of {failed.size} fits was not finite: their score is {self.error_score}",
                FitFailedWarning,
                stacklevel=3,
            )
        return np.where(failed, self.error_score, scores)

    def _choose(self, candidates: list[dict]) -> None:
        results = self.cv_results_
        if callable(self.refit):
            self.best_index_ = int(self.refit(results))
        else:
            self.best_index_ = int(results["rank_test_score"].argmin())
            self.best_score_ = float(results["mean_test_score"][self.best_index_])
        self.best_params_ = candidates[self.best_index_]


def _copy(estimator: Any) -> Any:
    """Return an estimator with the same parameters, unfitted."""
    return clone(estimator)
