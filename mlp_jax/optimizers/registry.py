"""The table of all optimizers: those built in, those registered, and those found in a module by `module:NAME`.

Invariant: an optimizer is in the table only after it was tried on a small network, by shapes alone: its direction
returns links whose state is arrays of the same kind, whatever the values of its hyper-parameters.
"""

import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlp_jax.analysis.scale import SCALES
from mlp_jax.optimizers import trial_run
from mlp_jax.optimizers.classical import CLASSICAL
from mlp_jax.optimizers.hyperparameters import Hyperparameter, check_value
from mlp_jax.optimizers.optimizer import ANY, Optimizer
from mlp_jax.optimizers.recent import RECENT
from mlp_jax.optimizers.schedules import LINKS, REGULARIZERS, SCHEDULES

BUILT_IN: dict[str, Optimizer] = CLASSICAL | RECENT
OPTIMIZERS: dict[str, Optimizer] = dict(BUILT_IN)
"""All optimizers that are known so far: those built in, then others in the order in which they were added."""
NAMES = frozenset({*LINKS, *(key for row in BUILT_IN.values() for key in row.hyperparameters)})
"""Every hyper-parameter of the optimizers that are built in, and of links and schedules."""
RESERVED = frozenset((
    "phase", "cell", "round", "trial", "optimizer", "batch_size", "seed", "status", "failed", "steps", "step", "epoch",
    "steps_to_target", "examples", "training_seconds", "batch_loss", "noise_trace", "noise_squared_norm", "noise_scale",
))  # fmt: skip
"""Columns of a study's rows; no hyper-parameter may have such a name."""


def register(
    name: str,
    direction: Callable[..., Any],
    hyperparameters: Mapping[str, Hyperparameter],
    *,
    rate_inside: bool = False,
    evaluated: Callable[[Any, Any], Any] | None = None,
    schedule: str = "cosine",
) -> Optimizer:
    """Add an optimizer of your own, which `Config(optimizer=name)` and studies can then use.

    It replaces an optimizer that was registered under the same name before.

    >>> import optax
    >>> from mlp_jax.optimizers import rate
    >>> mine = register("my_sign", lambda h: optax.scale_by_sign(), rate(0.001, 1e-5, 0.1, "my notes"))
    >>> complete("my_sign")
    {'learning_rate': 0.001}

    Args:
        name: letters, digits, and . _ - between them.
        direction: takes a dictionary of the hyper-parameters, as traced values, and returns optax links.
        hyperparameters: `learning_rate`, with a search range, and all others that the direction needs.
        rate_inside, evaluated, schedule: see `Optimizer`.

    Raises:
        ValueError: the name or a hyper-parameter is not allowed, or the direction does not return what it must.
    """
    if not re.fullmatch(r"[A-Za-z]([\w.-]*\w)?", name):
        raise ValueError(f"an optimizer can't be called {name!r}; use letters, digits, and . _ - between them")
    if name in BUILT_IN:
        raise ValueError(f"optimizer {name!r} is built in; choose another name")
    row = Optimizer(hyperparameters, direction, rate_inside, evaluated, ANY, schedule)
    OPTIMIZERS[name] = _checked(name, row, inspect.getmodule(direction))
    return OPTIMIZERS[name]


def find(name: str) -> Optimizer:
    """Return the optimizer of this name; import `module:NAME` if it is not known yet.

    >>> list(find("momentum").hyperparameters)
    ['learning_rate', 'momentum']

    Raises:
        ValueError: there is no such optimizer, or it can't be imported.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if ":" in name:
        OPTIMIZERS[name] = _imported(name)
        return OPTIMIZERS[name]
    known = ", ".join(sorted(OPTIMIZERS))
    raise ValueError(f"unknown optimizer {name!r}; choose one of {known}, or one of your own as my_module:NAME")


def put(rows: Mapping[str, Optimizer]) -> None:
    """Put optimizers into the table without a check, since another process has checked them."""
    OPTIMIZERS.update(rows)


def version(name: str) -> str:
    """Return the hash of the module that an optimizer comes from; empty for those built in.

    >>> version("adam")
    ''
    """
    return find(name).version


def table(name: str, schedule: str = "constant") -> dict[str, Hyperparameter]:
    """Return every hyper-parameter that an optimizer takes with a schedule, optional ones included.

    >>> table("adam")["beta2"].default, table("adam")["learning_rate"].search
    (0.999, Range(low=0.0001, high=0.1, scale='log'))
    """
    row = find(name)
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose one of {', '.join(sorted(SCHEDULES))}")
    falling = () if schedule == "constant" else ("warmup_share", "schedule_steps", *SCHEDULES[schedule][1])
    links = {link: LINKS[link] for link in (*row.links, *falling)}
    return dict(row.hyperparameters) | {link: each for link, each in links.items() if link not in row.hyperparameters}


def complete(name: str, schedule: str = "constant", **given: float | None) -> dict[str, float]:
    """Return all hyper-parameters of an optimizer: the given values, and the defaults of the others.

    A hyper-parameter that is given as None gets its default.

    >>> complete("momentum", learning_rate=0.5)
    {'learning_rate': 0.5, 'momentum': 0.9}

    Raises:
        ValueError: the optimizer or schedule is unknown, does not take a hyper-parameter or lacks one, or a value is
            outside its domain.
    """
    known = table(name, schedule)
    chosen = {key: value for key, value in given.items() if value is not None}
    for key, value in chosen.items():
        if key not in known:
            under = "" if schedule == "constant" else f" with schedule {schedule!r}"
            raise ValueError(f"optimizer {name!r}{under} has no hyper-parameter {key!r}; it has {', '.join(known)}")
        check_value(key, value, known[key])
    if {"warmup_steps", "warmup_share"} <= chosen.keys():
        raise ValueError("warmup_steps and warmup_share are two ways to say one thing; give one of them")
    defaults = {key: row.default for key, row in known.items() if row.default is not None}
    full = defaults | chosen
    if schedule != "constant" and "schedule_steps" not in full:
        raise ValueError(f"schedule {schedule!r} needs schedule_steps, the number of steps until it ends")
    return {key: float(full[key]) for key in known if key in full}


def whole(name: str, schedule: str = "constant") -> tuple[str, ...]:
    """Return the hyper-parameters of an optimizer whose values are whole numbers.

    >>> whole("sgd")
    ('warmup_steps',)
    """
    return tuple(key for key, row in table(name, schedule).items() if row.domain.whole)


def _imported(name: str) -> Optimizer:
    """Import and check the optimizer `module:NAME`; modules are also looked for in the current directory."""
    place, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in place.split(".")) or not attribute.isidentifier():
        raise ValueError(f"{name!r} names no optimizer; write my_package.my_module:NAME, as Python would import it")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(place)
    except (Exception, SystemExit) as error:  # an imported module may raise anything
        missing = (isinstance(error, ModuleNotFoundError) and error.name) or "."
        if f"{place}.".startswith(f"{missing}."):
            raise ValueError(
                f"can't import the optimizer {name!r}: there is no module {missing!r}; "
                "start in the folder that holds it, or install it"
            ) from error
        raise ValueError(
            f"can't import the optimizer {name!r}: its module raises {_said(error)}; mend it, or name another"
        ) from error
    row = getattr(module, attribute, None)
    if not isinstance(row, Optimizer):
        there = [key for key, value in vars(module).items() if isinstance(value, Optimizer)]
        what = f"is of type {type(row).__name__}, no optimizer" if hasattr(module, attribute) else "is not in it"
        rest = f"choose {' or '.join(there)}" if there else "make one with mlp_jax.optimizers.register"
        raise ValueError(f"{attribute!r} of module {place!r} {what}; {rest}")
    return _checked(name, row, module)


def _checked(name: str, row: Optimizer, module: Any) -> Optimizer:
    """Return a row with its version, or raise a ValueError that says why it can't be used."""
    row = row._replace(hyperparameters=dict(row.hyperparameters))
    try:
        _check_names(row.hyperparameters)
        for key, each in row.hyperparameters.items():
            _check_row(key, each)
        trial_run.check(row)
    except ValueError as error:
        raise ValueError(f"optimizer {name!r} can't be used: {error}") from error
    if row.schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {row.schedule!r}; choose one of {', '.join(sorted(SCHEDULES))}")
    return row._replace(version=row.version or _version(row, module))


def _check_names(hyperparameters: Mapping[str, Hyperparameter]) -> None:
    taken = (LINKS.keys() | REGULARIZERS.keys() | RESERVED) - {"weight_decay"}
    if wrong := sorted(taken & hyperparameters.keys()):
        raise ValueError(f"hyper-parameter {wrong[0]!r} is there already, for every optimizer; give it another name")
    if odd := [key for key in hyperparameters if not (isinstance(key, str) and key.isidentifier())]:
        raise ValueError(f"a hyper-parameter can't be called {odd[0]!r}; use letters, digits and _")
    rate = hyperparameters.get("learning_rate")
    if rate is None or not isinstance(rate, Hyperparameter) or rate.search is None:
        raise ValueError("it needs the hyper-parameter learning_rate, with a range to search")


def _check_row(key: str, row: Hyperparameter) -> None:
    if not isinstance(row, Hyperparameter) or row.default is None:
        raise ValueError(f"hyper-parameter {key!r} needs a default; describe it by a Hyperparameter")
    check_value(key, row.default, row)
    if row.search is None:
        return
    if row.search.scale not in SCALES or not row.search.low < row.search.high:
        raise ValueError(
            f"the range of {key} is {tuple(row.search)}; give low below high, and a scale of {', '.join(SCALES)}"
        )
    for end in (row.search.low, row.search.high):
        if not row.domain.allows(end):
            raise ValueError(f"the range of {key} goes to {end!r}, which is outside its domain: {row.domain.words}")


def _version(row: Optimizer, module: Any) -> str:
    """Return a hash of the module's file, or of the direction's code if there is no file, as in a notebook."""
    path = getattr(module, "__file__", None)
    try:
        content = Path(path).read_bytes() if path else inspect.getsource(row.direction).encode()
    except (OSError, TypeError):
        content = getattr(getattr(row.direction, "__code__", None), "co_code", b"")
    constants = repr([(key, each.default, each.search) for key, each in row.hyperparameters.items()])
    return hashlib.sha256(content + constants.encode()).hexdigest()[:16]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__} ({' '.join(str(error).split())[:200]})"
