"""Interruptions that come at any moment, and that other code swallows."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

STARTING = """
import sys
from mlp_jax.cli import main
assert "jax" not in sys.modules and "numpy" not in sys.modules
print("here", flush=True)
main(["train", "--dataset", "iris", "--hidden", "4", "--steps", "100000000"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_from_its_first_line_on(number):
    for after in np.random.default_rng(0).uniform(0.02, 4, 12):
        process = subprocess.Popen(
            [sys.executable, "-c", STARTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(after)
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130, (after, err)
        assert "Traceback" not in err
        assert "interrupted" in err


def test_an_interrupt_that_a_library_swallows_is_answered_where_it_is_asked_for():
    """While it compiles, say: the training that follows once went on for ever."""
    code = """
import contextlib, os, signal
from mlp_jax.cli import entry, signals

def run():
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    with signals.interrupts() as interrupted:
        return 77 if interrupted() else 0

entry.sys.exit(entry._code(run))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 77


@pytest.mark.parametrize("work", ["2000", "-1"], ids=["in the middle", "while it waits for one"])
def test_an_interrupt_that_python_swallows_is_raised_again_where_it_can_be_answered(work):
    """It once ended the program there and then, which could not say where the work was kept."""
    code = """
import os, signal, sys, time
from mlp_jax.cli import entry, signals

class Careless:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def run():
    try:
        Careless()
        for _ in range(int(sys.argv[1])):
            time.sleep(0.01)
        if sys.argv[1] == "-1":
            with signals.interrupts() as interrupted:
                while not interrupted():
                    time.sleep(0.01)
                return entry.interrupted(None, "again")
    except KeyboardInterrupt:
        return entry.interrupted(None, "again")
    return 0

sys.exit(entry._code(run))
"""
    done = subprocess.run([sys.executable, "-c", code, work], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing is kept without --out\n")
