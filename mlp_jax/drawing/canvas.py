"""A canvas measured in inches, the marks that drawings put on it, one scale for weights, and files of figures.

Invariant: matplotlib's global state does not change, and the same figure gives the same file, byte by byte.
"""

import io
import re
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.text import Text
from matplotlib.ticker import LogFormatterMathtext

from mlp_jax.checks import choose
from mlp_jax.machine.controls import shown
from mlp_jax.machine.files import make_folder, replace

INK, GREY, BLUE, SAND = "#1f2a36", "#66717c", "#e1ebf5", "#fbf1dc"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288")
"""Colours of lines that are no optimizer's (Okabe & Ito, and a darker one): distinct for all colour blindness."""
DIVERGING = LinearSegmentedColormap.from_list(  # blue to orange: distinct for every kind of colour blindness
    "weights", ["#005b96", "#7fb8dc", "#f5f5f5", "#f3b27a", "#c44e00"]
).with_extremes(bad="black")
METADATA = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}
DOTS_PER_INCH = 200


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a white figure of this size and the axes that fill it: one unit is an inch, (0, 0) is bottom left."""
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.suppressComposite = True  # in an SVG each image stays one element, with its id
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.axis("off")
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, size: float = 8.0, color: str = INK, ha: str = "center") -> None:
    """Write `text` with its vertical middle at (x, y), and its horizontal middle too unless `ha` says otherwise."""
    drawn = axes.text(x, y, text, size=size, color=color, ha=ha, va="center_baseline")
    drawn.set_math_fontfamily("dejavusans")


def dots(axes: Axes, x: float, y: float, dx: float, dy: float, gid: str) -> None:
    """Draw an ellipsis about (x, y), a dot every (dx, dy)."""
    for i in (-1, 0, 1):
        axes.add_patch(Circle((x + i * dx, y + i * dy), 0.016, color=GREY, linewidth=0, gid=gid))


def arrow(axes: Axes, start: float, end: float, y: float) -> None:
    """Draw an arrow to the right."""
    look = {"arrowstyle": "-|>", "mutation_scale": 6, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "color": INK}
    axes.add_patch(FancyArrowPatch((start, y), (end, y), **look))


def symmetric(values: Float[np.ndarray, "..."]) -> Normalize:
    """Return the scale from −m to m, where m is the largest finite |value|, or 1 if none is above zero."""
    largest = np.max(np.abs(values), where=np.isfinite(values), initial=0.0)
    return Normalize(-float(largest or 1.0), float(largest or 1.0))


def bar(axes: Axes, scale: Normalize, x: float, y: float, height: float) -> None:
    """Draw the colours of a symmetric `scale` in a bar whose lower left corner is (x, y)."""
    figure = axes.figure
    place = axes.transAxes.inverted().transform(axes.transData.transform([(x, y), (x + 0.1, y + height)]))
    inset = figure.add_axes((*place[0], *(place[1] - place[0])))
    ticks = [scale.vmin or 0.0, 0.0, scale.vmax or 0.0]
    drawn = figure.colorbar(ScalarMappable(scale, DIVERGING), cax=inset, ticks=ticks)
    inset.set_yticks(ticks, ["0" if tick == 0 else f"{tick:+.2g}".replace("-", "−") for tick in ticks])
    inset.tick_params(labelsize=7, labelcolor=INK, length=2, width=0.5, color=GREY)
    drawn.outline.set(linewidth=0.5, edgecolor=GREY)


def save(figure: Figure, path: Path | str) -> None:
    """Write `figure` to `path`, as SVG, PNG or PDF by its suffix; it appears whole or not at all.

    A missing folder is made.

    Raises:
        ValueError: the suffix is another one.
        OSError: the file can't be written.
    """
    path = Path(path)
    suffix = choose("suffix of a figure", path.suffix.lower(), METADATA)
    make_folder(path.parent)
    _settle(figure)
    with matplotlib.rc_context({"svg.hashsalt": "mlp_jax"}):
        replace(path, lambda to: figure.savefig(to, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=METADATA[suffix]))


def inline(figure: Figure, name: str) -> Markup:
    """Return the figure as an SVG element whose ids begin with `name`, so that several can stand in one page."""
    buffer = io.StringIO()
    _settle(figure)
    with matplotlib.rc_context({"svg.hashsalt": "mlp_jax"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\b(id=")|(href="#)|(url\(#)', lambda found: f"{found[0]}{name}-", text)
    text = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"| xmlns(:xlink)?="[^"]*"', "", text, count=4)
    return Markup(text.replace("xlink:href", "href"))


def _settle(figure: Figure) -> None:
    """Lay a figure out once, then remove its layout engine, with which every save would draw it twice.

    Its text may come from a user, such as a directory's name, and is shown as it is: `$` begins no formula, but in the
    powers of ten that matplotlib itself writes at a logarithmic axis.
    """
    if (engine := figure.get_layout_engine()) is not None:
        axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
        powers = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatterMathtext)]
        own = {label for axis in powers for which in ("major", "minor") for label in axis.get_ticklabels(which=which)}
        for text in set(figure.findobj(Text)) - own:
            text.set_parse_math(False)
            if (seen := shown(text.get_text())) != text.get_text():
                text.set_text(seen)
        engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would leave an engine that does nothing
