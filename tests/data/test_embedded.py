"""The embedded data sets are scikit-learn's, number for number, and its package is found without being imported."""

import subprocess
import sys

import numpy as np
import pytest

from mlp_jax.data import DataError, embedded

SIZES = {
    "digits": ((1797, 64), (8, 8), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    "breast_cancer": ((569, 30), (30,), [212, 357]),
    "diabetes": ((442, 10), (10,), None),
    "iris": ((150, 4), (4,), [50, 50, 50]),
    "wine": ((178, 13), (13,), [59, 71, 48]),
}


@pytest.mark.parametrize("name", embedded.SETS)
def test_shapes_and_counts_are_the_known_ones(name: str) -> None:
    source = embedded.read(name)
    shape, example, counts = SIZES[name]
    assert (source.x.shape, source.shape) == (shape, example)
    assert source.test is None
    if counts is None:
        assert (source.y.dtype, source.classes) == (np.float32, ())
    else:
        assert np.bincount(source.y).tolist() == counts
        assert len(source.classes) == len(counts)
    assert (source.x.dtype, source.levels) == ((np.uint8, 16) if name == "digits" else (np.float32, 0))
    assert source.x.max() <= (source.levels or np.inf)


@pytest.mark.parametrize("name", embedded.SETS)
def test_they_are_those_of_scikit_learn(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    ours = embedded.read(name)
    np.testing.assert_allclose(ours.x, theirs.data, rtol=1e-6)
    np.testing.assert_array_equal(ours.y, theirs.target)
    if ours.classes:
        assert ours.classes == tuple(map(str, theirs.target_names))
    assert embedded.SETS[name].task == {"diabetes": "regression", "breast_cancer": "binary"}.get(name, "multiclass")
    assert embedded.path(name).is_file()


def test_reading_imports_no_scikit_learn() -> None:
    code = "import sys; from mlp_jax.data import embedded; embedded.read('iris'); print('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
    for ask in (embedded.read, embedded.path):
        with pytest.raises(DataError, match="which is not installed; run pip install scikit-learn"):
            ask("iris")
