"""scikit-learn's own checks of what an estimator is, on both classes, without an exception."""

import warnings

import pytest
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from mlp_jax.sklearn import MLPClassifier, MLPRegressor

CLASSES = [MLPClassifier, MLPRegressor]
QUICK = (  # those that fit once or not at all
    "check_estimator_cloneable", "check_no_attributes_set_in_init", "check_estimators_unfitted",
    "check_sample_weight_equivalence_on_dense_data",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("no_beartype")
@pytest.mark.parametrize("kind", CLASSES)
def test_all_checks_pass(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few epochs, and of checks that are not for this kind
        results = check_estimator(kind(), on_skip=None, on_fail=None)
    assert len(results) > 50
    left = [result for result in results if result["status"] not in ("passed", "skipped")]
    assert [(result["check_name"], result["exception"]) for result in left] == []
    assert [result["check_name"] for result in results if result["status"] == "skipped"] == ["check_array_api_input"]


@pytest.mark.usefixtures("no_beartype")
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.slow
def test_quick_checks_pass(kind):
    done = []
    for estimator, check in estimator_checks_generator(kind(max_iter=3)):
        name = getattr(check, "func", check).__name__
        if name in QUICK:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator)
            done.append(name)
    assert sorted(set(done)) == sorted(QUICK)
