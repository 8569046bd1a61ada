"""Training timed: rates are those of the steps that were taken, and what does not fit into memory says so."""

import jax
import pytest

from mlp_jax import trial
from mlp_jax.bench import ceilings, training, workloads
from mlp_jax.bench.effort import Effort
from mlp_jax.machine import devices
from mlp_jax.model import Network

NETWORK = Network(inputs=6, hidden=(4,), outputs=3)


@pytest.fixture
def a_step_takes_a_hundredth(monkeypatch):
    monkeypatch.setattr(training, "median_seconds", lambda run, seconds, rounds: run(1) or 0.01)


def test_a_step_of_one_trial_has_its_examples_per_second(tiny: Effort, a_step_takes_a_hundredth):
    row = training.step(NETWORK, 8, workloads.held(*workloads.noise(NETWORK, 64)), tiny)
    assert (row["step_seconds"], row["examples_per_second"]) == (0.01, pytest.approx(800))
    assert row["compile_seconds"] > 0


def test_trials_together_count_each_step_of_each_trial(tiny: Effort, a_step_takes_a_hundredth):
    row = training.together(NETWORK, 9, workloads.held(*workloads.noise(NETWORK, 64)), tiny)
    flops = ceilings.flops(ceilings.products(NETWORK, row["batch_size"]))
    assert row["trial_steps_per_second"] == pytest.approx(900)
    assert row["flops_per_second"] == pytest.approx(900 * flops)
    assert row["compile_seconds"] > 0


def test_a_batch_that_does_not_fit_is_said_in_its_row(tiny, monkeypatch):
    data = workloads.held(*workloads.noise(NETWORK, 64))
    monkeypatch.setattr(devices, "free_memory", lambda _: 1000)
    row = training.or_memory(lambda: training.step(NETWORK, 8, data, tiny))
    assert list(row) == ["error"]
    assert "one trial needs" in row["error"]
    row = training.or_memory(lambda: training.together(NETWORK, 64, data, tiny))
    assert "one trial needs" in row["error"]
    held, working = trial.needed_bytes(trial.Cell(network=NETWORK, batch_size=32), {"learning_rate": 0, "momentum": 0})
    least = (2 * held + working + data.x.nbytes + data.y.nbytes) / devices.MEMORY_SHARE
    monkeypatch.setattr(devices, "free_memory", lambda _: int(least) + 100)
    row = training.or_memory(lambda: training.together(NETWORK, 64, data, tiny))
    assert row == {"error": f"{len(jax.devices())} trials fit into the memory that is free"}


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB\nmore")])
def test_running_out_of_memory_is_a_row_and_anything_else_is_not(error):
    def fail(raised: Exception) -> dict:
        raise raised

    row = training.or_memory(lambda: fail(error))
    assert "\n" not in row["error"]
    with pytest.raises(ValueError, match="not finite"):
        training.or_memory(lambda: fail(ValueError("not finite")))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        training.or_memory(lambda: fail(jax.errors.JaxRuntimeError("INTERNAL: not our memory")))


def test_an_error_is_one_line_or_its_name():
    assert training.one_line(ValueError("\n first\nsecond")) == "first"
    assert training.one_line(MemoryError()) == "MemoryError"
