"""Records on disk: named by device and date; only ours, of this version and whole, are read."""

import json
from pathlib import Path

import pytest

from mlp_jax import bench
from mlp_jax.bench import record

ENVIRONMENT = {"device_kind": "NVIDIA H200", "date": "2026-01-02", "device_count": 1, "processor": "", "cores": 2,
               "machine": "x86_64", "jax": "0.10.2", "matmul_precision": "default"}  # fmt: skip


def rows(rates: dict[int, float]) -> list[dict]:
    speed = {"flops_per_second": 1e9, "bytes_per_second": 1e8, "share": 0.5, "bound": "compute", "compile_seconds": 1.0}
    return [
        {"batch_size": size, "examples_per_second": rate, "step_seconds": size / rate} | speed
        for size, rate in rates.items()
    ]


def made(rates: dict[int, float] | None = None, **environment) -> dict:
    """A record by hand."""
    one = {"flops_per_second": 1e12, "bytes_per_second": 1e11, "call_seconds": 1e-5, "turn_seconds": 1e-6}
    network = {"widths": [64, 64, 10], "parameters": 4810, "optimizer": "momentum", "state_bytes_per_second": 1e11}
    network |= {"batch": rows(rates or {1: 10.0, 64: 95.0, 4096: 100.0}), "population": []}
    return {
        "kind": bench.KIND,
        "version": bench.VERSION,
        "environment": ENVIRONMENT | environment,
        "effort": {},
        "seconds": 1.0,
        "ceilings": {"one_device": one, "all_devices": one},
        "networks": {"small": network},
        "precisions": {},
    }


def test_a_record_is_named_by_device_and_date(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench.default_path(made()) == Path("bench-nvidia-h200-2026-01-02.json")
    assert bench.default_path(made(), quick=True) == Path("bench-quick-nvidia-h200-2026-01-02.json")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    assert bench.default_path(made()) == Path("benchmarks/results/bench-nvidia-h200-2026-01-02.json")


def test_a_second_record_of_a_day_leaves_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("", "-2", "-3"):
        path = bench.default_path(made())
        assert path == Path(f"bench-nvidia-h200-2026-01-02{name}.json")
        bench.write(made(), path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a record of mlp-jax bench"),
        ("[]", r"is not a record of mlp-jax bench \(it holds no object\); name a file that it wrote"),
        ('{"batch": {}}', "is not a record of mlp-jax bench; name a file that it wrote"),
        (json.dumps(made() | {"version": "0.1"}), "has version '0.1', and this is 1.1"),
        (json.dumps(made() | {"networks": []}), r"is damaged \(ValueError\('networks is missing'\)\)"),
        (json.dumps(made() | {"networks": {"small": {}}}), r"is damaged \(KeyError"),
        (json.dumps(made(), indent=2)[:200], "is not a record of mlp-jax bench"),
    ],
)
def test_what_is_no_record_is_one_line(tmp_path, text, words):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        bench.read(path)
    assert "\n" not in str(caught.value)


def test_bytes_are_no_record(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="is not a record"):
        bench.read(tmp_path / "image.png")


def test_a_device_stops_gaining_at_nine_tenths_of_its_best():
    assert bench.gain(rows({1: 10.0, 64: 95.0, 4096: 100.0})) == bench.Gain(64, 100.0, False)
    assert bench.gain(rows({1: 10.0, 64: 80.0, 4096: 100.0})) == bench.Gain(4096, 100.0, True)
    assert bench.gain(rows({1: 10.0, 64: 100.0, 4096: 50.0})) == bench.Gain(64, 100.0, False)
    failed = [{"batch_size": 65536, "error": "one trial needs 9 MiB"}]
    assert bench.gain(rows({1: 10.0}) + failed) == bench.Gain(1, 10.0, True)
    assert bench.gain(failed) is None


def test_what_does_not_fit_is_in_the_table():
    found = made()
    found["networks"]["small"]["batch"].append({"batch_size": 65536, "error": "one trial needs 9 MiB"})
    assert "65,536  one trial needs 9 MiB" in record.table(found)
    assert "90% of the most examples/s from B = 64 on" in record.table(found)
