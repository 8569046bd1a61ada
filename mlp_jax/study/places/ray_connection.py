"""Connect Ray to a cluster that answers, and leave nothing in this process changed afterwards."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import mlp_jax

ANSWER = 30.0  # seconds that a cluster has to answer


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Give the module ray, connected to a cluster; what Ray starts here is silent, serves no page, reports no usage."""
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address not in (None, "local"):
        _check_answer(address)
    with _same_handler(signal.SIGTERM):  # Ray sets a handler of its own
        ray.init(
            address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": [mlp_jax]},  # so that all workers run this process's code
        )
    try:
        yield ray
    finally:
        ray.shutdown()


def _imported() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.util.scheduling_strategies  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ValueError("Ray is not installed; run pip install 'mlp-jax[ray]'") from error
    return ray


def _check_answer(address: str) -> None:
    """Connect in a separate process first: Ray would try a silent address for many minutes, and then exit."""
    code = "import logging, sys, ray; ray.init(sys.argv[1], logging_level=logging.ERROR, log_to_driver=False)"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code, address],
            capture_output=True,
            text=True,
            timeout=ANSWER,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        reason = "nothing was heard"
    else:
        if tried.returncode == 0:
            return
        reason = next(iter(reversed(tried.stderr.strip().splitlines())), f"exit code {tried.returncode}")
    raise ConnectionError(
        f"no Ray cluster answers at {address!r} within {ANSWER:.0f} s ({reason}); give the host:port that ray start "
        "--head printed (set RAY_AUTH_MODE=token if it asks for a token), or no address to start one here"
    )


@contextlib.contextmanager
def _same_handler(number: int) -> Iterator[None]:
    """Restore a signal's handler at the end of the `with` block."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, before)
