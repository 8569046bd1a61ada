"""A program's start and end: its words become a call, an error becomes one line, and the result an exit code.

Exit codes: 0 done; 2 bad input, or results that can't be written, with one line `error: …` on stderr; 130 interrupted.
A warning is one line too. If stderr can't be written, nothing else changes. With MLP_JAX_TRACEBACK=1 in the environment
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
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import tyro
from tyro.extras import subcommand_cli_from_dict

from mlp_jax.cli import signals
from mlp_jax.cli.manual import laid_out, listed, tidied
from mlp_jax.cli.pairs import PAIRS
from mlp_jax.machine import cache, controls, devices
from mlp_jax.machine.files import finite

Options = TypeVar("Options")
LONGEST = 2000  # characters of a message
COLUMN = "perhaps --column, which names the column to predict"  # where --target is not what was meant


def program(name: str, commands: Sequence[Callable[..., int]], arguments: list[str] | None, about: str) -> NoReturn:
    """Run the command that `arguments` name (None: those of this process), and exit with the code that it returns.

    A command has the name of its function; the parameters are its options, the docstring is its help. The options of
    the other commands are not read, so that the start is fast.
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


class _Stream:
    """A standard stream; once it can't be written, all further text is dropped, so that the program ends quietly."""

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
    """Replace stdout and stderr by streams of this module; return the new stdout and the two old streams.

    If the shell has closed a stream (`>&-`), os.devnull takes its number: otherwise the next file that is opened would
    get it, and print would write to stdout what is meant for stderr. Writing to a closed stdout still fails.
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
    """Say on stderr where the interrupted work is kept and how to go on, and return the exit code."""
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
        with signals.end_the_program():
            code = run()
        out.flush()
        if out.error is not None:  # the code that wrote it ignored the error
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
    except Exception as error:
        if not type(error).__name__.endswith("FloatingPointError"):  # compiled programs raise one of JAX's own
            raise
        code = _complain("JAX_DEBUG_NANS or JAX_DEBUG_INFS stops here at a number that is not finite; unset it")
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
    """Return the result of `parse` for `arguments`; its error message becomes a ValueError of one line."""
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
    """The help that the parser prints, in colour if it is shown to a person."""

    def __init__(self, shown_to_a_person: bool) -> None:
        super().__init__()
        self.isatty = lambda: shown_to_a_person


def _unboxed(text: str) -> str:
    """Turn the parser's box into one line, without its title and all that is below its first rule."""
    rows = [line.strip("│╭╮╰╯ ") for line in text.splitlines()[1:]]
    is_rule = lambda row: row.startswith(("──", "--")) and not row.strip("─-")
    above = itertools.takewhile(lambda row: not is_rule(row), itertools.dropwhile(is_rule, rows))
    return _one_line(" ".join(above)).rstrip(".")


def _reworded(complaint: str) -> str:
    """Shorten the parser's messages about a value of a wrong kind and about an unknown option."""
    if wrong := re.match(
        r"Error parsing (\S+): no type matching (.+?) could be instantiated from \['(.*?)'\]", complaint
    ):
        option, kinds, given = wrong.groups()
        kind = kinds.replace("{None}|", "").replace("|", " or ").strip("{}")
        return f"{option} {given!r} is not allowed; give {kind}" + (f", or {COLUMN}" if option == "--target" else "")
    if wrong := re.match(r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]", complaint):
        return f"{wrong[1]} {wrong[2]} is not allowed; give values of its kind"
    unknown = re.match(r"Unrecognized (?:or misplaced )?options: (.*?)(?: Arguments are applied.*)?$", complaint)
    if unknown is None:
        return complaint
    words = re.sub(r" \(applied to [^)]*\)|,(?= )", "", unknown[1])
    column = f", {COLUMN}," if "--target" in words.split() else ""
    return f"unknown option {words}; give another{column} or leave it out"


def _one_line(message: object) -> str:
    """Return a message as one line that any terminal can show; the middle of a very long message is left out."""
    text = controls.shown(" ".join(str(message).split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
