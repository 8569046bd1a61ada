"""The user's cache directory, and the compiled programs in it; it is trusted, so only the user may write there."""

import os
import stat
import warnings
from pathlib import Path

import jax

from mlp_jax.machine import sealed_cache

ADVICE = "remove it or move it away, or name another with MLP_JAX_CACHE_DIR"
_set: list[str] = []  # the directories that were set here, not by the user


def cache_directory(part: str = "") -> Path:
    """Return the directory for caches, or a part of it; if it is missing, make it, private to the user (mode 0700).

    It is `$MLP_JAX_CACHE_DIR` or, without that, the usual one of the system: on Linux `$XDG_CACHE_HOME/mlp_jax` or
    `~/.cache/mlp_jax`.

    Raises:
        OSError: it can't be made, or others may write to it, although its content is trusted.
    """
    if given := os.environ.get("MLP_JAX_CACHE_DIR"):
        directory = Path(given)
    else:
        from platformdirs import user_cache_path

        directory = user_cache_path("mlp_jax", appauthor=False)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check(directory)
    if part:
        directory /= part
        directory.mkdir(mode=0o700, exist_ok=True)
        _check(directory)
        if directory.is_symlink():
            raise PermissionError(f"the cache directory {directory} is a link to elsewhere; {ADVICE}")
    return directory


def _check(directory: Path) -> None:
    if not hasattr(os, "getuid"):  # Windows: a user's folders are private
        return
    status = directory.stat()
    owners = {directory.lstat().st_uid, status.st_uid}
    if owners != {os.getuid()} or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"the cache directory {directory} can be written to by others, who may have put programs there; {ADVICE}"
        )


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk in the user's cache directory, so that a second run need not compile them.

    If that directory is not safe or can't be made, warn and go on without it. A cache that the user has given JAX
    ($JAX_COMPILATION_CACHE_DIR or `jax_compilation_cache_dir`) is used as it is.
    """
    if jax.config.jax_compilation_cache_dir not in (None, "", *_set):  # pyright: ignore[reportAttributeAccessIssue]
        return
    try:
        directory = cache_directory("compiled")
    except OSError as error:
        warnings.warn(f"compiled programs are not cached: {error}", stacklevel=2)
        return
    sealed_cache.install(directory)
    _set.append(str(directory))
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
