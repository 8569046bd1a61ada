"""A program's way in and out: words become a call, complaints one line, what happens an exit code.

Exit codes: 0 done; 2 bad input, one line `error: …` on stderr; 130 interrupted. Warnings are a line each.
"""

import contextlib
import functools
import io
import itertools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import tyro
from tyro.extras import subcommand_cli_from_dict

from mlp_jax.machine import cache, devices

Options = TypeVar("Options")


def program(name: str, commands: Sequence[Callable[..., int]], arguments: list[str] | None, about: str) -> NoReturn:
    """Run the one of `commands` that `arguments` (None: those of this process) name, and exit with what it returns.

    Each is called by its own name, its parameters are the options, its docstring is the help.
    """
    by_name = {command.__name__: _deferred(command) for command in commands}
    parse = functools.partial(subcommand_cli_from_dict, by_name, prog=name, description=about)
    sys.exit(_code(lambda: _parsed(parse, arguments, name)()))


def script(function: Callable[[Options], None], options: type[Options]) -> NoReturn:
    """Run a script's `function` on the options that its command line gives, and exit as `program` does."""
    parse = functools.partial(tyro.cli, options, description=function.__doc__)

    def run() -> int:
        cache.enable_compilation_cache()
        function(_parsed(parse, None, sys.argv[0]))
        return 0

    sys.exit(_code(run))


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an answer to a question; a second one ends the program as usual."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        for signal_, handler in before.items():
            signal.signal(signal_, handler)

    before = {signal_: signal.signal(signal_, note) for signal_ in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for signal_, handler in before.items():
            signal.signal(signal_, handler)


def _code(run: Callable[[], int]) -> int:
    """Call `run` and return the exit code; bad input becomes one line on stderr."""
    warnings.showwarning = lambda message, *_: print(f"warning: {_one_line(message)}", file=sys.stderr)
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:  # who read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (ValueError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        code = 2
    except MemoryError as error:
        print(f"error: not enough memory ({_one_line(error) or 'in all'}); ask for less", file=sys.stderr)
        code = 2
    except (RuntimeError, AssertionError):
        if (why := devices.missing_back_end()) is None:
            raise
        print(f"error: {_one_line(why)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    return code


def _parsed(parse: Callable, arguments: list[str] | None, program: str) -> Any:
    """Return what `parse` makes of `arguments`; its complaint becomes a ValueError of one line."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return parse(args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code != 2:
            raise
        raise ValueError(f"{_unboxed(printed.getvalue())}; see {program} --help") from None


def _deferred(command: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    @functools.wraps(command)
    def defer(*arguments: Any, **options: Any) -> Callable[[], int]:
        return lambda: command(*arguments, **options)

    return defer


def _unboxed(text: str) -> str:
    """Turn the parser's box into one line: its title is dropped, and so is what stands below its first rule."""
    rows = [line.strip("│╭╮╰╯ ") for line in text.splitlines()[1:]]
    above = itertools.takewhile(lambda row: not row.startswith("──"), rows)
    return _one_line(" ".join(above)).rstrip(".")


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
