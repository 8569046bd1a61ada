"""Print one line instead of what JAX's distributed runtime writes when it ends a process, which it does by abort().

Invariant: an abort for another reason is passed on, with all that was written before it; what C++ code and child
processes write to stderr arrives there, at most a second late.
"""

import atexit
import ctypes
import os
import re
import signal
import sys
import tempfile
import threading

LOOK_SECONDS = 0.5
_RUNTIME = re.compile(rb"[EWIF]\d{4} .*(coordination|distributed)")  # what the runtime writes before it calls abort()
_LOGGED = re.compile(rb"[EWIF]\d{4} ")
_kept: list[object] = []  # objects that must live as long as the process


class Abort:
    """Handle SIGABRT, and redirect the stderr of C++ code and child processes to a file, since a pipe may be full.

    A thread passes text on after LOOK_SECONDS, when an abort would already have ended the process. Python's own stderr
    is not redirected.
    """

    def __init__(self, message: str, hint: str, code: int) -> None:
        self.means(message, hint, code)
        self._written = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process lives)
        self._passed, self._ended = 0, threading.Event()
        self._lock = threading.Lock()
        sys.stderr.flush()
        self._stderr = os.dup(2)
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
        os.dup2(self._written.fileno(), 2)
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._handle)
        _kept.append(self)
        ctypes.CDLL(None).signal(signal.SIGABRT, self._handler)
        threading.Thread(target=self._pass_on, daemon=True).start()
        atexit.register(self._end)
        os.register_at_fork(after_in_child=lambda: os.dup2(self._stderr, 2))

    def means(self, message: str, hint: str, code: int) -> None:
        """Set the message for an abort from now on, and the exit code."""
        self.message, self.hint, self.code = message, hint, code

    def _pass_on(self) -> None:
        before = 0
        while not self._ended.wait(LOOK_SECONDS):
            there = os.fstat(self._written.fileno()).st_size
            self._pass(before)
            before = there

    def _pass(self, end: int) -> None:
        """Pass on the complete lines up to `end`, except those of the runtime."""
        with self._lock:
            text = os.pread(self._written.fileno(), max(0, end - self._passed), self._passed)
            text = text[: text.rfind(b"\n") + 1]
            self._passed += len(text)
            dropped = False
            for line in text.splitlines(keepends=True):
                if _LOGGED.match(line):
                    dropped = _RUNTIME.match(line) is not None
                if not dropped:
                    _write(self._stderr, line)

    def _end(self) -> None:
        self._ended.set()
        os.dup2(self._stderr, 2)
        self._pass(os.fstat(self._written.fileno()).st_size)

    def _handle(self, number: int) -> None:
        # Python's own handlers would run too late, since abort() does not return; here the thread can still run Python
        try:
            text = os.pread(self._written.fileno(), 1 << 20, self._passed).decode(errors="replace")
            if "JAX distributed service detected fatal errors" in text:
                status = re.search(r"absl::Status: (?!DEADLINE)\w+: (.+?)(\.|\n\n|\nThe tasks|$)", text, re.DOTALL)
                reason = f" ({' '.join(status[1].split())})" if status else ""
                print(f"error: {self.message}{reason}; {self.hint}", file=sys.stderr, flush=True)
            else:
                self.code = 128 + number
                print(text, file=sys.stderr, flush=True)
        finally:
            os._exit(self.code)


def _write(file: int, text: bytes) -> None:
    try:
        os.write(file, text)
    except OSError:  # the reader has gone
        return
