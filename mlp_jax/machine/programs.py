"""Compiled programs: a function is compiled once for each kind of its arguments, and every call is awaited and timed.

Invariant: a program is found again only for arguments of the same shapes, types and places, and under the same
precision of the products.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

from mlp_jax.machine.clocks import Clock

# Parameters are copied on every step without it: that is an eighth to a sixth of a step at batch size 1.
CPU_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


class Program:
    """What a jitted function becomes once it is compiled; `static` are its first arguments, given once."""

    def __init__(self, jitted: Any, *static: Any) -> None:
        self.compiled: dict[tuple, Callable] = {}
        self._jitted, self._static = jitted, static

    def __call__(self, part: str, clock: Clock, *arguments: Any) -> Any:
        """Run it and await it; its time counts as `part`, that of a first use as tracing and compilation too."""
        with clock(part):
            if compiled := self.compiled.get(_kind(arguments)):
                return jax.block_until_ready(compiled(*arguments))
        compiled = self.compile(clock, *arguments)
        with clock(part):
            return jax.block_until_ready(compiled(*arguments))

    def compile(self, clock: Clock, *arguments: Any) -> Callable:
        """Compile it for such arguments and return that, without running it."""
        with clock("tracing"):
            lowered = self._jitted.trace(*self._static, *arguments).lower()
        with clock("compilation"):
            compiled = lowered.compile(_options(arguments))
        self.compiled[_kind(arguments)] = compiled
        return compiled


@lru_cache(maxsize=256)
def shared(jitted: Any, *static: Any) -> Program:
    """Return the program of a function; all who ask for the same one share it, and what it has compiled."""
    return Program(jitted, *static)


def _kind(arguments: tuple) -> tuple:
    """What a compiled program is for."""
    leaves, structure = jax.tree.flatten(arguments)
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return precision, structure, *((jax.typeof(leaf), _devices(leaf)) for leaf in leaves)


def _devices(leaf: Any) -> frozenset:
    """Where an array lies; one of NumPy's goes where the others are."""
    return frozenset(leaf.devices()) if isinstance(leaf, jax.Array) else frozenset()


def _options(arguments: tuple) -> dict[str, Any] | None:
    platforms = {device.platform for leaf in jax.tree.leaves(arguments) for device in _devices(leaf)}
    return CPU_OPTIONS if platforms == {"cpu"} else None
