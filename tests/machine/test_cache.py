"""The cache directory: what lies there is trusted, so others may not write to any part of it; the user's own stays."""

import os
import subprocess
import sys

import jax
import pytest

from mlp_jax.machine import cache
from mlp_jax.machine.sealed_cache import SUFFIX, SealedCache


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


@pytest.mark.parametrize("harm", ["cut", "flipped", "of another program", "a link", "a folder"])
def test_no_damaged_or_foreign_program_is_taken_and_it_is_made_anew_once(tmp_path, harm):
    kept = SealedCache(tmp_path)
    for key in ("one", "two"):
        kept.put(key, key.encode() * 100)
    path, other = (tmp_path / f"{key}{SUFFIX}" for key in ("one", "two"))
    content = path.read_bytes()
    if harm == "cut":
        path.write_bytes(content[:-7])
    elif harm == "flipped":
        path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    elif harm == "of another program":
        path.write_bytes(other.read_bytes())
    else:
        path.unlink()
        path.symlink_to(other) if harm == "a link" else path.mkdir()
    with pytest.warns(UserWarning, match="a compiled program in .* was damaged: it is made anew"):
        assert kept.get("one") is None
    other.write_bytes(b"")
    assert kept.get("two") is None, "and without another warning, which would be an error here"
    kept.put("one", b"again")
    assert kept.get("one") == b"again"
    assert kept.get("three") is None


def test_jax_takes_no_program_of_another_name(tmp_path):
    code = """
import jax, jax.numpy as jnp
from mlp_jax.machine import cache
cache.enable_compilation_cache()
print(jax.jit(lambda x: x + 1)(jnp.ones(3))[0], jax.jit(lambda x, y: (x * y, x - y))(jnp.ones(3), jnp.ones(3))[0][0])
"""
    own = os.environ | {"MLP_JAX_CACHE_DIR": str(tmp_path)}
    run = lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    tmp_path.chmod(0o700)
    assert run().stdout == "2.0 1.0\n"
    programs = sorted((tmp_path / "compiled").glob("*" + SUFFIX))
    assert len(programs) >= 2, "this version of JAX keeps its programs elsewhere: see sealed_cache.install"
    contents = [path.read_bytes() for path in programs]
    for path, content in zip(programs, contents[1:] + contents[:1]):
        path.write_bytes(content)
    done = run()
    assert (done.returncode, done.stdout) == (0, "2.0 1.0\n")
    assert "Traceback" not in done.stderr
    assert [path.read_bytes()[:32] for path in programs] == [content[:32] for content in contents] or run().stderr == ""
