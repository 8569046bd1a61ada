"""Splitting and normalising."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_jax.data import DataError
from mlp_jax.data.dataset import Source, Split
from mlp_jax.data.splits import divide

OPTIONS = {"name": "it", "validation": 0.1, "test": 0.2, "split_seed": 0, "scaling": "auto", "target_scaling": "none"}


def source(n: int = 50, *, test: bool = False, levels: int = 0, classes: int = 0) -> Source:
    draw = np.random.default_rng(1)
    x = draw.integers(0, 17, (n, 3)).astype(np.uint8) if levels else draw.normal(5, 3, (n, 3)).astype(np.float32)
    y = (np.arange(n) % classes).astype(np.int32) if classes else draw.normal(100, 20, n).astype(np.float32)
    part = Split(x[:7] + 1, y[:7]) if test else None
    return Source(x, y, part, (3,), tuple(map(str, range(classes))), levels)


@given(
    n=st.integers(3, 200),
    validation=st.one_of(st.floats(0, 0.5), st.integers(0, 40)),
    test=st.one_of(st.floats(0, 0.4), st.integers(0, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_and_complete(n, validation, test, seed):
    given_ = Source(np.arange(n, dtype=np.float32)[:, None], np.arange(n, dtype=np.float32), None, (1,), (), 0)
    sizes = OPTIONS | {"validation": validation, "test": test, "split_seed": seed}
    held = test if isinstance(test, int) else round(test * n)
    validating = validation if isinstance(validation, int) else round(validation * (n - held))
    if held + validating >= n:
        with pytest.raises(DataError, match="leave none to train on"):
            divide(given_, **sizes)
        return
    dataset = divide(given_, **sizes)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part.y) for part in parts] == [n - held - validating, validating, held]
    np.testing.assert_array_equal(np.sort(np.concatenate([part.y for part in parts])), np.arange(n))
    for part in parts:
        np.testing.assert_array_equal(part.x[:, 0], part.y)


def test_split_depends_on_its_seed_alone():
    first, again, other = (divide(source(), **OPTIONS | {"split_seed": seed}) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.train.x, again.train.x)
    assert not np.array_equal(first.train.x, other.train.x)


def test_own_test_part_is_kept():
    given_ = source(test=True)
    dataset = divide(given_, **OPTIONS)
    np.testing.assert_array_equal(dataset.test.x, given_.test.x)
    assert len(dataset.train.y) + len(dataset.validation.y) == 50


def test_constants_come_from_the_training_part_alone():
    given_ = source()
    dataset = divide(given_, **OPTIONS | {"scaling": "standard"})
    seen = (dataset.train.x - dataset.center) * dataset.scale
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-6)
    seen = (given_.x - dataset.center) * dataset.scale
    assert abs(seen.mean()) > 1e-4
    unit = divide(given_, **OPTIONS | {"scaling": "unit"})
    seen = (unit.train.x - unit.center) * unit.scale
    np.testing.assert_allclose([seen.min(axis=0), seen.max(axis=0)], [[0] * 3, [1] * 3], atol=1e-6)


def test_images_have_one_pair_of_constants():
    dataset = divide(source(levels=16, classes=3), **OPTIONS | {"scaling": "standard"})
    assert dataset.center.shape == dataset.scale.shape == ()
    assert float(dataset.center) == pytest.approx(dataset.train.x.mean(), rel=1e-6)
    assert 1 / float(dataset.scale) == pytest.approx(dataset.train.x.std(), rel=1e-6)
    assert float(divide(source(levels=16, classes=3), **OPTIONS).scale) == pytest.approx(1 / 16)


def test_constant_feature_is_centred_only():
    given_ = source()._replace(x=np.full((50, 3), 4, np.float32))
    dataset = divide(given_, **OPTIONS)
    np.testing.assert_array_equal(dataset.scale, 1)
    np.testing.assert_array_equal(dataset.center, 4)


@pytest.mark.parametrize("how", ["none", "standard", "scale"])
def test_targets_come_back_in_their_unit(how):
    given_ = source()
    dataset = divide(given_, **OPTIONS | {"target_scaling": how})
    parts = (dataset.train, dataset.validation, dataset.test)
    unit = np.concatenate([part.y for part in parts]) * dataset.target_scale + dataset.target_center
    np.testing.assert_allclose(np.sort(unit), np.sort(given_.y), rtol=1e-5)
    if how != "none":
        assert dataset.train.y.std() == pytest.approx(1, rel=1e-5)
    assert dataset.target_center == (0 if how != "standard" else pytest.approx(100, rel=0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": -1}, "validation -1 is not allowed"),
        ({"validation": float("nan")}, "validation nan is not allowed"),
        ({"test": 1.5}, "test 1.5 is not allowed"),
        ({"test": 50}, "leave none to train on"),
        ({"scaling": "unti"}, "unknown scaling 'unti'; choose one of auto"),
        ({"target_scaling": "log"}, "unknown target scaling 'log'"),
    ],
)
def test_sizes_and_names_that_are_not_allowed(options, message):
    with pytest.raises(DataError, match=message):
        divide(source(), **OPTIONS | options)


@pytest.mark.parametrize("stratify", [False, True])
def test_balanced_weights_are_scikit_learns_on_the_training_part(stratify):
    from sklearn.utils import compute_sample_weight

    given_ = source(90, classes=3)._replace(y=np.repeat([0, 1, 2], [60, 20, 10]).astype(np.int32))
    split = divide(given_, **OPTIONS | {"stratify": stratify}, class_weight="balanced").train
    np.testing.assert_allclose(split.weight, compute_sample_weight("balanced", split.y), rtol=1e-6)
    assert divide(given_, **OPTIONS).train.weight is None


def test_weights_of_examples_go_where_the_examples_go():
    given_ = source(50)._replace(weight=np.arange(50.0))
    found = divide(given_, **OPTIONS)
    place = [int(np.flatnonzero((given_.x == row).all(axis=1))[0]) for row in found.train.x]
    np.testing.assert_allclose(found.train.weight, np.array(place) / np.mean(place), rtol=1e-6)
    assert found.fingerprint != divide(source(50), **OPTIONS).fingerprint


def test_weights_that_mean_nothing_are_refused():
    with pytest.raises(DataError, match="class_weight balanced is for classes"):
        divide(source(50), **OPTIONS, class_weight="balanced")
    with pytest.raises(ValueError, match="unknown class weight 'even'; choose one of balanced, none"):
        divide(source(50, classes=2), **OPTIONS, class_weight="even")


def test_stratified_parts_have_each_class_in_its_share():
    given_ = source(300, classes=3)._replace(y=np.repeat([0, 1, 2], [240, 40, 20]).astype(np.int32))
    for seed in range(5):
        found = divide(given_, **OPTIONS | {"split_seed": seed, "stratify": True})
        for part in (found.train, found.validation, found.test):
            expected = len(part.y) * np.array([240, 40, 20]) / 300
            assert abs(np.bincount(part.y, minlength=3) - expected).max() <= 1
