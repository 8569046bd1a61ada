"""The lecture's scalar network f(x) = w2·max{0, w1·max{0, w0·x}}: one iteration with every derivative by its name.

Invariant: each value is computed from the ones above it by the rule that stands beside it.
"""

import math
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from mlp_jax import tables

if TYPE_CHECKING:
    import matplotlib.axes

FORWARD, BACKWARD = "#1f4e79", "#b03a2e"  # what flows right, what flows left

CHAIN = ("x^(0)", "z^(1)", "x^(1)", "z^(2)", "x^(2)", "z^(3)", "L")
PLACES = {name: (float(place), 1.0) for place, name in enumerate(CHAIN)} | {
    "w^(0)": (1.0, 0.0), "w^(1)": (3.0, 0.0), "w^(2)": (5.0, 0.0), "y": (6.0, 0.0),
}  # fmt: skip
EDGES = (*pairwise(CHAIN), ("w^(0)", "z^(1)"), ("w^(1)", "z^(2)"), ("w^(2)", "z^(3)"), ("y", "L"))


class Step(NamedTuple):
    """One value: its name, the rule it comes from, and the part of the iteration it belongs to."""

    name: str
    rule: str
    value: float
    part: str


def trace(w0: float, w1: float, w2: float, x: float, y: float, learning_rate: float) -> tuple[Step, ...]:
    """Run one iteration: forward pass, backward pass, update; return its values in the slides' order and names.

    Raises:
        ValueError: a number is not finite.
    """
    given = {"w^(0)": w0, "w^(1)": w1, "w^(2)": w2, "x": x, "y": y, "α": learning_rate}
    for name, value in given.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} {value!r} is not allowed; give a finite number")
    steps = [Step(name, "", float(value), "given") for name, value in given.items()]

    def note(part: str, name: str, rule: str, value: float) -> float:
        steps.append(Step(name, rule, float(value), part))
        return value

    x0 = note("forward", "x^(0)", "x", x)
    z1 = note("forward", "z^(1)", "w^(0) x^(0)", w0 * x0)
    x1 = note("forward", "x^(1)", "max{0, z^(1)}", max(0.0, z1))
    z2 = note("forward", "z^(2)", "w^(1) x^(1)", w1 * x1)
    x2 = note("forward", "x^(2)", "max{0, z^(2)}", max(0.0, z2))
    z3 = note("forward", "z^(3)", "w^(2) x^(2)", w2 * x2)
    note("forward", "L", "½ (z^(3) − y)²", 0.5 * (z3 - y) ** 2)

    L_z3 = note("backward", "∂L/∂z^(3)", "z^(3) − y", z3 - y)
    z3_x2 = note("backward", "∂z^(3)/∂x^(2)", "w^(2)", w2)
    x2_z2 = note("backward", "∂x^(2)/∂z^(2)", "1 if z^(2) > 0, else 0", float(z2 > 0))
    z3_z2 = note("backward", "∂z^(3)/∂z^(2)", "∂z^(3)/∂x^(2) · ∂x^(2)/∂z^(2)", z3_x2 * x2_z2)
    L_z2 = note("backward", "∂L/∂z^(2)", "∂z^(3)/∂z^(2) · ∂L/∂z^(3)", z3_z2 * L_z3)
    z3_w2 = note("backward", "∂z^(3)/∂w^(2)", "x^(2)", x2)
    L_w2 = note("backward", "∂L/∂w^(2)", "∂z^(3)/∂w^(2) · ∂L/∂z^(3)", z3_w2 * L_z3)
    z2_x1 = note("backward", "∂z^(2)/∂x^(1)", "w^(1)", w1)
    x1_z1 = note("backward", "∂x^(1)/∂z^(1)", "1 if z^(1) > 0, else 0", float(z1 > 0))
    z2_z1 = note("backward", "∂z^(2)/∂z^(1)", "∂z^(2)/∂x^(1) · ∂x^(1)/∂z^(1)", z2_x1 * x1_z1)
    L_z1 = note("backward", "∂L/∂z^(1)", "∂z^(2)/∂z^(1) · ∂L/∂z^(2)", z2_z1 * L_z2)
    z2_w1 = note("backward", "∂z^(2)/∂w^(1)", "x^(1)", x1)
    L_w1 = note("backward", "∂L/∂w^(1)", "∂z^(2)/∂w^(1) · ∂L/∂z^(2)", z2_w1 * L_z2)
    z1_w0 = note("backward", "∂z^(1)/∂w^(0)", "x^(0)", x0)
    L_w0 = note("backward", "∂L/∂w^(0)", "∂z^(1)/∂w^(0) · ∂L/∂z^(1)", z1_w0 * L_z1)

    note("update", "new w^(2)", "w^(2) − α ∂L/∂w^(2)", w2 - learning_rate * L_w2)
    note("update", "new w^(1)", "w^(1) − α ∂L/∂w^(1)", w1 - learning_rate * L_w1)
    note("update", "new w^(0)", "w^(0) − α ∂L/∂w^(0)", w0 - learning_rate * L_w0)
    return tuple(steps)


def table(trace: tuple[Step, ...]) -> str:
    """Return the iteration as text: a line per value, its name, its rule and its number."""
    rows = [(step.name, f"= {step.rule}" if step.rule else "", f"= {step.value:.6g}") for step in trace]
    written = iter(tables.text((), rows).splitlines())
    lines = []
    for part, steps in groupby(trace, key=lambda step: step.part):
        lines += [part, *(f"  {next(written)}" for _ in steps)]
    return "\n".join(lines)


def draw(trace: tuple[Step, ...], axes: "matplotlib.axes.Axes") -> None:
    """Draw the computation graph into `axes`, about three times as wide as high.

    A node has its value above it in blue and ∂L/∂node below it in red; an edge has its own derivative beside it.
    """
    values = {step.name: step.value for step in trace}
    for begin, end in EDGES:
        (x0, y0), (x1, y1) = PLACES[begin], PLACES[end]
        arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 16, "shrinkB": 16}
        axes.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        _note(axes, ((x0 + x1) / 2, (y0 + y1) / 2), (0, 8) if y0 == y1 else (16, 0), values.get(f"∂{end}/∂{begin}"))
    for name, place in PLACES.items():
        axes.plot(*place, "o", markersize=28, markerfacecolor="white", markeredgecolor="0.4")
        axes.annotate(_math(name), place, ha="center", va="center_baseline", fontsize=11)
        _note(axes, place, (-22, 18), values[name], FORWARD)
        _note(axes, place, (-24, -19), values.get(f"∂L/∂{name}"))
    axes.set(xlim=(-0.5, 6.5), ylim=(-0.4, 1.4))
    axes.set_axis_off()


def _note(axes: "matplotlib.axes.Axes", place, shift, value: float | None, color: str = BACKWARD) -> None:
    """Write `value`, if there is one, `shift` points away from `place`."""
    text = "" if value is None else f"{value:.3g}".replace("-", "−")
    axes.annotate(text, place, shift, textcoords="offset points", ha="center", va="center", color=color, fontsize=9)


def _math(name: str) -> str:
    """Turn x^(0) into what matplotlib sets as a formula."""
    return "$" + name.replace("(", "{(").replace(")", ")}") + "$"
