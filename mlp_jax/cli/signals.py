"""Signals: SIGINT and SIGTERM end a program as an exception does, or are noted where work can be kept first.

Invariant: an interruption is not lost, also where other code swallows the exception.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

MOMENT = 0.05  # seconds, after which a signal comes again whose exception Python swallowed
_raised: list[int] = []  # signals that were raised as KeyboardInterrupt; code that imports or compiles may swallow it


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether a SIGINT or SIGTERM came; a second signal ends the program as usual.

    The function is also true if a signal came earlier and its exception was swallowed.
    """
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        for signal_, handler in before.items():
            signal.signal(signal_, handler)

    before = {signal_: signal.signal(signal_, note) for signal_ in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received or _raised)
    finally:
        for signal_, handler in before.items():
            signal.signal(signal_, handler)


def swallowed() -> bool:
    """Return whether the program was interrupted, but other code caught the exception."""
    return bool(_raised)


@contextlib.contextmanager
def end_the_program() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and lose neither of them where Python swallows exceptions.

    It does in a finalizer, say: there the signal comes again a moment later, unless the program has ended by then.
    """
    pending: list[threading.Timer] = []

    def raise_(number: int, _: object) -> NoReturn:
        _raised.append(number)
        raise KeyboardInterrupt

    def unraisable(found: Any) -> None:
        if issubclass(found.exc_type, KeyboardInterrupt) and _raised:
            pending.append(threading.Timer(MOMENT, os.kill, (os.getpid(), _raised[-1])))
            pending[-1].start()
        else:
            hook(found)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    main, hook = threading.current_thread() is threading.main_thread(), sys.unraisablehook
    before = {number: signal.signal(number, raise_) for number in numbers} if main else {}
    sys.unraisablehook = unraisable
    _raised.clear()
    try:
        yield
    finally:
        for timer in pending:
            timer.cancel()
        _raised.clear()
        if sys.unraisablehook is unraisable:  # otherwise someone replaced it, and still needs theirs
            sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
