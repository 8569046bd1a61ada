"""The machine: how many CPU devices start, and a cache that only its owner may write to."""

import os
import stat
import subprocess
import sys
import warnings

import jax
import pytest

from mlp_jax.machine import cache


def test_cache_directory_is_private(tmp_path, monkeypatch):
    monkeypatch.delenv("MLP_JAX_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    directory = cache.cache_directory()
    assert directory == tmp_path / "xdg" / "mlp_jax"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_directory() == tmp_path / "home/.cache/mlp_jax"


def test_a_cache_that_others_may_write_to_is_refused_with_a_warning(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(shared))
    with pytest.raises(PermissionError, match="can be written to by others.*; remove it or move it away, or name"):
        cache.cache_directory()
    before = jax.config.jax_compilation_cache_dir
    with pytest.warns(UserWarning, match="compiled programs are not cached: the cache directory"):
        cache.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_cache_that_can_not_be_made_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="compiled programs are not cached"):
        cache.enable_compilation_cache()


def test_programs_are_kept_where_only_their_owner_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path / "cache"))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        with warnings.catch_warnings(action="error"):
            cache.enable_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache/compiled")
        assert stat.S_IMODE(os.stat(tmp_path / "cache/compiled").st_mode) == 0o700
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


STARTED = """
import warnings
from mlp_jax.machine import devices
import jax
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    devices.start_cpu_devices(3)
print(len(jax.devices()), devices.mesh().size, [str(w.message) for w in caught])
"""


@pytest.mark.parametrize(("before", "count", "warns"), [("", 3, False), ("jax.devices()", 1, True)])
def test_one_cpu_device_for_each_core_unless_jax_has_started(before, count, warns):
    code = STARTED.format(before=before)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith(f"{count} {count} ")
    assert ("call mlp_jax.devices.start_cpu_devices() before the first computation" in out) == warns
