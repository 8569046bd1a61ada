"""Values refused in one sentence: what was given, what is allowed, what to do.

Invariant: a value that passes is a plain one of Python (bool, int, float, str, tuple, dict), wherever it came from.
"""

import dataclasses
import math
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin


class Domain(NamedTuple):
    """The numbers that are allowed, as a test and in words for messages; `Annotated` puts it into an annotation."""

    allows: Callable[[Any], bool]
    words: str
    whole: bool = False


def whole(low: int, bits: int | None = None) -> Domain:
    """Return the domain of whole numbers that are at least `low` and, if `bits` is given, below 2**bits."""
    end = math.inf if bits is None else 2**bits
    words = f"a whole number of at least {low}" if bits is None else f"a whole number from {low} to 2**{bits} - 1"
    return Domain(lambda v: low <= v < end and v == int(v), words, whole=True)


POSITIVE = Domain(lambda v: 0 < v < math.inf, "a positive number")
NON_NEGATIVE = Domain(lambda v: 0 <= v < math.inf, "a number of at least 0")
FRACTION = Domain(lambda v: 0 <= v < 1, "a number from 0 up to but not including 1")
RATIO = Domain(lambda v: 0 < v <= 1, "a number above 0 and at most 1")

Positive = Annotated[float, POSITIVE]
Count = Annotated[int, whole(1)]
Steps = Annotated[int, whole(1, bits=31)]  # programs count steps in 32 bits
Seed = Annotated[int, whole(0, bits=32)]

T = TypeVar("T")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
UNIONS = (Union, types.UnionType)


def choose(what: str, name: Any, allowed: Collection[str]) -> str:
    """Return `name` if it is one of `allowed`; otherwise raise a ValueError that lists them."""
    if name not in allowed:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(sorted(allowed))}")
    return name


def fields(instance: Any, **called: str) -> None:
    """Check every field of a frozen dataclass by its annotation, and make its value a plain one.

    Args:
        called: for some fields, the name that messages use instead of the field's own (or for each of its entries).

    Raises:
        ValueError: a value is not of the kind, or not in the domain, that its annotation asks for.
    """
    for field in dataclasses.fields(instance):
        name, many = field.name, any(get_origin(member) in (tuple, Mapping) for member in _members(field.type))
        what = name if many else called.get(name, name)
        object.__setattr__(instance, name, value(what, getattr(instance, name), field.type, called.get(name)))


def build(kind: type[T], where: str, given: Mapping[str, Any], key: str = "key") -> T:
    """Return the dataclass `kind` with the fields `given` from JSON or TOML, which hold tuples as lists.

    Raises:
        ValueError: a field is unknown (the message calls it a `key` in `where`), or its value is not allowed.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"unknown {key} {unknown[0]!r} in {where}; it has {', '.join(known)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def value(what: str, given: Any, hint: Any, called: str | None = None) -> Any:
    """Return `given` as a plain value if the annotation `hint` allows it.

    An integer passes as a float and a path as a string; any iterable but a string or a table becomes a tuple.

    >>> value("steps", 3, Steps), value("hidden", [8, 4], tuple[int, ...])
    (3, (8, 4))
    >>> value("steps", 2.5, Steps)
    Traceback (most recent call last):
        ...
    ValueError: steps 2.5 is not allowed; give a whole number from 1 to 2**31 - 1

    Args:
        called: the name that messages give an entry, if `hint` asks for a list or a table.

    Raises:
        ValueError: it is not allowed.
    """
    given, entry = _plain(given), called or what
    if get_origin(hint) is Literal:
        return choose(what, given, get_args(hint))
    kinds = {get_origin(member): get_args(member) for member in _members(hint)}
    if tuple in kinds and isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        return tuple(value(entry, item, kinds[tuple][0]) for item in given)
    if Mapping in kinds and isinstance(given, Mapping):
        key_hint, item_hint = kinds[Mapping]
        keys = [value(f"{what}, the key", key, key_hint) for key in given]
        return {key: value(f"{entry} {key}", item, item_hint) for key, item in zip(keys, given.values())}
    if not _allows(hint, given):
        raise ValueError(f"{what} {_shown(given)} is not allowed; give {words(hint)}")
    return given


def words(hint: Any) -> str:
    """Return what an annotation allows, in words that can follow "give": a whole number of at least 1, or full."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return inner[1].words
    if origin in UNIONS:
        return ", or ".join(words(member) for member in inner if member is not type(None))
    if origin is Literal:
        return inner[0] if len(inner) == 1 else f"one of {', '.join(inner)}"
    if origin is tuple:
        return f"a list, each entry {words(inner[0])}"
    if origin is Mapping:
        return (
            "a table"
            if inner[1] is Any or get_origin(inner[1]) is Mapping
            else f"a table, each entry {words(inner[1])}"
        )
    return KINDS.get(hint, f"a {hint.__name__}")


def _allows(hint: Any, given: Any) -> bool:
    """Tell whether `given`, neither a list nor a table, has the type and lies in the domain that `hint` asks for."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _allows(inner[0], given) and inner[1].allows(given)
    if origin in UNIONS:
        return any(_allows(member, given) for member in inner)
    if origin is Literal:
        return isinstance(given, str) and given in inner
    if hint is Any or origin is not None:
        return hint is Any
    if hint is float and isinstance(given, int):
        return not isinstance(given, bool) and abs(given) <= sys.float_info.max
    return isinstance(given, hint) and (hint is bool or not isinstance(given, bool))


def _members(hint: Any) -> tuple:
    return get_args(hint) if get_origin(hint) in UNIONS else (hint,)


def _plain(given: Any) -> Any:
    """Return a NumPy or JAX scalar as a plain Python number, and a path as a string; return all else unchanged."""
    if getattr(given, "ndim", None) == 0:
        return given.item()
    return os.fspath(given) if isinstance(given, os.PathLike) else given


def _shown(given: Any) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 80 else f"{text[:79]}…"
