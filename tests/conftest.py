"""What every test shares: strict shapes, CPU devices, a cache of its own, scripts loaded by name, where MNIST is.

There are eight CPU devices, or as many as JAX_NUM_CPU_DEVICES or XLA_FLAGS says.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import jax
import jaxtyping
import pytest

ROOT = Path(__file__).parents[1]

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


@pytest.fixture(scope="module")
def load_script() -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports a script, such as experiments/binary.py, and lets it find the modules beside it."""
    with pytest.MonkeyPatch.context() as patch:

        def load(path: str) -> ModuleType:
            file = ROOT / path
            spec = importlib.util.spec_from_file_location(file.stem, file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            patch.syspath_prepend(file.parent)
            patch.setitem(sys.modules, file.stem, module)  # a dataclass looks its module up
            spec.loader.exec_module(module)
            return module

        yield load


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A function that writes a module of this name where Python finds it; what it registers is forgotten afterwards."""
    from mlp_jax import optimizers

    before, modules = dict(optimizers.OPTIMIZERS), set(sys.modules)

    def forget() -> None:
        optimizers.OPTIMIZERS.clear()
        optimizers.OPTIMIZERS.update(before)
        for name in set(sys.modules) - modules:
            module = sys.modules[name]
            places = [str(getattr(module, "__file__", "")), *map(str, getattr(module, "__path__", ()))]
            if any(place.startswith(str(folder)) for place in places):
                del sys.modules[name]
        importlib.invalidate_caches()

    def write(name: str, text: str) -> Path:
        forget()
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    forget()


@pytest.fixture
def mnist_dir() -> Path:
    """The folder that holds MNIST's IDX files, or a folder above it; the test is skipped where there is none."""
    given = os.environ.get("MLP_JAX_DATA_DIR")
    if not given:
        pytest.skip("MLP_JAX_DATA_DIR is not set: no MNIST here")
    return Path(given).resolve()


@pytest.fixture
def no_beartype() -> Iterator[None]:
    """Leave types unchecked, as they are for users: it is the code itself that must refuse a value."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
