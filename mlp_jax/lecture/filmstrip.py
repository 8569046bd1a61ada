"""The lecture's scalar iteration as frames, one for each thing that happens: a strip of pictures, or a film.

Invariant: a frame shows only the values that are known at that moment.
"""

import io
from pathlib import Path

from matplotlib.figure import Figure

from mlp_jax.checks import choose
from mlp_jax.lecture import scalar
from mlp_jax.lecture.scalar import EDGE, NODE, RELEASED, VALUE, Step
from mlp_jax.machine import files

ACROSS = 3
SECONDS = 1.6  # for each frame of a film
KEY = (
    (VALUE, "values (bold: a new weight)"),
    (NODE, "∂L/∂node"),
    (EDGE, "derivative of an edge"),
    (RELEASED, "freed from memory"),
)
FILM = 110  # dots per inch


def strip(trace: tuple[Step, ...]) -> Figure:
    """Return a figure with all frames of an iteration, to be read line by line."""
    stages = scalar.stages(trace)
    down = -(-len(stages) // ACROSS)
    figure = Figure(figsize=(6.2 * ACROSS, 2.45 * down + 0.5), facecolor="white")
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.01, top=1 - 0.62 / (2.45 * down + 0.5), hspace=0.28, wspace=0.03
    )
    panels = figure.subplots(down, ACROSS).flat
    for number, (axes, (title, known)) in enumerate(zip(panels, stages), 1):
        _frame(axes, f"{number}  {title}", known)
    for axes in list(panels)[len(stages) :]:
        axes.set_axis_off()
    _key(figure)
    return figure


def frames(trace: tuple[Step, ...]) -> list[Figure]:
    """Return one picture for each stage of an iteration, all of one size."""
    drawn = []
    stages = scalar.stages(trace)
    for number, (title, known) in enumerate(stages, 1):
        figure = Figure(figsize=(7.6, 3.5), facecolor="white")
        _frame(figure.add_axes((0.01, 0.02, 0.98, 0.74)), f"{number} of {len(stages)}  {title}", known)
        _key(figure)
        drawn.append(figure)
    return drawn


def film(trace: tuple[Step, ...]) -> bytes:
    """Return the frames as an animated GIF, which starts again at its end."""
    from PIL import Image

    pictures = []
    for figure in frames(trace):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=FILM)
        pictures.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE, colors=64))
    buffer, milliseconds = io.BytesIO(), int(1000 * SECONDS)
    pictures[0].save(
        buffer, format="GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, optimize=True
    )
    return buffer.getvalue()


def save_film(trace: tuple[Step, ...], path: Path) -> None:
    """Write the film to `path`, a .gif; it appears whole or not at all.

    Raises:
        ValueError: the suffix is another one.
        OSError: the file can't be written.
    """
    choose("suffix of a film", path.suffix.lower(), (".gif",))
    files.make_folder(path.parent)
    files.replace(path, lambda to: to.write_bytes(film(trace)))


def _frame(axes, title: str, known: tuple[Step, ...]) -> None:
    scalar.draw(known, axes)
    axes.set_title(title, fontsize=11, loc="left")


def _key(figure: Figure) -> None:
    """Write above the frames what each colour means."""
    width, height = figure.get_size_inches()
    for number, (color, words) in enumerate(KEY):
        place = (0.1 + (0.0, 2.6, 3.7, 5.6)[number]) / width
        figure.text(place, 1 - 0.22 / height, words, color=color, fontsize=11, va="center")
