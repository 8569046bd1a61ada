"""A lesson is a row of the lecture that runs by itself, and shows its result.

Invariant: the code that a lesson shows is the code that it runs: the lines of its function that end in SHOWN.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.data import Dataset, load
from mlp_jax.lecture.knobs import Knobs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = "  # <-"


class Shown(NamedTuple):
    """The result of a lesson: the slide's formula, the inputs, and the outputs as text and as plain values."""

    formula: str
    given: Mapping[str, Any]
    text: str
    values: dict[str, Any]
    figure: "Callable[[], Figure] | None" = None


class Lesson(NamedTuple):
    """One row of the lecture: the slide in our words, the functions that do it, a related command, the lesson."""

    number: int
    slide: str
    functions: str
    seen: str
    run: Callable[..., Shown]

    @property
    def name(self) -> str:
        """The name of the row in the list, such as L14."""
        return f"L{self.number}"

    @property
    def command(self) -> str:
        """The command that runs the lesson, with its options."""
        knobs = "".join(f" [--{name.replace('_', '-')} …]" for name in self.knobs)
        return f"mlp-jax lecture {self.name}{knobs}"

    @property
    def knobs(self) -> tuple[str, ...]:
        """The names of the options that the lesson takes."""
        return tuple(inspect.signature(self.run).parameters)

    @property
    def code(self) -> str:
        """The lines of the lesson's function that do what the slide says."""
        lines = [line for line in inspect.getsource(self.run).splitlines() if line.endswith(SHOWN)]
        return textwrap.dedent("\n".join(line.removesuffix(SHOWN) for line in lines))


def check(asked: list[Lesson], knobs: Knobs) -> None:
    """Refuse an option that none of these lessons has.

    Raises:
        ValueError: such an option is given.
    """
    has = list(dict.fromkeys(name for lesson in asked for name in lesson.knobs))
    option = lambda name: f"--{name.replace('_', '-')}"
    for name in knobs.given():
        if not asked:
            raise ValueError(f"{option(name)} is for a row; name one, such as L14")
        if name not in has:
            words = ", ".join(map(option, has)) or "none"
            raise ValueError(f"{' '.join(lesson.name for lesson in asked)} has no {option(name)}; its options: {words}")


def run(lesson: Lesson, knobs: Knobs) -> Shown:
    """Run one lesson with those of the options that it takes.

    Raises:
        ValueError: a value does not fit the lesson.
    """
    return lesson.run(**{name: value for name, value in knobs.given().items() if name in lesson.knobs})


def classes(dataset: str, data_dir: str | None) -> Dataset:
    """Load a data set of classes.

    Raises:
        ValueError: it is not available, or has real labels.
    """
    data = load(dataset, data_dir=data_dir)
    if not data.classes:
        raise ValueError(f"data set {dataset!r} has real labels; name one of classes, such as digits or mnist")
    return data


def vector(values: Any, digits: int = 4) -> str:
    """Return numbers as [1, −2.5, …], at most ten of them."""
    flat = np.ravel(np.asarray(values, float))
    shown = [number(value, digits) for value in flat[:10]]
    return f"[{', '.join(shown)}{', …' if flat.size > 10 else ''}]"


def number(value: Any, digits: int = 4) -> str:
    """Return a number with so many digits, a true minus, and never −0."""
    return f"{float(value) + 0.0:.{digits}g}".replace("-", "−")
