"""Several processes of one run, on one or many hosts, which JAX's distributed runtime joins and lets send messages.

Invariant: if a process fails, is interrupted or dies, all others end too, each with one line that says why. A process
that runs alone is process 0 of 1.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax._src import distributed  # the client has no public name
from jax.errors import JaxRuntimeError

from mlp_jax.machine.aborts import Abort

CONNECT_SECONDS = 60  # the wait for the other processes at the start
DEATH_SECONDS = 30  # after so long without a sign of life, a process counts as dead
LOOPBACK = re.compile(r"(127\.|localhost:|\[::1\])")  # addresses at which process 0 listens on this machine alone
LOOK_SECONDS = 1.0  # between two looks at whether the run has been stopped, while waiting for a message


def start(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    seconds: int = CONNECT_SECONDS,
) -> None:
    """Join the other processes of this run; call it before JAX computes anything.

    From then on, if another process dies, this one ends after at most DEATH_SECONDS, with a line on stderr and exit
    code 1. If the processes do not come together, each ends with a line and exit code 2.

    Args:
        coordinator: HOST:PORT at which process 0 listens. Without the first three arguments, JAX takes them from the
            cluster in which it runs (SLURM, Open MPI, Kubernetes, TPU pods).
        num_processes: how many processes there are.
        process_id: the number of this process, from 0.
        seconds: how long to wait for the others.

    Raises:
        ValueError: only some of the three are given, a value is not allowed or differs between processes, or no cluster
            is found.
        OSError: process 0 can't listen at the port, or no one answers there.
    """
    _check(coordinator, num_processes, process_id)
    end = time.monotonic() + seconds
    if coordinator is not None:
        (_check_free if process_id == 0 else _await_answer)(coordinator, end)
    abort = Abort(
        f"the processes of this run did not come together in {seconds} s",
        "give each the same --coordinator and --num-processes and its own --process-id, and start all of them",
        code=2,
    )
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=max(1, round(end - time.monotonic())),
            heartbeat_timeout_seconds=DEATH_SECONDS,
            coordinator_bind_address=coordinator if coordinator and LOOPBACK.match(coordinator) else None,
        )
    except ValueError as error:
        if coordinator is not None:
            raise
        raise ValueError(
            f"JAX finds no cluster here ({error}); give --coordinator, --num-processes and --process-id"
        ) from error
    abort.means(
        "another process of this run has ended", "run the same command to go on, with any number of processes", code=1
    )
    _agree_on_count()
    jax.devices()  # starts the back ends, which wait for each other


def count() -> int:
    """Return how many processes there are."""
    return distributed.global_state.num_processes


def index() -> int:
    """Return the number of this process, from 0."""
    return distributed.global_state.process_id


def name() -> str:
    """Return the name of this process for messages."""
    return f"process {index()} of {count()}"


def send(key: str, value: bytes) -> None:
    """Send a message to all processes; each key can be used once."""
    _client().key_value_set_bytes(key, value)


def receive(key: str) -> bytes:
    """Wait for a message and return it.

    Raises:
        ValueError: a process has failed in the meantime.
    """
    while (value := receive_if_there(key, LOOK_SECONDS)) is None:
        stopped()
    return value


def receive_if_there(key: str, seconds: float = 0.001) -> bytes | None:
    """Return a message, or None if it does not come within so many seconds."""
    try:
        return _client().blocking_key_value_get_bytes(key, max(1, int(1000 * seconds)))
    except JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        return None


def receive_all(start: str) -> list[tuple[str, bytes]]:
    """Return all new messages whose keys begin with `start`, each with the rest of its key, and each only once."""
    messages = _client().key_value_dir_get_bytes(start)
    for key, _ in messages:
        _client().key_value_delete(key)
    return [(key.removeprefix(start), value) for key, value in messages]


def take(key: str) -> int:
    """Return the next number, from 0, that no process has taken yet under this key."""
    return _client().key_value_increment(key, 1) - 1


def stop(reason: str = "") -> None:
    """Ask all processes to stop, as if interrupted or, with a reason, as after a failure."""
    _client().key_value_set_bytes("stop", reason.encode(), allow_overwrite=True)


def stopped() -> bool:
    """Tell whether a process has been interrupted.

    Raises:
        ValueError: a process has failed.
    """
    reason = receive_if_there("stop")
    if reason:
        raise ValueError(reason.decode())
    return reason is not None


def interruptible(interrupted: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that is true if any process is interrupted; the interrupted process tells the others."""

    def asked() -> bool:
        if interrupted() and not stopped():
            stop()
        return stopped()

    return asked


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Stop all other processes when this one fails inside the `with` block."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(JaxRuntimeError):
            if receive_if_there("stop") is None:
                stop(
                    ""
                    if isinstance(error, KeyboardInterrupt)
                    else f"{name()} failed: {str(error) or type(error).__name__}"
                )
        raise


def _client() -> Any:
    client = distributed.global_state.client
    assert client is not None, "start() comes first"
    return client


def _check(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    if missing := [name for name, value in given.items() if value is None]:
        if len(missing) < len(given):
            raise ValueError(f"{missing[0]} is missing; give all of {', '.join(given)}, or none in a cluster JAX knows")
        return
    assert coordinator is not None
    assert num_processes is not None
    assert process_id is not None
    if not (match := re.fullmatch(r"(\S+):(\d{1,5})", coordinator)) or not 1 <= int(match[2]) < 2**16:
        raise ValueError(f"--coordinator {coordinator!r} is not an address; give HOST:PORT, as in 10.0.0.1:9911")
    if num_processes < 1:
        raise ValueError(f"--num-processes {num_processes} is not allowed; give a whole number of at least 1")
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"--process-id {process_id} is not allowed; {num_processes} process(es) have the numbers from 0 to "
            f"{num_processes - 1}"
        )


def _check_free(coordinator: str, _: float) -> None:
    """Raise an OSError if the port is taken, since the runtime would end the process."""
    port = int(coordinator.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise OSError(
            f"process 0 can't listen at port {port} ({os.strerror(error.errno or 0)}); name another --coordinator"
        ) from error


def _await_answer(coordinator: str, end: float) -> None:
    host, _, port = coordinator.rpartition(":")
    begin = time.monotonic()
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, end - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() >= end or isinstance(error, socket.gaierror):
                raise OSError(
                    f"no coordinator answers at {coordinator} (tried for {time.monotonic() - begin:.0f} s: "
                    f"{error.strerror or error}); start process 0 there, or correct --coordinator"
                ) from error
        time.sleep(0.2)


def _agree_on_count() -> None:
    """Raise a ValueError if the numbers of processes differ: the runtime would not notice, and wait for minutes."""
    send(f"count/{index()}", str(count()).encode())
    for other in range(1, count()) if index() == 0 else [0]:
        if (there := int(receive(f"count/{other}"))) != count():
            raise ValueError(
                f"process {other} was started with --num-processes {there}, {name()} with {count()}; give the same"
            )
