"""One name, one thing: what a package hands out hides no module of its own."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import mlp_jax

PACKAGES = ["mlp_jax"] + [found.name for found in pkgutil.walk_packages(mlp_jax.__path__, "mlp_jax.") if found.ispkg]


def doubles(package: str) -> list[str]:
    """Name the functions and classes, in a package and the modules it holds, that are called like one of the latter."""
    room = importlib.import_module(package)
    beside = {found.name for found in pkgutil.iter_modules(room.__path__)} - {"__main__"}
    modules = [room, *(importlib.import_module(f"{package}.{name}") for name in sorted(beside))]
    return [
        f"{module.__name__}.{name}"
        for module in modules
        for name in sorted(beside & {*vars(module), *getattr(module, "__all__", ())})
        if not isinstance(getattr(module, name), ModuleType)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_or_class_is_called_like_a_module_beside_it(package):
    assert doubles(package) == []
