"""A machine's record: whole, JSON, honest about what does not fit and what the device lacks."""

import json
import math

import jax
import pytest

from mlp_jax import bench
from mlp_jax.bench import machine, precisions, record, roofline
from mlp_jax.bench.effort import Effort
from mlp_jax.machine import environment, files
from mlp_jax.model import Network, parameter_count
from mlp_jax.training.config import Config

NETWORK = Network(inputs=6, hidden=(4,), outputs=3)


@pytest.fixture(scope="module")
def measured(tiny: Effort) -> tuple[dict, list[str]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "NETWORKS", {"small": NETWORK})
        patch.setattr(machine, "ROWS", 100)
        patch.setattr(precisions, "NETWORKS", {"wide": NETWORK})
        patch.setattr(precisions, "WORKLOAD", Config(dataset="iris", validation=0.2, epochs=1, evaluations=1))
        patch.setattr(bench.ceilings, "ORIENTATIONS", bench.ceilings.ORIENTATIONS[:1])
        return bench.measure(tiny, said.append), said


@pytest.mark.slow
def test_the_record_is_whole_and_survives_the_disk(measured, tmp_path):
    found, said = measured
    path = tmp_path / "made" / "record.json"
    bench.write(found, path)
    assert bench.read(path) == files.parsed_json(path) == json.loads(json.dumps(found))
    assert found["kind"] == "mlp_jax bench"
    assert environment.describe().items() <= found["environment"].items()
    assert found["seconds"] > 0
    assert "small network, batch size 64" in said


@pytest.mark.slow
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
    assert set(measured[0]["precisions"]) == set(precisions.PRECISIONS)


def test_what_was_not_timed_has_no_share():
    need = roofline.Roofline(flops=8, bytes=4, seconds=1.0, bound="compute")
    assert machine._reached({"error": "one trial needs 9 MiB"}, need) == {}
    assert machine._reached({"step_seconds": 2.0}, need)["share"] == 0.5


@pytest.mark.slow
def test_the_table_shows_every_batch_size(measured):
    text = bench.table(measured[0])
    assert "share of ceiling" in text
    for line in ("64-64-10", "not supported", "bit for bit what default is"):
        assert (line in text) == (line != "64-64-10")
    assert sum(line.split()[:1] == ["64"] for line in text.splitlines()) == 1


def test_the_cache_of_programs_is_left_as_it_was():
    before = jax.config.jax_enable_compilation_cache
    with machine._no_cache():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache == before


def test_four_digits_are_kept():
    assert machine.rounded({"a": [1 / 3, 12345.6, 7], "environment": {"b": 1 / 3}}) == {
        "a": [0.3333, 12350.0, 7],
        "environment": {"b": 1 / 3},
    }
    assert math.isinf(machine.rounded(math.inf))
    assert record.gain([]) is None
