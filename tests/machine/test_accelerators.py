"""Accelerators that are not here: what is known of them, and what is said where one is unknown or has no compiler."""

from types import SimpleNamespace

import jax
import pytest

from mlp_jax.machine import accelerators


def test_an_unknown_accelerator_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown device 'h9000'; choose one of h100, tpu-7x, tpu-v5e"):
        accelerators.absent("h9000")


@pytest.mark.parametrize("name", accelerators.ACCELERATORS)
def test_without_its_compiler_the_extra_is_named(monkeypatch, name):
    monkeypatch.setattr(accelerators, "_installed", lambda module: False)
    assert not accelerators.has_compiler(name)
    with pytest.raises(
        ValueError, match=rf"compiler for {name} is not installed; pip install 'mlp-jax\[accelerators\]'"
    ):
        accelerators.absent(name)


def test_a_device_is_known_by_what_jax_calls_it():
    for each in accelerators.ACCELERATORS.values():
        assert accelerators.of(SimpleNamespace(device_kind=each.kind)) is each
    assert accelerators.of(jax.devices()[0]) is None


def test_whether_a_module_is_there_is_asked_without_loading_it():
    assert accelerators._installed("json")
    assert not accelerators._installed("no_such_package")
    assert not accelerators._installed("no_such_package.of_it")
