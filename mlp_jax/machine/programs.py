"""Compiled programs: a function is compiled once for each kind of arguments, and every call is awaited and timed.

Invariant: a compiled program is used again only for arguments of the same shapes, types and devices, and with the same
precision of products. The process keeps at most CAPACITY shared programs, those that were asked for last. No other
thread compiles while one measures `undisturbed`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from mlp_jax.machine.clocks import Clock

# Without it parameters are copied on every step, which takes an eighth to a sixth of a step at batch size 1.
CPU_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}
CAPACITY = 64  # one takes about 3 MB of memory; the default study has 57


class Program:
    """A jitted function with what it has compiled; `static` are its first arguments, given once.

    Threads may share it: a thread that needs a program which another thread is compiling waits for it.
    """

    def __init__(self, jitted: Any, *static: Any) -> None:
        self.compiled: dict[tuple, Callable] = {}
        self._jitted, self._static = jitted, static
        self._locks: dict[tuple, threading.Lock] = {}

    def __call__(self, part: str, clock: Clock, *arguments: Any) -> Any:
        """Run it and await it; its time counts as `part`, and at a first use also as tracing and compilation."""
        with clock(part):
            if compiled := self.compiled.get(_kind(arguments)):
                return jax.block_until_ready(compiled(*arguments))
        compiled = self.compile(clock, *arguments)
        with clock(part):
            return jax.block_until_ready(compiled(*arguments))

    def compile(self, clock: Clock, *arguments: Any) -> Callable:
        """Compile it for such arguments, unless that was done before, and return the compiled function; do not run it.

        A background thread needs a clock of its own, and must enter `jax.default_matmul_precision` itself, which holds
        for one thread only. The time that the foreground waits for it counts as compilation.
        """
        kind = _kind(arguments)
        lock = self._locks.setdefault(kind, threading.Lock())
        with _work.compiling(clock):
            with clock("compilation"):
                lock.acquire()
            try:
                if kind not in self.compiled:
                    with clock("tracing"):
                        lowered = self._jitted.trace(*self._static, *arguments).lower()
                    with clock("compilation"):
                        self.compiled[kind] = lowered.compile(_options(arguments))
                return self.compiled[kind]
            finally:
                lock.release()


class _Work:
    """What the threads of this process do now: any number of them compile, or one measures and may compile too."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._compiling, self._measuring = 0, 0  # how many threads, and which one

    @contextmanager
    def compiling(self, clock: Clock) -> Iterator[None]:
        """Wait until no other thread measures; none begins to measure before the block ends."""
        with clock("compilation"), self._change:
            self._change.wait_for(lambda: self._measuring in (0, threading.get_ident()))
            self._compiling += 1
        try:
            yield
        finally:
            with self._change:
                self._compiling -= 1
                self._change.notify_all()

    @contextmanager
    def undisturbed(self, clock: Clock) -> Iterator[None]:
        """Wait until no thread compiles or measures; until the block ends, other threads that want to must wait."""
        with clock("compilation"), self._change:
            self._change.wait_for(lambda: not (self._compiling or self._measuring))
            self._measuring = threading.get_ident()
        try:
            yield
        finally:
            with self._change:
                self._measuring = 0
                self._change.notify_all()


_work = _Work()
undisturbed = _work.undisturbed  # a compiler takes the cores that a measurement needs


_shared: dict[tuple, Program] = {}  # in the order in which they were last asked for
_lock = threading.RLock()


def shared(function: Callable, *key: Any) -> Program:
    """Return the program of a function; all callers that ask for the same one share it, and what it has compiled.

    Args:
        function: a jitted function whose first arguments `key` are static; or a plain function that makes a jitted
            function of `key`, which is dropped with its program.
        key: hashable values.
    """
    with _lock:
        program = _shared.pop((function, key), None)
        if program is None:
            program = Program(function, *key) if hasattr(function, "trace") else Program(function(*key))
        _shared[function, key] = program
        _drop_oldest()
    return program


def _drop_oldest() -> None:
    """Keep only CAPACITY compiled programs; code that holds a dropped one may go on using it."""
    count = sum(len(program.compiled) for program in _shared.values())
    for name in list(_shared)[:-1]:
        if count <= CAPACITY:
            return
        program = _shared.pop(name)
        count -= len(program.compiled)
        program._jitted.clear_cache()  # JAX would keep the traces of a function that stays alive


def _kind(arguments: tuple) -> tuple:
    """Return the kind of arguments of a compiled program; shapes with a sharding stand for arrays placed so."""
    leaves, structure = jax.tree.flatten(arguments)
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return precision, structure, *((_type(leaf), _devices(leaf)) for leaf in leaves)


def _type(leaf: Any) -> tuple:
    known = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf)
    return known.shape, known.dtype, known.weak_type


def _devices(leaf: Any) -> frozenset:
    """Return the devices of an array; none for a NumPy array, which goes to the devices of the others."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return frozenset(leaf.sharding.device_set) if leaf.sharding is not None else frozenset()
    return frozenset(leaf.devices()) if isinstance(leaf, jax.Array) else frozenset()


def _options(arguments: tuple) -> dict[str, Any] | None:
    platforms = {device.platform for leaf in jax.tree.leaves(arguments) for device in _devices(leaf)}
    return CPU_OPTIONS if platforms == {"cpu"} else None
