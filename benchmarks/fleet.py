"""One process a core, one thread each: how PyTorch's and scikit-learn's users keep every core busy with trials.

Invariant: a process sleeps on its pipe unless it has been asked for something.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import contenders
from contenders import Weights
from turns import Contender

FACTORIES: dict[str, Callable[..., Contender]] = {
    "torch_eager": contenders.torch_eager,
    "torch_compile": contenders.torch_compile,
    "sklearn": contenders.sklearn,
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
AVX512 = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}


class Fleet:
    """Processes that share the trials of a contender; they are started by the first one and end with the `with`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pipes: list[Connection] = []

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_) -> None:
        for pipe in self._pipes:
            pipe.close()

    def contender(self, name: str, trials: Sequence[Weights], batch_size: int) -> Contender:
        """Return FACTORIES[name] with its trials spread over the processes, which run at the same time.

        Raises:
            RuntimeError: a process can't; the message is its error's.
        """
        if not self._pipes:
            self._start()
        shares = [trials[rank :: self._size] for rank in range(min(self._size, len(trials)))]
        self._ask([("make", name, share, batch_size) for share in shares])

        def loss() -> float:
            losses = self._ask([("loss", name)] * len(shares))
            return sum(loss * len(share) for loss, share in zip(losses, shares)) / len(trials)

        def run(count: int) -> None:
            self._ask([("run", name, count)] * len(shares))

        return Contender(loss, run)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with _environment(ONE_THREAD | _openblas()):
            for _ in range(self._size):
                here, there = context.Pipe()
                context.Process(target=serve, args=(there, contenders.ROWS), daemon=True).start()
                there.close()
                self._pipes.append(here)

    def _ask(self, messages: list[tuple]) -> list:
        """Send each process its message at once, and return the answers when all have come."""
        for pipe, message in zip(self._pipes, messages):
            pipe.send(message)
        answers = [_answer(pipe) for pipe, _ in zip(self._pipes, messages)]
        if errors := [error for _, error in answers if error is not None]:
            raise RuntimeError(errors[0])
        return [answer for answer, _ in answers]


@contenders.settled_torch(1)
def serve(pipe: Connection, rows: int) -> None:
    """Answer messages until the other end closes: make a contender, tell its loss, run it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks is interrupted, and closes
    contenders.quiet()
    x, y = contenders.noise(rows)
    made: dict[str, Contender] = {}
    while True:
        try:
            what, name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            if what == "make":
                made.pop(name, None)
                made[name] = FACTORIES[name](x, y, *arguments)
                answer = None
            else:
                answer = getattr(made[name], what)(*arguments)
            pipe.send((answer, None))
        except Exception as error:  # it is the asker's to handle
            pipe.send((None, str(error) or type(error).__name__))


def _answer(pipe: Connection) -> tuple:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None, "a process of it has ended"


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Give processes that start inside these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _openblas() -> dict[str, str]:
    """Have OpenBLAS use AVX-512 where it does not know that the processor can: scikit-learn is faster by a fifth."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:
        return {}
    return {"OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "SKYLAKEX")} if set(flags) >= AVX512 else {}
