"""A program's way in and out: words become a call, complaints one line, what happens an exit code.

Exit codes: 0 done; 2 bad input, or results that can't be written, one line `error: …` on stderr; 130 interrupted.
Warnings are a line each. A stderr that can't be written changes nothing. With MLP_JAX_TRACEBACK=1 in the environment
the traceback of an error is printed before its line.
"""

import contextlib
import functools
import inspect
import io
import itertools
import json
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import tyro
from tyro.extras import subcommand_cli_from_dict

from mlp_jax.cli.manual import laid_out, listed, tidied
from mlp_jax.cli.pairs import PAIRS
from mlp_jax.machine import cache, controls, devices
from mlp_jax.machine.files import finite

Options = TypeVar("Options")
LONGEST = 2000  # characters of a message
_raised: list[int] = []  # signals that were raised as KeyboardInterrupt, which whoever imports or compiles may swallow


def program(name: str, commands: Sequence[Callable[..., int]], arguments: list[str] | None, about: str) -> NoReturn:
    """Run the one of `commands` that `arguments` (None: those of this process) name, and exit with what it returns.

    Each is called by its own name, its parameters are the options, its docstring is the help. All but the one that is
    named are only listed, so that a start does not pay for the options of the others.
    """
    named = (sys.argv[1:] if arguments is None else arguments)[:1]
    by_name = {each.__name__: (laid_out if [each.__name__] == named else listed)(each) for each in commands}
    parse = functools.partial(subcommand_cli_from_dict, by_name, prog=name, description=about)
    sys.exit(_code(lambda: _parsed(parse, arguments, name)()))


def script(function: Callable[[Options], None], options: type[Options]) -> NoReturn:
    """Run a script's `function` on the options that its command line gives, and exit as `program` does."""

    def run_on(*, options: Any) -> None:
        function(options)

    asked = Annotated[options, tyro.conf.arg(name="")]
    parameter = inspect.Parameter("options", inspect.Parameter.KEYWORD_ONLY, annotation=asked)
    run_on.__signature__ = inspect.Signature([parameter])  # pyright: ignore[reportFunctionMemberAccess]
    run_on.__doc__ = function.__doc__
    parse = functools.partial(tyro.cli, laid_out(run_on))

    def run() -> int:
        cache.enable_compilation_cache()
        _parsed(parse, None, sys.argv[0])()
        return 0

    sys.exit(_code(run))


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an answer to a question; a second one ends the program as usual.

    One that came before and was swallowed is answered too.
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
    """Return whether an interruption came whose exception someone else caught."""
    return bool(_raised)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and neither be lost where Python swallows an exception."""

    def raise_(number: int, _: object) -> NoReturn:
        _raised.append(number)
        raise KeyboardInterrupt

    def unraisable(found: Any) -> None:
        if issubclass(found.exc_type, KeyboardInterrupt):
            print("interrupted", file=sys.stderr, flush=True)
            os._exit(130)
        hook(found)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    main, hook = threading.current_thread() is threading.main_thread(), sys.unraisablehook
    before = {number: signal.signal(number, raise_) for number in numbers} if main else {}
    sys.unraisablehook = unraisable
    _raised.clear()
    try:
        yield
    finally:
        _raised.clear()
        if sys.unraisablehook is unraisable:  # else who replaced it has more to keep from being printed
            sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stream:
    """A standard stream; once it can't be written, all that is left goes nowhere, so the exit is quiet."""

    def __init__(self, stream: Any, silent: bool) -> None:
        self.error: OSError | None = None
        self._stream, self._silent = stream, silent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, do: Callable, *arguments: str) -> None:
        try:
            do(*arguments)
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
            if not self._silent:
                raise


def _open_streams() -> tuple[_Stream, Any]:
    """Put streams of ours in the place of stdout and stderr; return the first, and what stood there.

    Where the shell has closed one (`>&-`), writing to stdout fails as it should; print would write what is meant for
    stderr to stdout, and the next file that is opened would get its number.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 (open as long as the process lives, as those below)
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    before = sys.stdout, sys.stderr
    out = _Stream(sys.stdout, silent=False)
    sys.stdout, sys.stderr = cast("tuple[Any, Any]", (out, _Stream(sys.stderr, silent=True)))
    return out, before


def interrupted(out: Path | None, again: str = "add --resume") -> int:
    """Say on stderr what is kept of what was interrupted and how to go on, and return the exit code."""
    saved = f"saved in {out}; {again} to go on" if out else "nothing is kept without --out"
    print(f"interrupted: {_one_line(saved)}", file=sys.stderr)
    return 130


def show(result: dict | str) -> None:
    """Print a result on stdout: text, or one JSON object with null for each number that is not finite."""
    print(controls.shown(result) if isinstance(result, str) else json.dumps(finite(result), allow_nan=False))


def _code(run: Callable[[], int]) -> int:
    """Call `run` and return the exit code; bad input becomes one line on stderr."""
    warnings.showwarning = lambda message, *_: print(f"warning: {_one_line(message)}", file=sys.stderr)
    out, before = _open_streams()
    try:
        with _ended_by_signals():
            code = run()
        out.flush()
        if out.error is not None:  # whoever wrote it went on
            raise out.error
    except (ValueError, OSError) as error:
        reader_has_seen_enough = error is out.error and isinstance(error, BrokenPipeError)
        code = 0 if reader_has_seen_enough else _complain(error)
    except OverflowError as error:
        code = _complain(f"a number is too large to compute with ({_one_line(error)}); give one that is less")
    except MemoryError as error:
        code = _complain(f"not enough memory ({_one_line(error) or 'in all'}); ask for less")
    except (RuntimeError, AssertionError):
        if (why := devices.missing_back_end()) is None:
            raise
        code = _complain(why)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    with contextlib.suppress(OSError):
        out.flush()
    sys.stderr.flush()
    sys.stdout, sys.stderr = before
    return code


def _complain(error: object) -> int:
    if os.environ.get("MLP_JAX_TRACEBACK"):
        traceback.print_exc()
    print(f"error: {_one_line(error)}", file=sys.stderr)
    return 2


def _parsed(parse: Callable, arguments: list[str] | None, program: str) -> Any:
    """Return what `parse` makes of `arguments`; its complaint becomes a ValueError of one line."""
    printed, help_text = io.StringIO(), _Help(sys.stdout.isatty())
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(help_text):
            return parse(args=arguments, config=(tyro.conf.OmitArgPrefixes,), registry=PAIRS)
    except SystemExit as stop:
        if stop.code != 2:
            print(tidied(help_text.getvalue()), end="", flush=True)
            raise
        raise ValueError(f"{_reworded(_unboxed(printed.getvalue()))}; see {program} --help") from None


class _Help(io.StringIO):
    """What the parser prints as help, in colour where a person reads it."""

    def __init__(self, shown_to_a_person: bool) -> None:
        super().__init__()
        self.isatty = lambda: shown_to_a_person


def _unboxed(text: str) -> str:
    """Turn the parser's box into one line: its title is dropped, and so is what stands below its first rule."""
    rows = [line.strip("│╭╮╰╯ ") for line in text.splitlines()[1:]]
    is_rule = lambda row: row.startswith(("──", "--")) and not row.strip("─-")
    above = itertools.takewhile(lambda row: not is_rule(row), itertools.dropwhile(is_rule, rows))
    return _one_line(" ".join(above)).rstrip(".")


def _reworded(complaint: str) -> str:
    """Say in few words what the parser says of a value of a wrong kind, and of an option that there is not."""
    if wrong := re.match(
        r"Error parsing (\S+): no type matching (.+?) could be instantiated from \['(.*?)'\]", complaint
    ):
        option, kinds, given = wrong.groups()
        return (
            f"{option} {given!r} is not allowed; give {kinds.replace('{None}|', '').replace('|', ' or ').strip('{}')}"
        )
    if wrong := re.match(r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]", complaint):
        return f"{wrong[1]} {wrong[2]} is not allowed; give values of its kind"
    unknown = re.match(r"Unrecognized (?:or misplaced )?options: (.*?)(?: Arguments are applied.*)?$", complaint)
    if unknown is None:
        return complaint
    words = re.sub(r" \(applied to [^)]*\)|,(?= )", "", unknown[1])
    column = ", perhaps --column, which names the column to predict," if "--target" in words.split() else ""
    return f"unknown option {words}; give another{column} or leave it out"


def _one_line(message: object) -> str:
    """Return a message as one line that can be shown anywhere; the middle of a very long one is left out."""
    text = controls.shown(" ".join(str(message).split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
