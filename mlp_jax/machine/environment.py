"""Where a record was made: devices, cores, memory, versions, precision, flags, the commit of the code."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import jax

from mlp_jax.machine import devices


def describe() -> dict:
    """Describe where a record was made: devices, cores, memory, versions, precision, flags, the code's commit."""
    there = jax.devices()
    return {
        "platform": there[0].platform,
        "device_kind": there[0].device_kind,
        "device_count": len(there),
        "process_count": jax.process_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": devices.cores(),
        "memory_bytes": devices.memory(),
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


def commit() -> dict:
    """Return the commit of the checkout from which this code runs; {} for an installed package."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
