"""What both estimators share: fitting from the start, on a stream, or from where the last fit ended.

Invariant: a fitted estimator holds only NumPy arrays and plain values, so it can be pickled and copied.
"""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from mlp_jax.sklearn import fitting
from mlp_jax.sklearn.fitted import Fitted
from mlp_jax.sklearn.parameters import Asked


class MLP(BaseEstimator):
    """The base class of both estimators."""

    random_state: Any
    warm_start: Any
    early_stopping: Any
    validation_fraction: Any
    verbose: Any
    classes_: Any
    class_weight: Any
    scaling: Any
    output: Any
    _fitted: Fitted

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLP":
        """Train on all of X, y; with `warm_start` from where the last fit ended.

        Args:
            sample_weight: how much each row counts, in any unit; a weight of 2 is like having the row twice.

        Raises:
            ValueError: a parameter or the data are not allowed, or the loss was not finite.
        """
        warm = self.warm_start and hasattr(self, "_fitted")
        x, target = self._validated(X, y, reset=not warm)
        weight = self._weights(x, target, sample_weight)
        self._seed = seed(self.random_state)
        x, target, weight, held = self._divided(x, target, weight)
        if not warm:
            self._fitted = Fitted.of(self._parameters(), x, target, weight, self._class_count())
            self.loss_curve_, self.t_, scores = [], 0, []
        else:
            scores = self.validation_scores_ or []
        asked = self._fitted.asked(self._parameters(), len(x), weight)
        fit = self._train(asked, x, target, weight, held, self._fitted.start(asked, self._seed))
        self.n_iter_ = int(fit.epoch)
        self.validation_scores_ = scores + fit.scores[: self.n_iter_].tolist() if held else None
        self.best_validation_score_ = float(fit.best) if held else None
        self.best_loss_ = None if held else float(fit.best)
        if asked.rules.epochs == self.n_iter_ and asked.plan.cell.schedule == "constant":
            warnings.warn(
                f"the fit has not converged after max_iter={self.n_iter_} epochs; give more, or a schedule that ends "
                "there",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _go_on(self, X: Any, y: Any, sample_weight: Any, **classes: Any) -> "MLP":
        """Train one epoch on X, y, with a constant learning rate."""
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True; hold rows out yourself")
        first = not hasattr(self, "_fitted")
        x, target = self._validated(X, y, reset=first, stream=True, **classes)
        weight = self._weights(x, target, sample_weight)
        if first:
            self._seed = seed(self.random_state)
            self._fitted = Fitted.of(self._parameters(), x, target, weight, self._class_count())
            self.loss_curve_, self.t_, self.best_loss_ = [], 0, np.inf
            self.validation_scores_ = self.best_validation_score_ = None
        asked = self._fitted.asked(self._parameters(), len(x), weight, stream=True)
        asked = asked._replace(rules=asked.rules._replace(epochs=1), plan=_of_one_epoch(asked.plan))
        self._train(asked, x, target, weight, None, self._fitted.stream(asked, self._seed))
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self.best_loss_ = min(np.inf if self.best_loss_ is None else self.best_loss_, self.loss_)
        return self

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The matrices between layers, one (inputs, outputs) each, for X and y in their own units."""
        check_is_fitted(self)
        return [W for W, _ in self._fitted.layers()]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases of the layers, for X and y in their own units."""
        check_is_fitted(self)
        return [b for _, b in self._fitted.layers()]

    @property
    def n_layers_(self) -> int:
        """The number of layers, including that of the features."""
        return len(self.coefs_) + 1

    @property
    def n_outputs_(self) -> int:
        """The number of outputs."""
        return self.intercepts_[-1].shape[0]

    @property
    def out_activation_(self) -> str:
        """The name of the output layer's function."""
        check_is_fitted(self)
        return {"sigmoid": "logistic"}.get(name := self._fitted.cell.network.output, name)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _parameters(self) -> dict[str, Any]:
        return self.get_params(deep=False)

    def _train(self, asked: Asked, x: Any, target: Any, weight: Any, held: Any, state: Any) -> fitting.Fit:
        """Run a fit to its end and keep its result."""
        fit = self._fitted.train(asked, x, target, weight, held, state, self._seed, bool(self.verbose))
        epochs = int(fit.epoch)
        self.loss_curve_ = self.loss_curve_ + fit.losses[:epochs].tolist()
        self.loss_, self.t_ = self.loss_curve_[-1], self.t_ + epochs * len(x)
        if fit.state.failed >= 0:
            where = f"the loss was not finite at step {int(fit.state.failed)}"
            message = f"{where}; give a smaller learning_rate_init, or scale X"
            if not np.isfinite(fit.best) or not held:
                raise ValueError(message)
            warnings.warn(f"{message}: the best parameters until then are kept", ConvergenceWarning, stacklevel=3)
        return fit

    def _class_count(self) -> int:
        """Return the number of classes, 0 for numbers."""
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool, stream: bool = False, classes: Any = None) -> tuple:
        """Return X as an array, and y in the form that a network learns."""
        raise NotImplementedError

    def _weights(self, x: np.ndarray, target: np.ndarray, given: Any) -> np.ndarray | None:
        """Return the weights of rows, multiplied by those of their classes; None if all rows count the same."""
        weight = None if given is None else _check_sample_weight(given, x, dtype=np.float64, ensure_non_negative=True)
        if not self._class_count() or self.class_weight is None:
            return weight
        of_class = compute_sample_weight(self.class_weight, self.classes_[target])
        return of_class if weight is None else weight * of_class

    def _divided(self, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> tuple:
        """Hold out rows if early_stopping asks for it, and leave out rows of weight 0."""
        held = None
        if self.early_stopping:
            every = np.arange(len(x))
            rows, weight_left, out = held_out(self, every, target, weight, self._seed)
            held = (x[out], target[out], None if weight is None else weight[out])
            x, target, weight = x[rows], target[rows], weight_left
        if weight is not None and not weight.all():
            x, target, weight = x[weight > 0], target[weight > 0], weight[weight > 0]
        return x, target, weight, held


def held_out(
    estimator: Any, rows: np.ndarray, target: np.ndarray, weight: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Divide `rows`: return the rows that train, their weights, and the rows that are held out.

    Raises:
        ValueError: fewer than two rows would be held out, or a class has only one row.
    """
    own = getattr(estimator, "classes_", None)
    how = {"test_size": estimator.validation_fraction, "random_state": seed}
    places = np.arange(len(rows))
    left, out = train_test_split(places, **how, stratify=None if own is None else own[target].astype(str))
    if len(out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    return rows[left], None if weight is None else weight[left], rows[out]


def seed(random_state: Any) -> int:
    """Return the seed for a random state: a whole number is its own seed."""
    if isinstance(random_state, Integral) and 0 <= int(random_state) < 2**32:
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def dense(x: Any) -> np.ndarray:
    """Return a sparse matrix as a dense array, and an array as it is."""
    return x.toarray() if hasattr(x, "toarray") else x


def _of_one_epoch(plan: fitting.Plan) -> fitting.Plan:
    return fitting.Plan(cell=plan.cell, shuffled=plan.shuffled, early=False, room=1)
