"""scikit-learn's own tests of its MLP, run against these estimators, as far as they say what an MLP must do.

The installed module of tests is loaded with scikit-learn's two classes replaced by functions that make ours of the same
arguments. What is left out is named, with its reason.
"""

import importlib.util
from typing import Any
from unittest import mock

import pytest
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

from mlp_jax.sklearn import MLPClassifier, MLPRegressor

PRIVATE = "it sets or reads private parts of scikit-learn's class"
OTHER_SOLVER = "it is about L-BFGS, which is none of these solvers"
OTHER_SCHEDULE = "the rates adaptive and invscaling are not offered"
OTHER_WORDS = "it asks for the words of scikit-learn's message; another test asks for the error"
NO_MULTILABEL = "several labels for one row are not offered"
LEFT_OUT = {
    "test_fit": PRIVATE,  # test_a_fit_is_the_run_of_its_config, and tests/test_trial.py, hold the numbers
    "test_gradient": PRIVATE,  # tests/test_trial.py compares gradients with float64 NumPy
    "test_n_iter_no_change": PRIVATE,  # test_the_loss_ends_a_fit_of_constant_rate_and_a_budget_is_warned_of
    "test_n_iter_no_change_inf": PRIVATE,  # test_a_stream_is_a_fit_of_as_many_epochs
    "test_learning_rate_warmstart": OTHER_SCHEDULE,
    "test_adaptive_learning_rate": OTHER_SCHEDULE,
    "test_lbfgs_regression": OTHER_SOLVER,  # noise of a standard deviation of 100 must be learnt by heart
    "test_lbfgs_classification_maxfun": OTHER_SOLVER,
    "test_lbfgs_regression_maxfun": OTHER_SOLVER,
    "test_partial_fit_errors": OTHER_SOLVER,  # its first half is test_a_stream_may_change_its_length_…
    "test_nonfinite_params": OTHER_WORDS,  # test_values_beyond_what_can_be_scaled_are_refused
    "test_early_stopping_stratified": OTHER_WORDS,  # test_a_class_of_one_row_can_not_be_held_out
    "test_multilabel_classification": NO_MULTILABEL,
    "test_predict_proba_multilabel": NO_MULTILABEL,
    "test_mlp_vs_poisson_glm_equivalent": "the Poisson loss is not offered",
    # it asks for a model without any finite number; here that is an error, and
    # test_a_fit_that_diverges_keeps_what_it_had holds what happens if there was something to keep
    "test_mlp_diverging_loss": "a fit whose loss is not finite from the first epoch on is refused here",
}
SOLVERS: dict[str, dict[str, Any]] = {  # what scikit-learn's names mean here
    "sgd": {"solver": "nesterov"},
    "adam": {"solver": "adam"},
    "lbfgs": {
        "solver": "momentum",
        "learning_rate_init": None,
        "scaling": "standard",
        "init": "auto",
    },  # there is none: our default
}
DEFAULTS = {  # scikit-learn's
    "schedule": "constant", "learning_rate_init": 0.001, "max_iter": 200, "scaling": "none", "init": "glorot",
}  # fmt: skip


def alike(kind: type) -> Any:
    """Return a function that makes one of our estimators of what scikit-learn's is given, with its defaults."""

    def make(*args: Any, solver: str = "adam", learning_rate: str = "constant", **given: Any) -> Any:
        assert learning_rate == "constant"
        return kind(*args, **DEFAULTS | SOLVERS[solver] | given)

    make.__name__ = kind.__name__
    return make


def load() -> Any:
    """Return scikit-learn's module of tests, a copy of our own, whose estimators are ours."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    if spec is None or spec.loader is None:
        pytest.skip("scikit-learn is installed without its tests", allow_module_level=True)
    module = importlib.util.module_from_spec(spec)
    ours = {kind.__name__: alike(kind) for kind in (MLPClassifier, MLPRegressor)}
    with mock.patch.multiple(sklearn.neural_network, **ours):
        spec.loader.exec_module(module)
    return module


UPSTREAM = load()
TESTS = {name: test for name, test in vars(UPSTREAM).items() if name.startswith("test_")}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("no_beartype"),
    pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}"),
]
globals().update({name: test for name, test in TESTS.items() if name not in LEFT_OUT})


def test_what_is_left_out_is_there_and_most_is_not():
    assert LEFT_OUT.keys() < TESTS.keys()
    assert len(TESTS) > 2.5 * len(LEFT_OUT)
