"""The command line: words in, results out; thin, typed, no logic.

Invariant: from this import on, Ctrl-C and SIGTERM end the program with exit code 130 and one line, even while the other
modules are still being imported.
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
