"""The cache directory: what lies there is trusted, so others may not write to any part of it; the user's own stays."""

import os
import subprocess
import sys

import jax
import pytest

from mlp_jax.machine import cache


def test_a_part_is_checked_as_the_whole_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    cache.cache_directory("compiled").chmod(0o777)
    with pytest.raises(PermissionError, match="compiled can be written to by others.*; remove it or move it away"):
        cache.cache_directory("compiled")
    (tmp_path / "compiled").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "compiled").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="compiled is a link to elsewhere; remove it"):
        cache.cache_directory("compiled")


def test_the_users_own_compilation_cache_is_respected(tmp_path):
    code = """
import jax
from mlp_jax.machine import cache
before = jax.config.jax_persistent_cache_min_compile_time_secs
cache.enable_compilation_cache()
print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs == before)
"""
    own = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert done.stdout == f"{tmp_path / 'own'} True\n"
    assert jax.config.jax_compilation_cache_dir != str(tmp_path / "own")
