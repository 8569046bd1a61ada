"""One line in place of what JAX's distributed runtime writes when it ends a process: it calls abort().

Invariant: an abort that has another reason is passed on, with all that was written before it.
"""

import ctypes
import os
import re
import signal
import sys
import tempfile

_kept: list[object] = []  # what must live as long as the process


class Abort:
    """Takes over SIGABRT, and stderr as C++ sees it: that goes into a file. Python's stderr stays what it was."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        self.means(message, hint, code)
        self._written = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process lives)
        sys.stderr.flush()
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
        os.dup2(self._written.fileno(), 2)
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._handle)
        _kept.append(self)
        ctypes.CDLL(None).signal(signal.SIGABRT, self._handler)

    def means(self, message: str, hint: str, code: int) -> None:
        """Set what to say of an abort from now on, and the exit code."""
        self.message, self.hint, self.code = message, hint, code

    def _handle(self, number: int) -> None:
        # Python's own handlers run too late: abort() does not return. Here its thread still may run Python.
        try:
            text = os.pread(self._written.fileno(), 1 << 20, 0).decode(errors="replace")
            if "JAX distributed service detected fatal errors" in text:
                status = re.search(r"absl::Status: (?!DEADLINE)\w+: (.+?)(\.|\n\n|\nThe tasks|$)", text, re.DOTALL)
                reason = f" ({' '.join(status[1].split())})" if status else ""
                print(f"error: {self.message}{reason}; {self.hint}", file=sys.stderr, flush=True)
            else:
                self.code = 128 + number
                print(text, file=sys.stderr, flush=True)
        finally:
            os._exit(self.code)
