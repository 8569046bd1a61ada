"""How help explains options: under headings, with readable names for their values, and with their defaults.

Invariant: the text about an option is the docstring where it is declared; nothing here changes what the option does.
"""

import ast
import dataclasses
import inspect
import itertools
import re
import shutil
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import docstring_parser
import tyro
from tyro.constructors import PrimitiveConstructorSpec

HEADINGS = {
    "data": (
        "dataset", "data_dir", "column", "task", "drop", "separator", "decimal", "header", "missing", "validation",
        "test", "split_seed", "stratify", "class_weight", "scaling",
    ),
    "network": (
        "inputs", "hidden", "outputs", "activation", "output", "bias", "init", "init_std", "output_start", "loss", "l2",
        "label_smoothing",
    ),
    "optimizer": (
        "optimizer", "learning_rate", "momentum", "decay", "beta1", "beta2", "epsilon", "initial_accumulator", "hyper",
        "weight_decay", "clip", "schedule", "warmup_steps", "final_factor", "stages",
    ),
    "comparison": ("optimizers", "batch_sizes", "target", "target_metric"),
    "tuning": ("method", "rounds", "points", "seeds", "fresh_seeds", "until"),
    "batch": ("batch_size", "sampling", "seed"),
    "budget": ("epochs", "steps", "seconds", "max_steps", "max_epochs", "stop_at", "stop_metric", "stop_smoothing"),
    "evaluation": ("evaluations", "spacing", "evaluate_on", "noise_scale"),
    "device": ("mesh", "distributed", "coordinator", "num_processes", "process_id", "ray"),
}  # fmt: skip
"""The options of each heading; options without a heading come first."""
HEADING = {name: heading for heading, names in HEADINGS.items() for name in names}
KINDS = {int: "N", float: "NUMBER", str: "NAME", Path: "PATH"}
VALUES = {"data_dir": "FOLDER", "dataset": "NAME|PATH", "coordinator": "HOST:PORT", "save_config": "FILE"}
"""The names of options' values, where the type alone says too little."""


class Option(NamedTuple):
    """One option of a command; `owner` is the parameter to which it belongs, possibly with others."""

    name: str
    hint: Any
    default: Any
    text: str
    owner: inspect.Parameter


def laid_out(command: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """Return a function for the parser, with the command's options under headings, that returns a call of the command.

    A parameter that is a dataclass gives one option for each of its fields.
    """
    parameters = list(inspect.signature(command).parameters.values())
    options = [option for parameter in parameters for option in _options(command, parameter)]
    positional = [option for option in options if option.owner.kind is inspect.Parameter.POSITIONAL_ONLY]
    above = [option for option in options if option not in positional and option.name not in HEADING]
    below = {option.name: option for option in options if option not in positional}
    groups = {title: [below[name] for name in names if name in below] for title, names in HEADINGS.items()}
    groups = {title: _group(title, own) for title, own in groups.items() if own}

    def defer(*values: Any, **given: Any) -> Callable[[], Any]:
        for title in groups:
            given |= vars(given.pop(title))
        given |= dict(zip([option.name for option in positional], values))
        return lambda: command(*values, **_arguments(parameters, options, given))

    read = [_parameter(option, inspect.Parameter.POSITIONAL_ONLY) for option in positional]
    read += [_parameter(option, inspect.Parameter.KEYWORD_ONLY) for option in above]
    read += [
        inspect.Parameter(title, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for title, kind in groups.items()
    ]
    vars(defer).pop("__wrapped__", None)  # the parser would read the annotations behind it
    defer.__signature__ = inspect.Signature(read)  # pyright: ignore[reportFunctionMemberAccess]
    defer.__annotations__ = {parameter.name: parameter.annotation for parameter in read}
    defer.__doc__ = _told(command)
    return defer


def listed(command: Callable[..., Any]) -> Callable[[], None]:
    """Return what stands for a command in the list of commands: no options, and the first line of its help."""

    def shown() -> None: ...

    shown.__doc__ = (command.__doc__ or "").partition("\n")[0]
    return shown


def fields_told(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass."""
    told: dict[str, str] = {}
    for base in [each for each in reversed(kind.__mro__) if dataclasses.is_dataclass(each)]:
        lines = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
        for above, below in itertools.pairwise(lines):
            if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(above.target, ast.Name):
                told[above.target.id] = " ".join(ast.literal_eval(below.value).split())
    return told


def tidied(text: str) -> str:
    """Return a page of help with its paragraphs wrapped at the width of the terminal, and single blank lines."""
    width = shutil.get_terminal_size().columns
    prose = lambda line: line[:1].isalpha() or line[:1] == "`"
    wrapped = [textwrap.fill(line, width) if prose(line) else line.rstrip() for line in text.splitlines()]
    return re.sub("\n{3,}", "\n\n", "\n".join([*wrapped, ""]))


def value_name(hint: Any) -> str:
    """Return the name that an option's value has in the help, by its type.

    >>> value_name(tuple[int, ...] | None), value_name(int | Literal["full"])
    ('[N ...]', 'N|full')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return value_name(inner[0])
    if origin is Literal:
        return "|".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return "|".join(dict.fromkeys(value_name(each) for each in inner if each is not type(None)))
    if origin is tuple:
        return f"[{value_name(inner[0])} ...]" if ... in inner else " ".join(map(value_name, inner))
    return "NAME=VALUE ..." if origin is Mapping else KINDS.get(hint, "")


def _options(command: Callable, parameter: inspect.Parameter) -> Iterator[Option]:
    """Yield the options that a parameter stands for."""
    kind = get_args(parameter.annotation)[0] if get_origin(parameter.annotation) is Annotated else None
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        told = docstring_parser.parse(command.__doc__ or "").params
        text = next((each.description for each in told if each.arg_name == parameter.name), "") or ""
        yield Option(parameter.name, parameter.annotation, parameter.default, " ".join(text.split()), parameter)
        return
    told, start = fields_told(kind), parameter.default
    if start is parameter.empty and not any(map(_required, dataclasses.fields(kind))):
        start = kind()
    for field in dataclasses.fields(kind):
        default = parameter.empty if start is parameter.empty else getattr(start, field.name)
        yield Option(field.name, field.type, default, told.get(field.name, ""), parameter)


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _annotated(option: Option) -> Any:
    """Return an option's annotation, with its help text, the name of its value, and its default."""
    hint, default = option.hint, option.default
    if any(isinstance(each, PrimitiveConstructorSpec) for each in get_args(hint)[1:]):
        return Annotated[hint, tyro.conf.arg(help=option.text, help_behavior_hint="")]
    plain = default in (None, (), {}, inspect.Parameter.empty) or default is False
    said = "" if "(default" in option.text or plain else f"(default: {_shown(default)})"
    name = next((each.name for each in get_args(hint)[1:] if getattr(each, "name", None)), None)
    is_flag = hint is bool or get_args(hint)[:1] == (bool,)
    value = None if is_flag else VALUES.get(option.name, value_name(hint))
    if option.owner.kind is inspect.Parameter.POSITIONAL_ONLY:
        value = _place(option, value)
    how = tyro.conf.arg(name=name, help=option.text, metavar=value or None, help_behavior_hint=said)
    return Annotated[hint, tyro.conf.FlagCreatePairsOff, how] if is_flag else Annotated[hint, how]


def _place(option: Option, value: str | None) -> str | None:
    """Return how help shows a positional argument: its name in capitals, in brackets if it may be left out."""
    if get_origin(option.hint) is Literal:
        return value
    several = " ..." if get_origin(option.hint) is tuple else ""
    called = f"{option.name.upper().removesuffix('S' if several else '')}{several}"
    return called if option.default is inspect.Parameter.empty else f"[{called}]"


def _parameter(option: Option, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(option.name, kind, default=option.default, annotation=_annotated(option))


def _group(title: str, options: list[Option]) -> Any:
    """Return a dataclass that holds the options of one heading."""
    fields = []
    for option in options:
        if option.default is inspect.Parameter.empty:
            fields.append((option.name, _annotated(option)))
        else:
            make = lambda value=option.default: value
            fields.append((option.name, _annotated(option), dataclasses.field(default_factory=make)))
    made = dataclasses.make_dataclass(title, fields, kw_only=True)
    made.__doc__ = ""
    return made


def _arguments(parameters: list, options: list[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a command, with each dataclass built from its fields."""
    made = {}
    for parameter in parameters:
        own = {option.name: given[option.name] for option in options if option.owner is parameter}
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            continue
        whole = list(own) == [parameter.name]
        made[parameter.name] = own[parameter.name] if whole else get_args(parameter.annotation)[0](**own)
    return made


def _told(command: Callable) -> str:
    """Return the part of a docstring that comes before its arguments."""
    return re.split(r"\n(?:Args|Raises):", inspect.cleandoc(command.__doc__ or ""))[0].rstrip()


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
