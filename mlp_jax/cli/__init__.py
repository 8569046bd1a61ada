"""The command line: words in, results out; thin, typed, no logic.

Invariant: Ctrl-C and SIGTERM end the program with 130 and one line from here on, while all else is still imported too.
"""

import contextlib
import os
import signal
from typing import NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command of `mlp-jax` and exit with its code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    from mlp_jax.cli import commands

    commands.main(arguments)


def _end(*_: object) -> NoReturn:
    """End at once: nothing has been made yet, and an exception in the middle of an import may be swallowed."""
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(130)
