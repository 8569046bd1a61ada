"""The least that a step needs: its FLOP and bytes by hand, the slowest need, ceilings of all devices together."""

import pytest
from jax.sharding import Mesh

from mlp_jax.bench import ceilings, roofline
from mlp_jax.bench.effort import ACCELERATOR, Effort
from mlp_jax.machine import devices
from mlp_jax.model import Network, parameter_count

NETWORK = Network(inputs=6, hidden=(4,), outputs=3)
LIMITS = roofline.Ceilings(flops_per_second=1e9, bytes_per_second=1e9, call_seconds=1e-3, turn_seconds=1e-5)


def test_flops_and_bytes_are_those_counted_by_hand():
    need = roofline.need(NETWORK, 10, LIMITS, 1e9)
    forward = 10 * (6 * 4 + 4 * 3)
    assert need.flops == 2 * (forward + forward + 10 * 4 * 3)  # forward, gradients of W, gradient of the hidden layer
    assert need.bytes == 2 * 2 * 4 * (6 * 4 + 4 + 4 * 3 + 3) + 10 * 6  # W, b and momenta in and out; rows of uint8


@pytest.mark.parametrize(
    ("batch_size", "state_rate", "bound"),
    [(1, 1e9, "latency"), (100_000, 1e9, "compute"), (1, 1e6, "memory")],
)
def test_the_roofline_is_the_slowest_need(batch_size, state_rate, bound):
    limits = LIMITS._replace(bytes_per_second=1e6) if bound == "memory" else LIMITS
    need = roofline.need(NETWORK, batch_size, limits, state_rate)
    assert need.bound == bound
    assert need.bytes == 16 * parameter_count(NETWORK) + 6 * batch_size
    expected = {"latency": 1e-5, "compute": need.flops / 1e9, "memory": need.bytes / 1e6}
    assert need.seconds == pytest.approx(expected[bound])


def test_state_and_rows_are_read_at_rates_of_their_own():
    limits = LIMITS._replace(flops_per_second=1e30, turn_seconds=0.0)
    need = roofline.need(NETWORK, 1000, limits._replace(bytes_per_second=3e3), state_rate=2.0)
    assert need.seconds == pytest.approx(16 * parameter_count(NETWORK) / 2 + 6000 / 3e3)


def test_ceilings_are_what_all_devices_do_together(tiny: Effort, monkeypatch: pytest.MonkeyPatch):
    """Every program is said to take a hundredth of a second; its rates are then known."""
    monkeypatch.setattr(roofline, "median_seconds", lambda run, seconds, rounds: 0.01)
    mesh = devices.mesh()
    one = Mesh(mesh.devices.flatten()[:1], ("trial",))
    for each in (one, mesh):
        found = roofline.measured(each, tiny, ceilings.ORIENTATIONS[0])
        assert found.flops_per_second == pytest.approx(each.size * 2 * tiny.width**3 / 0.01)
        assert found.bytes_per_second == pytest.approx(each.size * 8 * tiny.numbers / 0.01)
        assert (found.call_seconds, found.turn_seconds) == (0.01, 0.01)


def test_an_accelerator_is_given_larger_matrices(tiny: Effort, monkeypatch: pytest.MonkeyPatch):
    widths = []
    monkeypatch.setattr(roofline, "median_seconds", lambda run, seconds, rounds: 1.0)
    monkeypatch.setattr(ceilings, "large", lambda mesh, width, orientation: widths.append(width))
    for cpu in (True, False):
        monkeypatch.setattr(roofline.engine, "on_cpu", lambda mesh, cpu=cpu: cpu)
        roofline.product_rate(devices.mesh(), tiny, ceilings.ORIENTATIONS[0])
    assert widths == [tiny.width, ACCELERATOR * tiny.width]


def test_the_fastest_orientation_is_one_of_those_that_differ(tiny: Effort, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ceilings, "ORIENTATIONS", ceilings.ORIENTATIONS[:3])
    one = Mesh(devices.mesh().devices.flatten()[:1], ("trial",))
    assert roofline.fastest(one, tiny) in [each for each in ceilings.ORIENTATIONS if not each.swapped]
