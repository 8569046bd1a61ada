"""A machine's record: whole, JSON, honest about what does not fit and what the device lacks."""

import json
import math

import jax
import numpy as np
import pytest

from mlp_jax import bench, trial
from mlp_jax.bench import effort, machine, precisions, record, roofline, training, workloads
from mlp_jax.machine import devices, environment
from mlp_jax.model import Network, parameter_count

TINY = effort.Effort(
    batch_sizes=(1, 64),
    trials=(1, 9),
    rounds=1,
    seconds=1e-3,
    call_seconds=1e-3,
    width=16,
    numbers=64,
    precision_batch_size=8,
)
NETWORK = Network(inputs=6, hidden=(4,), outputs=3)
LIMITS = roofline.Ceilings(flops_per_second=1e9, bytes_per_second=1e6, call_seconds=1e-3, turn_seconds=1e-5)


@pytest.fixture(scope="module")
def measured() -> tuple[dict, list[str]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "NETWORKS", {"small": NETWORK})
        patch.setattr(machine, "ROWS", 100)
        patch.setattr(precisions, "NETWORKS", {"wide": NETWORK})
        patch.setattr(bench.ceilings, "ORIENTATIONS", bench.ceilings.ORIENTATIONS[:1])
        return bench.measure(TINY, said.append), said


def test_the_record_is_whole_and_survives_the_disk(measured, tmp_path):
    found, said = measured
    path = tmp_path / "made" / "record.json"
    bench.write(found, path)
    assert bench.read(path) == json.loads(path.read_text()) == json.loads(json.dumps(found))
    assert found["kind"] == "mlp_jax bench"
    assert environment.describe().items() <= found["environment"].items()
    assert found["seconds"] > 0
    assert "small network, batch size 64" in said


def test_each_batch_size_has_its_rates_and_its_share_of_the_roofline(measured):
    network = measured[0]["networks"]["small"]
    assert [row["batch_size"] for row in network["batch"]] == [1, 64]
    assert network["parameters"] == parameter_count(NETWORK)
    for row in network["batch"]:
        seconds = row["step_seconds"]
        assert row["examples_per_second"] == pytest.approx(row["batch_size"] / seconds, rel=1e-3)
        flops = 2 * row["batch_size"] * (3 * (6 * 4 + 4 * 3) - 6 * 4)
        assert row["flops_per_second"] == pytest.approx(flops / seconds, rel=1e-3)
        assert row["share"] == pytest.approx(row["roofline_seconds"] / seconds, rel=1e-3)
        assert row["compile_seconds"] > 0
    assert [row["trials"] for row in network["population"]] == [1, 9]
    assert all(row["trial_steps_per_second"] > 0 for row in network["population"])


def test_precisions_state_how_exact_they_are(measured):
    rows = measured[0]["precisions"]
    assert set(rows) == set(precisions.PRECISIONS)
    assert rows["highest"]["product_error"] < 1e-6
    assert "not supported" in rows["tf32"]["error"]  # by a CPU
    assert rows["high"]["same_as"] == "default"
    for name in ("default", "high", "bf16"):
        assert len(rows[name]["validation_losses"]) == TINY.seeds
        assert rows[name]["loss_minus_highest"]["verdict"] == "no difference found"


def test_the_table_shows_every_batch_size(measured):
    text = bench.table(measured[0])
    assert "share of ceiling" in text
    for line in ("64-64-10", "not supported", "bit for bit what default is"):
        assert (line in text) == (line != "64-64-10")
    assert sum(line.split()[:1] == ["64"] for line in text.splitlines()) == 1


@pytest.mark.parametrize(
    ("batch_size", "state_rate", "bound"),
    [(1, 1e9, "latency"), (100_000, 1e9, "compute"), (1, 1e6, "memory")],
)
def test_the_roofline_is_the_slowest_need(batch_size, state_rate, bound):
    limits = LIMITS._replace(bytes_per_second=1e9) if bound != "memory" else LIMITS
    need = roofline.need(NETWORK, batch_size, limits, state_rate)
    assert need.bound == bound
    assert need.bytes == 16 * parameter_count(NETWORK) + 6 * batch_size
    expected = {"latency": 1e-5, "compute": need.flops / 1e9, "memory": need.bytes / 1e6}
    assert need.seconds == pytest.approx(expected[bound])


def test_a_batch_that_does_not_fit_is_said_in_its_row(monkeypatch):
    data = workloads.held(*workloads.noise(NETWORK, 64))
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    row = training.or_memory(lambda: training.step(NETWORK, 8, data, TINY))
    assert list(row) == ["error"]
    assert "one trial needs" in row["error"]
    assert machine._reached(row, roofline.need(NETWORK, 8, LIMITS, 1e9)) == {}
    row = training.or_memory(lambda: training.together(NETWORK, 64, data, TINY))
    assert "one trial needs" in row["error"]
    held, working = trial.needed_bytes(trial.Cell(network=NETWORK, batch_size=32), {"learning_rate": 0, "momentum": 0})
    least = (2 * held + working + data.x.nbytes + data.y.nbytes) / devices.MEMORY_SHARE
    monkeypatch.setattr(devices, "free_memory", lambda _: int(least) + 100)
    row = training.or_memory(lambda: training.together(NETWORK, 64, data, TINY))
    assert row == {"error": f"{len(jax.devices())} trials fit into the memory that is free"}


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB\nmore")])
def test_running_out_of_memory_is_a_row_and_anything_else_is_not(error):
    def fail(raised: Exception) -> dict:
        raise raised

    row = training.or_memory(lambda: fail(error))
    assert "\n" not in row["error"]
    with pytest.raises(ValueError, match="not finite"):
        training.or_memory(lambda: fail(ValueError("not finite")))


def test_the_cache_of_programs_is_left_as_it_was():
    before = jax.config.jax_enable_compilation_cache
    with machine._no_cache():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache == before


def test_the_error_of_a_product_is_that_of_its_precision(monkeypatch):
    assert precisions.product()[1] < 1e-6
    rough = lambda a, b: np.asarray(a, jax.numpy.bfloat16).astype(np.float32) @ b
    monkeypatch.setattr(precisions.jnp, "dot", rough)
    assert 1e-4 < precisions.product()[1] < 1e-2


def test_four_digits_are_kept():
    assert machine._rounded({"a": [1 / 3, 12345.6, 7], "environment": {"b": 1 / 3}}) == {
        "a": [0.3333, 12350.0, 7],
        "environment": {"b": 1 / 3},
    }
    assert math.isinf(machine._rounded(math.inf))
    assert record.gain([]) is None
