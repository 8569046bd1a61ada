"""One trial whose rows several devices share, against the same trial on one device; and how devices are laid out."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from mlp_jax import losses, model, rows, trial
from mlp_jax.machine import devices
from mlp_jax.model import Network
from mlp_jax.training import meshes
from mlp_jax.trial import Cell, Data

SEED = jnp.uint32(7)
N = 31
NETWORK = Network(inputs=5, hidden=(4,), outputs=3, activation="tanh")


@pytest.mark.parametrize(
    ("count", "trials", "batch_size", "shape"),
    [
        (1, 1, 60_000, (1, 1)),
        (8, 8, 60_000, (8, 1)),  # a device for every trial
        (8, 500, 60_000, (8, 1)),
        (8, 1, 511, (8, 1)),  # too few rows to share
        (8, 1, 1023, (8, 1)),
        (8, 1, 1024, (4, 2)),
        (8, 1, 2048, (2, 4)),
        (8, 1, 4096, (1, 8)),
        (8, 2, 60_000, (2, 4)),
        (8, 3, 60_000, (4, 2)),
        (8, 5, 60_000, (8, 1)),
        (6, 2, 60_000, (2, 3)),
        (6, 1, 1500, (3, 2)),
        (7, 3, 60_000, (7, 1)),  # 7 has no other divisors
    ],
)
def test_trials_come_first_and_large_batches_take_what_is_left(count, trials, batch_size, shape):
    assert meshes.LEAST_ROWS == 512
    assert meshes.choose(count, trials, batch_size) == shape


@given(st.integers(1, 64), st.integers(1, 100), st.integers(1, 10**5))
def test_a_choice_fits_the_devices_and_leaves_no_trial_without(count, trials, batch_size):
    along_trials, along_data = meshes.choose(count, trials, batch_size)
    assert along_trials * along_data == count
    assert along_trials >= min(trials, count)
    assert along_data == 1 or batch_size // along_data >= meshes.LEAST_ROWS


def make_data(n: int = N) -> Data:
    rng = np.random.default_rng(n)
    x, y = rng.integers(0, 256, (n, 5)).astype(np.uint8), rng.integers(0, 3, n).astype(np.int32)
    return Data(jnp.asarray(x), jnp.asarray(y), jnp.full(5, 120.0), jnp.full(5, 1 / 60))


def over(count: int):
    return devices.mesh((1, count), jax.devices()[:count])


def shared(mesh):
    """Return `trial.advance` and `trial.evaluate` for one trial whose rows all devices of `mesh` share."""

    def over_rows(function, cell: Cell, *arguments):
        of_device = lambda *arguments: function(cell, *arguments, meshes.data_axis(mesh))
        place = PartitionSpec()
        return jax.shard_map(of_device, mesh=mesh, in_specs=place, out_specs=place, check_vma=False)(*arguments)

    return tuple(jax.jit(partial(over_rows, each), static_argnums=0) for each in (trial.steps, trial.evaluate))


def put_everywhere(mesh, values):
    return jax.device_put(values, NamedSharding(mesh, PartitionSpec()))


def both_ways(cell: Cell, count: int, num_steps: int = 12, **hyper: float):
    """Return the state after `num_steps` steps on one device, and on `count` that share the rows."""
    full = trial.complete(cell, **{"learning_rate": 0.1, "l2": 0.01, "label_smoothing": 0.1} | hyper)
    start = lambda: trial.start(cell, full, SEED)
    mesh, data = over(count), make_data()
    one = trial.advance(cell, full, SEED, data, start(), jnp.int32(num_steps))
    several = shared(mesh)[0](cell, *put_everywhere(mesh, (full, SEED, data, start(), jnp.int32(num_steps))))
    return jax.device_get((one, several))


def close(ours, theirs, rtol: float, atol: float) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)


@pytest.mark.parametrize(
    ("count", "batch_size", "sampling"),
    [
        pytest.param(2, 8, "epochs", marks=pytest.mark.slow),  # 4 rows each
        (2, 13, "epochs"),  # 7 and 6
        pytest.param(4, 13, "replacement", marks=pytest.mark.slow),
        pytest.param(4, 3, "epochs", marks=pytest.mark.slow),  # one device has nothing
        (8, 1, "replacement"),  # seven have nothing
        pytest.param(8, 9, "epochs", marks=pytest.mark.slow),  # 2 each, three have nothing
        pytest.param(2, N, "epochs", marks=pytest.mark.slow),  # the full gradient
        pytest.param(4, N, "epochs", marks=pytest.mark.slow),
        pytest.param(8, N, "epochs", marks=pytest.mark.slow),
    ],
)
def test_shared_rows_give_the_trajectory_of_one_device(count, batch_size, sampling):
    with jax.enable_x64(True):
        one, several = both_ways(Cell(network=NETWORK, batch_size=batch_size, sampling=sampling), count)
    close(several, one, 1e-10, 1e-13)
    assert (one.step, one.failed) == (12, -1)


def test_shared_rows_give_the_trajectory_of_one_device_in_float32_too():
    one, several = both_ways(Cell(network=NETWORK, batch_size=13), 4)
    assert one.loss.dtype == np.float32
    close(several, one, 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("count", "batch_size"),
    [(4, 29), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, 13), (2, 31), (1, 31)))],
)
def test_a_share_that_is_divided_into_pieces_counts_every_row_once(monkeypatch, count, batch_size):
    monkeypatch.setattr(trial, "GRADIENT_ROWS", 2)
    network = Network(inputs=5, hidden=(3,), outputs=3)  # of this test alone: nothing of it is compiled yet
    with jax.enable_x64(True):
        one, several = both_ways(Cell(network=network, batch_size=batch_size), count)
        close(several, one, 1e-10, 1e-13)


def test_a_trial_that_diverges_does_so_at_the_same_step():
    one, several = both_ways(Cell(network=NETWORK, batch_size=13), 4, learning_rate=1e30)
    assert one.failed > 0
    assert (several.failed, several.step) == (one.failed, one.step)


def test_however_the_steps_are_divided_several_devices_give_the_same_bits():
    cell, mesh = Cell(network=NETWORK, batch_size=13), over(8)
    hyper = trial.complete(cell, learning_rate=0.1)
    advance, _ = shared(mesh)
    put = partial(put_everywhere, mesh)

    def after(*parts: int):
        state = put(trial.start(cell, hyper, SEED))
        for part in parts:
            state = advance(cell, *put((hyper, SEED, make_data())), state, put(jnp.int32(part)))
        return jax.device_get(state)

    jax.tree.map(np.testing.assert_array_equal, after(15), after(1, 4, 0, 10))


@pytest.mark.parametrize("n", [7, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 31, 64))])
@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 8))])
def test_an_evaluation_counts_every_row_once(monkeypatch, count, n):
    monkeypatch.setattr(trial, "EVALUATION_ROWS", 3)
    network = Network(inputs=5, hidden=(n,), outputs=3)  # of this test alone
    cell, data, mesh = Cell(network=network), make_data(n), over(count)
    params = model.init(jax.random.key(0), network)
    sums = shared(mesh)[1](cell, *put_everywhere(mesh, (params, data)))
    z = jax.vmap(partial(model.forward, network, params))(rows.normalize(data, data.x))
    whole = losses.sums(network, cell.loss, z, data.y, jnp.ones(n, bool))
    assert (int(sums.n), int(sums.errors)) == (n, int(whole.errors))
    assert float(sums.loss) == pytest.approx(float(whole.loss), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 2), (1, 1), (0, 8), (-1, -8), (16, 1)])
def test_a_mesh_must_multiply_to_the_devices(shape):
    with pytest.raises(ValueError, match="does not fit the 8 device.* here; give one of 8 × 1, 4 × 2, 2 × 4, 1 × 8$"):
        devices.mesh(shape)


def test_a_mesh_of_all_devices():
    assert dict(devices.mesh().shape) == {"trial": 8, "data": 1}
    two = devices.mesh((4, 2))
    assert [device.id for device in two.devices[0]] == [0, 1]  # neighbours share rows


def test_one_trial_is_on_one_device_of_a_cpu_unless_asked():
    for asked in (None, (1, 1)):
        assert dict(meshes.of_one_trial(asked, 60_000).shape) == {"trial": 1, "data": 1}
    asked = meshes.of_one_trial((1, 8), 4)
    assert dict(asked.shape) == {"trial": 1, "data": 8}
    with pytest.raises(ValueError, match="mesh 4 × 2 is for many trials, and this is one; give 1 × 8, or 1 × 1"):
        meshes.of_one_trial((4, 2), 60_000)
    with pytest.raises(ValueError, match="mesh 1 × 7 does not fit the 8 device"):
        meshes.of_one_trial((1, 7), 60_000)


@pytest.mark.parametrize(("batch_size", "used"), [(32, 1), (1024, 2), (60_000, 8)])
def test_one_trial_takes_as_many_accelerators_as_pay(monkeypatch, batch_size, used):
    asked, one = [], devices.mesh((8, 1))
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(platform="gpu")] * 8)
    monkeypatch.setattr(devices, "mesh", lambda shape, there: asked.append((shape, len(there))) or one)
    assert meshes.of_one_trial(None, batch_size) is one
    assert asked == [((1, used), used)]
