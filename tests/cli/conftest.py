"""What the tests of the command line share: a command called in this process, and one that must be refused."""

from typing import NamedTuple

import pytest


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys):
    """Run `mlp-jax` in this process."""
    from mlp_jax import cli  # not above: jaxtyping checks what is imported after the plugin has started

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def refused(call):
    """Run a command that must fail as bad input does, and return its one line."""

    def run(*arguments: object) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        lines = err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    return run
