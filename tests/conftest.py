"""What every test shares: strict shapes, eight CPU devices, a cache of its own, and where MNIST is."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def mnist_dir() -> Path:
    """The folder that holds MNIST's IDX files, or a folder above it; the test is skipped where there is none."""
    given = os.environ.get("MLP_JAX_DATA_DIR")
    if not given:
        pytest.skip("MLP_JAX_DATA_DIR is not set: no MNIST here")
    return Path(given).resolve()
