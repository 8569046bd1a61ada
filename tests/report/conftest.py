"""What the tests of the report share: records of machines, written by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlp_jax import bench

ENVIRONMENT = {"platform": "cpu", "device_kind": "cpu", "device_count": 2, "processor": "One", "cores": 2, "x64": False,
               "machine": "x86_64", "jax": "0.10.2", "matmul_precision": "default", "date": "2026-01-02"}  # fmt: skip
ONE = {"flops_per_second": 1e12, "bytes_per_second": 1e11, "call_seconds": 1e-5, "turn_seconds": 1e-6}
RATES = {1: 10.0, 64: 95.0, 4096: 100.0}


def row(size: int, rate: float) -> dict:
    reached = {"flops_per_second": 1e9, "bytes_per_second": 1e8, "share": 0.5, "bound": "compute"}
    times = {"step_seconds": size / rate, "examples_per_second": rate, "compile_seconds": 1.0}
    return {"batch_size": size} | times | reached


def precision(loss: float, same_as: str | None = None) -> dict:
    measured = {"product_error": 3e-7, "product_flops_per_second": 1e11, "batch_size": 256, "step": {"step_seconds": 1}}
    return measured | {"asked": "high", "same_as": same_as, "validation_loss": loss, "validation_losses": [loss] * 5}


def write_record(path: Path, rates: dict[int, float] = RATES, rounds: int = 5, **environment) -> Path:
    """Write a record of `mlp-jax bench` that takes so many examples per second at each batch size."""
    network = {"widths": [64, 64, 10], "parameters": 4810, "optimizer": "momentum", "state_bytes_per_second": 1e11}
    network |= {"batch": [row(*each) for each in rates.items()], "population": []}
    less = {"loss_minus_highest": {"value": -0.01, "low": -0.02, "high": 0.01, "verdict": "no difference found"}}
    precisions = {"default": precision(0.2) | less, "high": precision(0.2, "default"), "highest": precision(0.21)}
    made = {"kind": bench.KIND, "version": bench.VERSION, "environment": ENVIRONMENT | environment, "seconds": 1.0}
    made |= {"effort": {"rounds": rounds, "seconds": 0.2}, "ceilings": {"one_device": ONE, "all_devices": ONE}}
    made |= {"networks": {"small": network}, "precisions": precisions | {"tf32": {"error": "not supported on CPU"}}}
    bench.write(made, path)
    return path


@pytest.fixture
def record() -> Callable[..., Path]:
    """What writes a record."""
    return write_record


@pytest.fixture
def two(tmp_path) -> list[Path]:
    """Records of a CPU and of a faster device, whose precisions differ."""
    gpu = {"platform": "gpu", "device_kind": "Two", "device_count": 1, "matmul_precision": "highest", "jax": "9.9"}
    return [
        write_record(tmp_path / "a.json"),
        write_record(tmp_path / "b.json", {1: 5.0, 64: 300.0, 4096: 900.0}, **gpu),
    ]
