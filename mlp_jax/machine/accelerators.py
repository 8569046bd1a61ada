"""Accelerators that need not be here: their makers' data, and their compilers, which need no device.

Invariant: a compiler for an absent device runs in a process that uses the CPU alone.
"""

import importlib.util
import logging
import os
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from mlp_jax.checks import choose

MIB = 2**20
TPU = {
    "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several processes may compile at once: none of them holds a TPU
}  # fmt: skip
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 memory_bandwidth: 3352320000000
  l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072 device_address_bits: 64
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  device_vendor: "NVIDIA Corporation" name: "NVIDIA H100 80GB HBM3"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
"""


class Accelerator(NamedTuple):
    """One device, as JAX counts them, with its maker's data; `kind` is JAX's name for it.

    `memory` is its size in bytes, and `bytes_per_second` what it moves. `flops_per_second` is for float32 products at
    the default precision. `fast` is the size of the memory on the chip that programs work in, 0 if it has caches
    instead.
    """

    kind: str
    platform: str
    topology: str
    memory: int
    bytes_per_second: float
    flops_per_second: float
    fast: int = 0
    hertz: float | None = None


ACCELERATORS = {
    "h100": Accelerator("NVIDIA H100 80GB HBM3", "cuda", "1x1x4", 84942979072, 3.35e12, 494e12),
    "tpu-v5e": Accelerator("TPU v5 lite", "tpu", "v5e:2x2", 16 * 2**30, 0.819e12, 197e12, 128 * MIB, 1.5e9),
    "tpu-v5p": Accelerator("TPU v5", "tpu", "v5p:2x2x1", 95 * 2**30, 2.765e12, 459e12, 128 * MIB, 1.75e9),
    "tpu-v6e": Accelerator("TPU v6 lite", "tpu", "v6e:2x2", 32 * 2**30, 1.64e12, 918e12, 128 * MIB),
    "tpu-7x": Accelerator("TPU7x", "tpu", "tpu7x:2x2x1", 96 * 2**30, 3.69e12, 1153e12, 64 * MIB),
}
COMPILERS = {"cuda": "jax_plugins.xla_cuda13", "tpu": "libtpu"}


def absent(name: str) -> Any:
    """Return four absent devices of this kind, for a compiler.

    It must be called before JAX starts a back end, and only once in a process, which then computes on the CPU alone.

    Raises:
        ValueError: there is no such accelerator, or its compiler is not installed.
    """
    device = ACCELERATORS[choose("device", name, ACCELERATORS)]
    if not has_compiler(name):
        raise ValueError(
            f"the compiler for {name} is not installed; pip install 'mlp-jax[accelerators]', or choose another device"
        )
    logging.getLogger(COMPILERS["cuda"]).setLevel(logging.ERROR)  # it logs what the absent device would need
    os.environ.update(TPU if device.platform == "tpu" else {})
    jax.config.update("jax_platforms", "cpu")
    asked = {"platform": device.platform, "topology_name": device.topology}
    if device.platform == "cuda":
        asked |= {"topology_name": "", "topology": device.topology, "target_config": H100}
    return topologies.get_topology_desc(**asked).devices


def of(device: Any) -> Accelerator | None:
    """Return the data of a JAX device, found by its kind; None if they are not known."""
    return next((each for each in ACCELERATORS.values() if each.kind == device.device_kind), None)


def has_compiler(name: str) -> bool:
    """Tell whether the compiler for an accelerator is installed."""
    return _installed(COMPILERS[ACCELERATORS[name].platform])


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
