"""The lecture's scalar network f(x) = w2·max{0, w1·max{0, w0·x}}: one iteration, with every derivative by its name.

Invariant: each value is computed from those above it, by the rule that is shown beside it.
"""

import math
import re
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from mlp_jax import tables

if TYPE_CHECKING:
    import matplotlib.axes

VALUE, NODE, EDGE, RELEASED = "#1f4e79", "#b03a2e", "#7a4fa3", "#b4bbc2"
"""Colours of values of the forward pass, of ∂L/∂node, of the derivative of an edge, and of freed values."""

CHAIN = ("x^(0)", "z^(1)", "x^(1)", "z^(2)", "x^(2)", "z^(3)", "L")
PLACES = {name: (float(place), 1.0) for place, name in enumerate(CHAIN)} | {
    "w^(0)": (1.0, 0.0), "w^(1)": (3.0, 0.0), "w^(2)": (5.0, 0.0), "y": (6.0, 0.0),
}  # fmt: skip
EDGES = (*pairwise(CHAIN), ("w^(0)", "z^(1)"), ("w^(1)", "z^(2)"), ("w^(2)", "z^(3)"), ("y", "L"))


class Step(NamedTuple):
    """One value: its name, the rule from which it comes, and its part of the iteration.

    A step of kind `free` releases the value of this name and has no value itself; `update` replaces a weight.
    """

    name: str
    rule: str
    value: float | None
    part: str
    kind: str = "value"


def trace(w0: float, w1: float, w2: float, x: float, y: float, learning_rate: float) -> tuple[Step, ...]:
    """Run one iteration in the slides' order and names: forward pass, backward pass, and the loss after it.

    A weight is updated as soon as its derivative exists, and each derivative is freed once it is no longer needed.

    Raises:
        ValueError: a number is not finite.
    """
    given = {"w^(0)": w0, "w^(1)": w1, "w^(2)": w2, "x": x, "y": y, "α": learning_rate}
    for name, value in given.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} {value!r} is not allowed; give a finite number")
    steps = [Step(name, "", float(value), "given") for name, value in given.items()]

    def note(name: str, rule: str, value: float, part: str = "backward") -> float:
        steps.append(Step(name, rule, float(value), part))
        return value

    def update(k: int, w: float, slope: float) -> float:
        new = w - learning_rate * slope
        steps.append(Step(f"new w^({k})", f"w^({k}) − α · ∂L/∂w^({k})", new, "backward", "update"))
        free(f"∂L/∂w^({k})")
        return new

    free = lambda name: steps.append(Step(name, "", None, "backward", "free"))

    x0 = note("x^(0)", "x", x, "forward")
    z1 = note("z^(1)", "w^(0) · x^(0)", w0 * x0, "forward")
    x1 = note("x^(1)", "max{0, z^(1)}", max(0.0, z1), "forward")
    z2 = note("z^(2)", "w^(1) · x^(1)", w1 * x1, "forward")
    x2 = note("x^(2)", "max{0, z^(2)}", max(0.0, z2), "forward")
    z3 = note("z^(3)", "w^(2) · x^(2)", w2 * x2, "forward")
    note("L", "½ (z^(3) − y)²", _half_square(z3 - y), "forward")

    L_z3 = note("∂L/∂z^(3)", "z^(3) − y", z3 - y)
    z3_x2 = note("∂z^(3)/∂x^(2)", "w^(2)", w2)
    x2_z2 = note("∂x^(2)/∂z^(2)", "1 if z^(2) > 0, else 0", float(z2 > 0))
    z3_z2 = note("∂z^(3)/∂z^(2)", "∂z^(3)/∂x^(2) · ∂x^(2)/∂z^(2)", z3_x2 * x2_z2)
    L_z2 = note("∂L/∂z^(2)", "∂z^(3)/∂z^(2) · ∂L/∂z^(3)", z3_z2 * L_z3)
    z3_w2 = note("∂z^(3)/∂w^(2)", "x^(2)", x2)
    L_w2 = note("∂L/∂w^(2)", "∂z^(3)/∂w^(2) · ∂L/∂z^(3)", z3_w2 * L_z3)
    free("∂L/∂z^(3)")
    new_w2 = update(2, w2, L_w2)
    z2_x1 = note("∂z^(2)/∂x^(1)", "w^(1)", w1)
    x1_z1 = note("∂x^(1)/∂z^(1)", "1 if z^(1) > 0, else 0", float(z1 > 0))
    z2_z1 = note("∂z^(2)/∂z^(1)", "∂z^(2)/∂x^(1) · ∂x^(1)/∂z^(1)", z2_x1 * x1_z1)
    L_z1 = note("∂L/∂z^(1)", "∂z^(2)/∂z^(1) · ∂L/∂z^(2)", z2_z1 * L_z2)
    z2_w1 = note("∂z^(2)/∂w^(1)", "x^(1)", x1)
    L_w1 = note("∂L/∂w^(1)", "∂z^(2)/∂w^(1) · ∂L/∂z^(2)", z2_w1 * L_z2)
    free("∂L/∂z^(2)")
    new_w1 = update(1, w1, L_w1)
    z1_w0 = note("∂z^(1)/∂w^(0)", "x^(0)", x0)
    L_w0 = note("∂L/∂w^(0)", "∂z^(1)/∂w^(0) · ∂L/∂z^(1)", z1_w0 * L_z1)
    free("∂L/∂z^(1)")
    new_w0 = update(0, w0, L_w0)

    new_x1 = note("new x^(1)", "max{0, new w^(0) · x}", max(0.0, new_w0 * x0), "after")
    new_x2 = note("new x^(2)", "max{0, new w^(1) · new x^(1)}", max(0.0, new_w1 * new_x1), "after")
    new_z3 = note("new z^(3)", "new w^(2) · new x^(2)", new_w2 * new_x2, "after")
    note("new L", "½ (new z^(3) − y)²", _half_square(new_z3 - y), "after")
    return tuple(steps)


def table(trace: tuple[Step, ...]) -> str:
    """Return the iteration as text, a line for each value (name, rule, rule with numbers, number) or release."""
    values: dict[str, float] = {}
    rows, lines = [], []
    for step in trace:
        if step.value is not None:
            rule = (f"= {step.rule}", f"= {_filled(step.rule, values)}") if step.rule else ("", "")
            rows.append((step.name, *rule, f"= {_number(step.value, 6)}"))
            values[step.name] = step.value
    written = iter(tables.text((), rows).splitlines())
    for part, steps in groupby(trace, key=lambda step: step.part):
        lines += [part, *(f"  {f'free {step.name}' if step.value is None else next(written)}" for step in steps)]
    return "\n".join(lines)


def stages(trace: tuple[Step, ...]) -> list[tuple[str, tuple[Step, ...]]]:
    """Return the frames of the iteration: for each what happens in it, and all steps up to its end."""
    found: list[tuple[str, str, tuple[Step, ...]]] = []
    for number, step in enumerate(trace, 1):
        if step.kind == "free" and found[-1][0] == "update":  # ∂L/∂w is freed in the frame of its update
            kind, title = "update", f"{found[-1][1]}, release {_math(step.name)}"
        else:
            kind = step.part if step.kind == "value" else step.kind
            title = {"free": f"release {_math(step.name)}", "update": f"update {_math(step.name[4:])}"}.get(kind, kind)
        if step.name == "new L":
            title = f"after: {step.name} = {_number(step.value or 0.0, 3)}"
        if kind == "backward":
            title = f"backward: {_math(step.name)}"
        if found and found[-1][0] == kind:
            del found[-1]
        found.append((kind, title, trace[:number]))
    return [(title, known) for _, title, known in found]


def draw(trace: tuple[Step, ...], axes: "matplotlib.axes.Axes") -> None:
    """Draw the computation graph into `axes`, about three times as wide as high, with the values in `trace`.

    A node has its value above it in blue and ∂L/∂node below it in red; an edge has its own derivative beside it in
    violet. Freed values are grey, and an updated weight shows its new value.
    """
    freed = {step.name for step in trace if step.kind == "free"}
    values = {step.name: step.value for step in trace if step.kind != "free"}
    values.setdefault("x^(0)", values.get("x"))  # given before the forward pass begins
    for begin, end in EDGES:
        (x0, y0), (x1, y1) = PLACES[begin], PLACES[end]
        arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 16, "shrinkB": 16}
        axes.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        place, shift = ((x0 + x1) / 2, (y0 + y1) / 2), (0, 8) if y0 == y1 else (16, 0)
        _note(axes, place, shift, values.get(f"∂{end}/∂{begin}"), EDGE)
    for name, place in PLACES.items():
        axes.plot(*place, "o", markersize=28, markerfacecolor="white", markeredgecolor="0.4")
        axes.annotate(_math(name), place, ha="center", va="center_baseline", fontsize=11)
        new, slope = values.get(f"new {name}"), f"∂L/∂{name}"
        show_new = new is not None and name.startswith("w")
        above = (-22, 18) if name[0] in "wy" else (0, 23)  # an arrow leaves these upwards
        _note(axes, place, above, new if show_new else values.get(name), VALUE, bold=show_new)
        _note(axes, place, (-24, -19), values.get(slope), RELEASED if slope in freed else NODE)
    axes.set(xlim=(-0.5, 6.5), ylim=(-0.4, 1.4))
    axes.set_axis_off()


def _filled(rule: str, values: dict[str, float]) -> str:
    """Return the rule with each name in it replaced by its number."""
    names = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
    return re.sub(rf"(?<![a-z])({names})(?![a-z])", lambda found: _number(values[found[0]], 6), rule)


def _number(value: float, digits: int) -> str:
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def _half_square(residual: float) -> float:
    return 0.5 * residual * residual


def _note(axes: "matplotlib.axes.Axes", place, shift, value: float | None, color: str, bold: bool = False) -> None:
    """Write `value`, if there is one, `shift` points away from `place`."""
    text = "" if value is None else _number(value, 3)
    look = {"ha": "center", "va": "center", "color": color, "fontsize": 9, "weight": "bold" if bold else "normal"}
    axes.annotate(text, place, shift, textcoords="offset points", **look)


def _math(name: str) -> str:
    """Turn x^(0) into what matplotlib sets as a formula."""
    return "$" + name.replace("(", "{(").replace(")", ")}") + "$"
