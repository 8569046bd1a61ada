"""Aborts: what C++ and children write to stderr arrives there, and an abort that is not the runtime's is passed on."""

import subprocess
import sys

TAKEN = "import ctypes, os, subprocess, sys, time; from mlp_jax.machine.aborts import Abort; Abort('m', 'h', 3);"


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", TAKEN + code], capture_output=True, text=True)


def test_what_is_written_below_python_arrives():
    code = (
        "os.write(2, b'a warning\\n'); subprocess.run(['sh', '-c', 'echo a child >&2']); print('py', file=sys.stderr)"
    )
    done = run(code)
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == ["a child", "a warning", "py"]


def test_it_arrives_while_the_process_lives():
    done = run("os.write(2, b'early\\n'); time.sleep(2); print('late', file=sys.stderr); os._exit(0)")
    assert done.stderr == "early\nlate\n"


def test_an_abort_of_another_reason_is_passed_on():
    done = run("os.write(2, b'because\\n'); ctypes.CDLL(None).abort()")
    assert (done.returncode, done.stderr.strip()) == (134, "because")


def test_an_abort_of_the_runtime_is_one_line():
    text = "F1125 10:00:00.0 7 x.cc:1] JAX distributed service detected fatal errors\\nabsl::Status: UNAVAILABLE: gone."
    done = run(f"os.write(2, b'{text}\\n'); ctypes.CDLL(None).abort()")
    assert (done.returncode, done.stderr) == (3, "error: m (gone); h\n")
