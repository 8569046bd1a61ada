"""`MLPClassifier` and `MLPRegressor`: like scikit-learn's estimators of these names, but fitted by mlp_jax.

Invariant: parameters are kept as they were given; they are interpreted and checked only when an estimator is fitted.
"""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from mlp_jax.sklearn.mlp import MLP, dense


class MLPClassifier(ClassifierMixin, MLP):
    """A scikit-learn estimator that predicts classes by a multi-layer perceptron.

    Parameters with scikit-learn's names mean the same as there. X is standardised inside (`scaling`), the solver is any
    of mlp_jax's optimizers, and `schedule` says how the learning rate falls until the end of `max_iter` epochs. The
    loss can end a fit early, as in scikit-learn, only if the rate is constant. Everything is computed in the type of X;
    float32 takes half the time.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(random_state=0).fit(X, y).score(X, y) > 0.95
    True

    Args:
        hidden_layer_sizes: widths of the hidden layers; () is logistic regression.
        activation: relu, tanh, logistic, identity or gelu.
        solver: any of mlp_jax's optimizers, such as sgd, momentum, nesterov, rmsprop, adam, adamw, lion, muon.
        alpha: adds alpha/2 · |W|² / batch size to the loss, as in scikit-learn.
        batch_size: auto is 32, or all rows if there are fewer; full is all rows.
        learning_rate_init: None is the solver's own default; so it is for momentum, beta_1, beta_2 and epsilon.
        schedule: cosine, linear, exponential, step or constant; auto is cosine, constant for the schedule-free solvers.
        max_iter: number of epochs at most; None is 20, or as many as 2,000 steps take (numbers: 30, or 200).
        shuffle: whether each epoch has an order of its own.
        random_state: seed of the weights, the order of the rows, and the rows that are held out.
        tol, n_iter_no_change: a fit ends once the loss (early_stopping: the score) has not improved by `tol` for more
            than so many epochs; with a falling schedule, the loss does not end a fit.
        early_stopping: hold out `validation_fraction` of the rows, and keep the parameters that score best on them.
        warm_start: begin a fit with the parameters of the last fit.
        hyper: any other hyper-parameters, with mlp_jax's names: weight_decay, clip, warmup_steps, decay, …
        init: how weights start: he, glorot (which is what auto means), lecun, truncated_normal.
        scaling: standard gives each feature mean 0 and standard deviation 1; none leaves the features as they are.
        class_weight: balanced, or a dictionary from a class to its weight.
        label_smoothing: share of a label that is spread over all classes.
        verbose: print the loss of each epoch.
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="momentum",
        alpha=0.0001,
        batch_size="auto",
        learning_rate_init=None,
        schedule="auto",
        max_iter=None,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=None,
        beta_1=None,
        beta_2=None,
        epsilon=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        hyper=None,
        init="auto",
        scaling="standard",
        class_weight=None,
        label_smoothing=None,
    ):
        self.hidden_layer_sizes, self.activation, self.solver = hidden_layer_sizes, activation, solver
        self.alpha, self.batch_size, self.learning_rate_init = alpha, batch_size, learning_rate_init
        self.schedule, self.max_iter, self.shuffle, self.random_state = schedule, max_iter, shuffle, random_state
        self.tol, self.verbose, self.warm_start = tol, verbose, warm_start
        self.momentum, self.beta_1, self.beta_2, self.epsilon = momentum, beta_1, beta_2, epsilon
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_iter_no_change, self.hyper, self.init, self.scaling = n_iter_no_change, hyper, init, scaling
        self.class_weight, self.label_smoothing = class_weight, label_smoothing

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> "MLP":
        """Train one epoch on X, y, starting from the last call's parameters; the learning rate is constant.

        With scaling standard, the constants are computed from the rows of the first call.

        Args:
            classes: all classes that will ever occur; needed in the first call.

        Raises:
            ValueError: as `fit`; or early_stopping is asked for, or the classes differ from those of the first call.
        """
        return self._go_on(X, y, sample_weight, classes=classes)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row."""
        number = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[number]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each row."""
        check_is_fitted(self)
        return self._fitted.outputs(validate_data(self, X, accept_sparse="csr", reset=False))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of each class's probability for each row."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _class_count(self) -> int:
        return len(self.classes_)

    def _validated(self, X: Any, y: Any, *, reset: bool, stream: bool = False, classes: Any = None) -> tuple:
        """Return X as an array, and y as the numbers of its classes."""
        x, y = validate_data(self, X, y, accept_sparse="csr", reset=reset, dtype=[np.float64, np.float32])
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if stream and reset and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit; give all that there will be")
        there = np.unique(y)
        if reset:
            self.classes_ = there if classes is None else unique_labels(classes)
        elif stream and classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes {classes!r} are not those of the first call to partial_fit, {self.classes_}")
        elif not stream and not np.array_equal(there, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {there}"
            )
        if not np.isin(there, self.classes_).all():
            raise ValueError(
                f"y has classes {np.setdiff1d(there, self.classes_)}, which classes does not name; add them"
            )
        return dense(x), np.searchsorted(self.classes_, y).astype(np.int32)


class MLPRegressor(RegressorMixin, MLP):
    """A scikit-learn estimator that predicts one or several numbers for each row by a multi-layer perceptron.

    It is like `MLPClassifier`, with two differences: inside, y is standardised as X is, and `loss_curve_` is the loss
    of standardised y; if no learning rate is given, the gradient is clipped at norm 1.

    >>> import numpy as np
    >>> X = np.linspace(0, 1, 200)[:, None]
    >>> MLPRegressor(random_state=0).fit(X, 12 * X[:, 0] + 40).score(X, 12 * X[:, 0] + 40) > 0.99
    True

    Args:
        loss: squared_error or absolute_error.
        output: identity, or relu for numbers of at least 0, which are divided by their spread but not centred.
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        loss="squared_error",
        output="identity",
        solver="momentum",
        alpha=0.0001,
        batch_size="auto",
        learning_rate_init=None,
        schedule="auto",
        max_iter=None,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=None,
        beta_1=None,
        beta_2=None,
        epsilon=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        hyper=None,
        init="auto",
        scaling="standard",
    ):
        self.hidden_layer_sizes, self.activation, self.solver = hidden_layer_sizes, activation, solver
        self.loss, self.output, self.alpha = loss, output, alpha
        self.batch_size, self.learning_rate_init = batch_size, learning_rate_init
        self.schedule, self.max_iter, self.shuffle, self.random_state = schedule, max_iter, shuffle, random_state
        self.tol, self.verbose, self.warm_start = tol, verbose, warm_start
        self.momentum, self.beta_1, self.beta_2, self.epsilon = momentum, beta_1, beta_2, epsilon
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_iter_no_change, self.hyper, self.init, self.scaling = n_iter_no_change, hyper, init, scaling

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLP":
        """Train one epoch on X, y, starting from the last call's parameters; the learning rate is constant.

        With scaling standard, the constants are computed from the rows of the first call.

        Raises:
            ValueError: as `fit`, or early_stopping is asked for.
        """
        return self._go_on(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted number, or row of numbers, for each row of X."""
        check_is_fitted(self)
        outputs = self._fitted.outputs(validate_data(self, X, accept_sparse="csr", reset=False))
        return outputs[:, 0] if self._one_target else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _class_count(self) -> int:
        return 0

    def _validated(self, X: Any, y: Any, *, reset: bool, stream: bool = False, classes: Any = None) -> tuple:
        """Return X as an array, and y as an array with one column for each output."""
        how = {"accept_sparse": "csr", "reset": reset, "multi_output": True, "y_numeric": True}
        x, y = validate_data(self, X, y, dtype=[np.float64, np.float32], **how)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._one_target = y.ndim == 1
        return dense(x), (y[:, None] if self._one_target else y).astype(np.float64)
