"""Precisions: what a device lacks is said, what equals another is measured once, and losses are paired by seed."""

import jax
import numpy as np
import pytest

from mlp_jax.analysis import comparison
from mlp_jax.bench import precisions
from mlp_jax.machine import devices
from mlp_jax.model import Network
from mlp_jax.training.config import Config

LOSSES = [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.fixture(scope="module")
def measured(tiny) -> dict[str, dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precisions, "NETWORKS", {"wide": Network(inputs=6, hidden=(4,), outputs=3)})
        patch.setattr(precisions, "WORKLOAD", Config(dataset="iris", validation=0.2, epochs=2, evaluations=1))
        return precisions.measured(devices.mesh((1, 1), jax.local_devices()[:1]), tiny, lambda _: None)


@pytest.mark.slow
def test_precisions_state_how_exact_they_are(measured, tiny):
    assert set(measured) == set(precisions.PRECISIONS)
    assert measured["highest"]["product_error"] < 1e-6
    for name in ("default", "high", "highest", "bf16"):
        row = measured[name]
        assert row["asked"] == precisions.PRECISIONS[name]
        assert len(row["validation_losses"]) == tiny.seeds
        assert row["validation_loss"] == np.median(row["validation_losses"])
        assert row["batch_size"] == tiny.precision_batch_size
        assert row["step"]["step_seconds"] > 0
        assert row["product_flops_per_second"] > 0
    for name in ("default", "high", "bf16"):
        assert measured[name]["loss_minus_highest"]["verdict"] == "no difference found"


def test_a_precision_that_the_device_lacks_says_so(measured):
    row = measured["tf32"]  # of a CPU
    assert "not supported" in row["error"]
    assert set(row) == {"asked", "error"}


def test_precisions_that_are_the_same_bit_for_bit_are_measured_once(tiny, monkeypatch):
    said, made = [], []
    found = {"default": 1.0, "high": 1.0, "highest": 2.0, "TF32_TF32_F32": 3.0, "BF16_BF16_F32": 2.0}
    product = lambda: (np.full((2, 2), found[jax.config.jax_default_matmul_precision]), 0.5)
    monkeypatch.setattr(precisions, "product", product)
    monkeypatch.setattr(
        precisions, "_precision", lambda one, effort: made.append(1) or {"same_as": None, "validation_losses": LOSSES}
    )
    rows = precisions.measured(devices.mesh((1, 1), jax.local_devices()[:1]), tiny, said.append)
    assert {name: row["same_as"] for name, row in rows.items()} == {
        "default": None, "high": "default", "highest": None, "tf32": None, "bf16": "highest",
    }  # fmt: skip
    assert len(made) == 3
    assert said == [f"precision {name}" for name in precisions.PRECISIONS]


def test_losses_are_compared_with_the_highest_seed_by_seed():
    rows = {"highest": {"validation_losses": LOSSES}, "bf16": {"validation_losses": [x + 0.25 for x in LOSSES]}}
    compared = precisions._compared(rows | {"tf32": {"error": "not supported"}})
    assert compared["bf16"]["loss_minus_highest"]["value"] == pytest.approx(0.25)
    assert compared["bf16"]["loss_minus_highest"]["verdict"] == comparison.SECOND_LESS
    assert "loss_minus_highest" not in compared["highest"]
    assert compared["tf32"] == {"error": "not supported"}
    alone = precisions._compared({"highest": {"error": "not supported"}, "bf16": {"validation_losses": LOSSES}})
    assert alone["bf16"] == {"validation_losses": LOSSES}


def test_the_error_of_a_product_is_that_of_its_precision(monkeypatch):
    assert precisions.product()[1] < 1e-6
    rough = lambda a, b: np.asarray(a, jax.numpy.bfloat16).astype(np.float32) @ b
    monkeypatch.setattr(precisions.jnp, "dot", rough)
    assert 1e-4 < precisions.product()[1] < 1e-2
