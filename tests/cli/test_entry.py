"""The way out of a program: what can't be written, exit codes, tracebacks for those who ask."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from mlp_jax.cli import entry

LIST = f"{sys.executable} -m mlp_jax data list"
BARE = {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "MLP_JAX_TRACEBACK")}
on_linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def shell(command: str, **variables: str) -> tuple[int, str, str]:
    """Run a command in a shell whose Python buffers what it writes, and return code, stdout and stderr."""
    bash = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(bash, capture_output=True, text=True, env=BARE | variables)
    return done.returncode, done.stdout, done.stderr


@on_linux
@pytest.mark.parametrize(
    "command", [LIST, *(pytest.param(f"{LIST} {option}", marks=pytest.mark.slow) for option in ("--help", "--json"))]
)
@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_results_that_can_not_be_written_are_an_error(command, variables):
    assert shell(f"{command} > /dev/full", **variables) == (2, "", "error: [Errno 28] No space left on device\n")


def test_a_stdout_that_is_closed_is_an_error():
    assert shell(f"{LIST} >&-") == (2, "", "error: [Errno 9] Bad file descriptor\n")


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_reader_that_stops_reading_is_no_error(variables):
    assert shell(f"{LIST} | true", **variables) == (0, "", "")


@on_linux
@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-", "<&- 2>&-"])
@pytest.mark.slow
def test_a_stderr_that_can_not_be_written_changes_nothing(to):
    assert shell(f"{LIST} {to}")[0] == 0
    assert shell(f"{LIST} --unknown {to}") == (2, "", "")
    code = "from mlp_jax.cli import entry; entry._code(lambda: 1 / 0)"
    assert shell(f'{sys.executable} -c "{code}" {to}')[:2] == (1, "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\u202eb \x1b[2J"), "error: a\\u202eb \\u001b[2J"),
        (OverflowError("int too large"), "error: a number is too large to compute with (int too large); give one that"),
        (ValueError("begin" + "x" * 10**7 + "end"), "error: beginxxx"),
    ],
)
def test_what_is_odd_in_a_message_is_shown_as_a_code_and_a_long_one_is_cut(capsys, error, said):
    def run() -> int:
        raise error

    assert entry._code(run) == 2
    line = capsys.readouterr().err
    assert line.startswith(said)
    assert line.count("\n") == 1
    assert len(line) < 2100
    entry.show("c\u2066d\tb")
    assert capsys.readouterr().out == "c\\u2066d\tb\n"


def test_a_pipe_that_breaks_elsewhere_is_an_error(capsys):
    def run() -> int:
        raise BrokenPipeError(32, "Broken pipe")

    before = sys.stdout, sys.stderr
    assert entry._code(run) == 2
    assert capsys.readouterr().err == "error: [Errno 32] Broken pipe\n"
    assert (sys.stdout, sys.stderr) == before


def test_a_traceback_is_printed_when_it_is_asked_for(capsys, monkeypatch):
    def run() -> int:
        raise ValueError("of ours")

    monkeypatch.delenv("MLP_JAX_TRACEBACK", raising=False)
    assert entry._code(run) == 2
    assert capsys.readouterr().err == "error: of ours\n"
    monkeypatch.setenv("MLP_JAX_TRACEBACK", "1")
    assert entry._code(run) == 2
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "error: of ours")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "x"], "--epochs 'x' is not allowed; give FLOAT"),
        (["study", "--target", "price"], "--target 'price' is not allowed; give FLOAT, or perhaps --column, which"),
        (["train", "--target", "price"], "unknown option --target price; give another, perhaps --column, which names"),
        (["data", "list", "--nonsense"], "unknown option --nonsense; give another or leave it out"),
    ],
)
def test_complaints_of_the_parser_are_a_sentence(arguments, message, capsys):
    from mlp_jax.cli import commands

    with pytest.raises(SystemExit, match="2"):
        commands.main(arguments)
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {message}")
    assert printed.count("\n") == 1
    assert "applied to" not in printed


@pytest.mark.parametrize("compiled", [True, False])
def test_debugging_of_nans_is_named_where_it_stops_a_program(capsys, compiled):
    def run():
        root, negative = jax.jit(jnp.sqrt), jnp.float32(-1)
        with jax.debug_nans(True):
            (root.lower(negative).compile() if compiled else root)(negative)
        return 0

    assert entry._code(run) == 2
    error = capsys.readouterr().err
    assert error == ("error: JAX_DEBUG_NANS or JAX_DEBUG_INFS stops here at a number that is not finite; unset it\n")
