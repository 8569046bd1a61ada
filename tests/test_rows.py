"""Rows on the device: placed, normalised, and summed in pieces as NumPy sums them in one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mlp_jax import rows
from mlp_jax.data.dataset import Source
from mlp_jax.data.splits import divide
from mlp_jax.machine import devices
from mlp_jax.model import Network
from mlp_jax.rows import Data


def make_data(n: int) -> Data:
    x = np.random.default_rng(n).integers(0, 256, (n, 2)).astype(np.uint8)
    return Data(jnp.asarray(x), jnp.arange(n), jnp.array([10.0, 20.0]), jnp.array([0.5, 0.25]))


def of_rows(x, y, mask) -> dict:
    counted = jnp.ones(len(x), bool) if mask is None else mask
    return {"n": jnp.sum(counted), "x": jnp.where(counted, x.T, 0).sum(axis=1), "y": jnp.sum(jnp.where(counted, y, 0))}


def by_hand(data: Data, index=None) -> dict:
    index = np.arange(len(data.y)) if index is None else index
    x = (np.asarray(data.x, float) - np.array([10, 20])) * np.array([0.5, 0.25])
    return {"n": len(index), "x": x[index].sum(axis=0), "y": np.asarray(data.y)[index].sum()}


def equal(ours: dict, theirs: dict) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)  # multiples of 1/4: every order of the sum is exact


LAYOUTS = [{"overlap": True}, {"overlap": False}, {"whole": 2}]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 5, 12, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4, 8, 11, 13))])
def test_every_row_is_counted_once(n: int, layout: dict) -> None:
    data = make_data(n)
    equal(rows.summed(of_rows, data, 4, **layout), by_hand(data))
    index = np.random.default_rng(0).integers(0, n, n + 6)
    equal(rows.summed(of_rows, data, 4, index=jnp.asarray(index), **layout), by_hand(data, index))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [3, 8, 13, 29, 64])
def test_devices_share_the_rows_and_each_has_the_sums_of_all(n: int, layout: dict) -> None:
    data, mesh, everywhere = make_data(n), devices.mesh((1, 8)), PartitionSpec()
    index = np.random.default_rng(0).permutation(n)

    def shared(data: Data, index):
        summed = partial(rows.summed, of_rows, data, 4, "data", **layout)
        return summed(), summed(index=index)

    specs = {"in_specs": everywhere, "out_specs": everywhere, "check_vma": False}
    for ours in jax.jit(jax.shard_map(shared, mesh=mesh, **specs))(data, jnp.asarray(index)):
        equal(ours, by_hand(data))


@pytest.mark.parametrize(("layout", "sizes"), [(LAYOUTS[0], {4}), (LAYOUTS[1], {1, 4}), (LAYOUTS[2], {4, 1})])
def test_pieces_are_of_the_size_asked_for(layout: dict, sizes: set) -> None:
    """Memory depends on it; with `overlap` all pieces have one size, so that one program is compiled for them."""
    seen = set()

    def spy(x, y, mask) -> dict:
        seen.add(len(x))
        return of_rows(x, y, mask)

    rows.summed(spy, make_data(13), 4, **layout)
    assert seen == sizes
    seen.clear()
    rows.summed(spy, make_data(11), 4, whole=2)
    assert seen == {11}


def test_normalize_takes_one_constant_or_one_for_each_feature() -> None:
    x = np.array([[0, 255], [51, 102]], np.uint8)
    one = Data(jnp.asarray(x), jnp.zeros(2, jnp.int32), jnp.asarray(51.0), jnp.asarray(1 / 51))
    each = one._replace(center=jnp.array([51.0, 0.0]), scale=jnp.array([1 / 51, 1 / 51]))
    np.testing.assert_allclose(rows.normalize(one, one.x), [[-1, 4], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(rows.normalize(each, each.x), [[-1, 5], [0, 2]], rtol=1e-6)
    np.testing.assert_allclose(rows.normalize(each, each.x[0]), [-1, 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("output", "classes", "y", "placed"),
    [
        ("sigmoid", ("no", "yes"), [0, 1, 1, 0], [0, 1, 1, 0]),
        ("tanh", ("no", "yes"), [0, 1, 1, 0], [-1, 1, 1, -1]),
        ("identity", (), [0.5, 1.5, -2.0, 3.0], [0.5, 1.5, -2.0, 3.0]),
    ],
)
def test_a_split_is_placed_raw_with_the_labels_its_loss_wants(output, classes, y, placed) -> None:
    x = np.array([[0, 255], [51, 102], [7, 8], [9, 10]], np.uint8)
    source = Source(x, np.asarray(y, np.float32 if output == "identity" else np.int32), None, (2,), classes, 255)
    dataset = divide(source, name="table", validation=1, test=1, split_seed=0, scaling="none", target_scaling="none")
    network = Network(inputs=2, outputs=1, output=output)
    data = rows.place(network, dataset, dataset.train)
    assert data.x.dtype == jnp.uint8
    order = [x.tolist().index(row) for row in np.asarray(data.x).tolist()]
    assert np.asarray(data.y).tolist() == [placed[place] for place in order]
    assert data.y.dtype == (jnp.float32 if output == "identity" else jnp.int32)
    np.testing.assert_array_equal(rows.normalize(data, data.x), dataset.train.x)
