"""What this machine is: its back end, its description for records, and the user's own cache directory.

Importing this starts no back end; `describe` does.
"""

import os
import platform
import stat
import subprocess
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

MEMORY_SHARE = 0.8  # of what a device has free


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


def start_cpu_devices(count: int | None = None) -> None:
    """Make JAX see `count` CPU devices, by default $JAX_NUM_CPU_DEVICES or one a core, before anything runs on JAX.

    When the back end has started with fewer, warn and go on with these.
    """
    asked = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]  # −1 where nobody asked
    count = count or (asked if asked > 0 else cores())
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        if (there := len(jax.devices("cpu"))) < count:
            warnings.warn(
                f"JAX has started with {there} CPU device(s), so {count} cores are not all used; call "
                "mlp_jax.devices.start_cpu_devices() before the first computation",
                stacklevel=2,
            )


def missing_back_end() -> str | None:
    """Say why JAX can't start a back end, and what to do; None if it can."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second where nothing of the name is installed
        asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        why = next(iter(str(error).splitlines()), f"nothing for {asked} is installed")
        return (
            f"JAX can't start its back end ({why}); leave JAX_PLATFORMS unset for what is here, or install what it "
            "names: pip install 'jax[cuda13]' for a GPU, 'jax[tpu]' for a TPU"
        )
    return None


def mesh(shape: tuple[int, int] | None = None, there: Sequence[Any] | None = None) -> Mesh:
    """Return `there`, by default this process's devices, as a mesh with the axes trial and data; neighbours share data.

    Args:
        shape: how many lie along each axis; None is all along the trial axis.

    Raises:
        ValueError: `shape` does not multiply to the devices.
    """
    there = jax.local_devices() if there is None else there
    trial, data = shape or (len(there), 1)
    if trial < 1 or data < 1 or trial * data != len(there):
        fitting = ", ".join(f"{len(there) // d} × {d}" for d in range(1, len(there) + 1) if len(there) % d == 0)
        raise ValueError(f"mesh {trial} × {data} does not fit the {len(there)} device(s) here; give one of {fitting}")
    return Mesh(np.asarray(there).reshape(trial, data), ("trial", "data"))


def free_memory(device: Any) -> int:
    """Return the bytes that are free on a device; CPU devices share what the machine has available."""
    if statistics := device.memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return _available_memory() // max(1, jax.local_device_count())


def check_memory(needed: int, device: Any) -> None:
    """Raise a ValueError if one trial, with its data, needs more bytes than MEMORY_SHARE of what is free."""
    free = free_memory(device)
    if needed > MEMORY_SHARE * free:
        raise ValueError(
            f"one trial needs {needed / 2**20:,.0f} MiB with its data, and a device has {free / 2**20:,.0f} MiB free; "
            "choose narrower layers or a smaller batch"
        )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict:
    """Describe where a record was made: devices, cores, memory, versions, precision, flags, the code's commit."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "process_count": jax.process_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": _memory(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jax", "jaxlib", "optax", "numpy")},
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
        "matmul_precision": jax.config.jax_default_matmul_precision or "default",  # pyright: ignore[reportAttributeAccessIssue]
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        **commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _available_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return _memory() or 2**33


def commit() -> dict:
    """Return the commit of the checkout that this code runs from; nothing for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
