"""The programs that show what a machine can do: the right products, whatever their orientation, on every device."""

import itertools

import numpy as np
import pytest

from mlp_jax.bench import ceilings, workloads
from mlp_jax.machine import devices
from mlp_jax.machine.programs import Program
from mlp_jax.model import Network

NETWORK = Network(inputs=784, hidden=(256, 128), outputs=10)


def test_the_products_of_a_step():
    shapes = [product.shape for product in ceilings.products(NETWORK, 32)]
    forward = [(32, 784, 256), (32, 256, 128), (32, 128, 10)]
    backward = [(10, 32, 128), (32, 10, 128), (128, 32, 256), (32, 128, 256), (256, 32, 784)]
    assert shapes == forward + backward
    assert ceilings.flops(ceilings.products(NETWORK, 32)) == 2 * 32 * (3 * (784 * 256 + 256 * 128 + 1280) - 784 * 256)


@pytest.mark.parametrize("choice", list(itertools.product((False, True), repeat=3)))
def test_every_orientation_computes_the_product(choice):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    orientation = ceilings.Orientation(*choice)
    stored_left = left.T if orientation.left_transposed else left
    stored_right = right.T if orientation.right_transposed else right
    product = ceilings.Product("c", "a", "b", (2, 3, 4))
    result = ceilings._multiply(product, orientation, stored_left.reshape(-1), stored_right.reshape(-1))
    np.testing.assert_allclose(result.T if orientation.swapped else result, left @ right, rtol=1e-5)


@pytest.mark.parametrize("together", [1, 2])
def test_the_parts_of_the_limit_run_on_all_devices(together, monkeypatch):
    monkeypatch.setattr(ceilings, "ORIENTATIONS", ceilings.ORIENTATIONS[:1])
    network = Network(inputs=6, hidden=(4,), outputs=3)
    x, _ = workloads.noise(network, 50)
    parts = ceilings.parts(devices.mesh(), network, x, 4, together)
    assert list(parts) == ["products", "update", "gather"]
    for run in parts.values():
        run(3)


def test_a_call_is_made_as_often_as_asked(monkeypatch):
    awaited = []
    run = ceilings.call()
    monkeypatch.setattr(ceilings.jax, "block_until_ready", awaited.append)
    run(3)
    assert len(awaited) == 3


@pytest.mark.parametrize("together", [1, 2])
def test_a_pass_over_memory_stays_in_its_place(together, monkeypatch):
    """A call that made room for its result would take ten times as long for that as for a pass."""
    made, mesh = [], devices.mesh()
    monkeypatch.setattr(ceilings, "Program", lambda *given: made.append(Program(*given)) or made[0])
    run = ceilings.update(mesh, 1000, together)
    run(2)
    run(3)
    ((program,),) = (each.compiled.values() for each in made)
    assert program.memory_analysis().alias_size_in_bytes >= 4 * 1000 * together
    assert program.memory_analysis().temp_size_in_bytes < 4 * 1000
