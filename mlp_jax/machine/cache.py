"""The user's own cache directory, and compiled programs kept in it: what lies there is trusted, so it is private."""

import os
import stat
import warnings
from pathlib import Path

import jax


def cache_directory() -> Path:
    """Return the directory for caches, private to the user (mode 0700), making it when it is missing.

    It is `$MLP_JAX_CACHE_DIR`, else `$XDG_CACHE_HOME/mlp_jax`, else `~/.cache/mlp_jax`.

    Raises:
        OSError: it can't be made, or others may write to it (what is cached there is trusted).
    """
    given = os.environ.get("MLP_JAX_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(given) if given else Path(base) / "mlp_jax"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"the cache directory {directory} can be written to by others; run chmod 700 {directory}")
    return directory


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk in the user's cache directory, so that a second run compiles in no time.

    When that directory is not safe or can't be made, warn and go on without it.
    """
    try:
        directory = cache_directory() / "compiled"
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        warnings.warn(f"compiled programs are not cached: {error}", stacklevel=2)
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
