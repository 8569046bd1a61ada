"""What every test shares: strict shapes, CPU devices, a cache of its own, where MNIST is.

There are eight CPU devices, or as many as JAX_NUM_CPU_DEVICES or XLA_FLAGS says.
"""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", 8)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under `-m backend`, leave the files without such a test unread: a bare machine may lack what they import."""
    if config.option.markexpr != "backend" or not collection_path.name.startswith("test_"):
        return None
    return "mark.backend" not in collection_path.read_text(encoding="utf-8") or None


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
