"""Files of figures: the same each time, opened by other programs, whole or not there; one scale for weights."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from pictures import numbered, texts
from PIL import Image

from mlp_jax import drawing
from mlp_jax.drawing import canvas
from mlp_jax.model import Network
from mlp_jax.report import panels

TINY = Network(inputs=2, hidden=(3,), outputs=1, output="sigmoid")
FOUR = Network(inputs=16, hidden=(5,), outputs=3)


def laid_out() -> Figure:
    """A figure whose legend stands outside the axes, so that it must be laid out."""
    figure, axes = panels.sheet(2.0)
    axes.plot([1, 10, 100], [3000, 40, 5], gid="line")
    panels.batch_axes([axes], [1, 10, 100])
    panels.log_y([axes], "steps to target")
    return panels.legend(figure, [Line2D([], [], label=f"optimizer {i}") for i in range(6)], 3)


PICTURES = {
    "network": lambda: drawing.network(FOUR, numbered(FOUR)),
    "weights": lambda: drawing.weights(numbered(FOUR)),
    "laid out": laid_out,
}
IDS = {
    "network": {"edges-1", "node-0-16", "node-2-3", "block"},
    "weights": {f"unit-{i + 1}" for i in range(5)},
    "laid out": {"line"},
}


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
@pytest.mark.parametrize("picture", PICTURES)
def test_the_same_picture_is_the_same_file(tmp_path: Path, picture: str, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two", "three")]
    figure = PICTURES[picture]()
    for path, drawing_ in zip(paths, (figure, figure, PICTURES[picture]())):
        drawing.save(drawing_, path)
    one, two, three = (path.read_bytes() for path in paths)
    assert one == two == three
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("picture", PICTURES)
def test_other_programs_open_the_files(tmp_path: Path, picture: str) -> None:
    figure = PICTURES[picture]()
    for name in ("a.svg", "a.PNG", "a.pdf"):
        drawing.save(figure, str(tmp_path / name))
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {element.get("id") for element in root.iter()} >= IDS[picture]
    with Image.open(tmp_path / "a.PNG") as image:
        image.load()
        assert image.size == pytest.approx(figure.get_size_inches() * canvas.DOTS_PER_INCH, abs=1)
        assert image.getpixel((0, 0)) == (255, 255, 255, 255)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert b"Date" not in pdf


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.svg.gz", ".svg"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix of a figure .*; choose one of \.pdf, \.png, \.svg"):
        drawing.save(drawing.blocks(TINY), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="can't make .*file: .*; name another place"):
        drawing.save(drawing.blocks(TINY), tmp_path / "file" / "a.svg")
    (tmp_path / "a.svg").mkdir()
    with pytest.raises(OSError, match=r"can't write .*a\.svg: it is a directory; name a file"):
        drawing.save(drawing.blocks(TINY), tmp_path / "a.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "file"]


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    drawing.save(drawing.blocks(TINY), tmp_path / "new" / "folder" / "a.svg")
    assert (tmp_path / "new/folder/a.svg").exists()


def test_matplotlibs_settings_are_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    drawing.save(drawing.network(TINY), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before


def test_a_figure_is_laid_out_once_and_drawn_once_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    execute, draw = ConstrainedLayoutEngine.execute, Figure.draw
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *given: (done.append("layout"), execute(*given))[1])
    monkeypatch.setattr(Figure, "draw", lambda *given: (done.append("draw"), draw(*given))[1])
    figure = laid_out()
    for suffix in (".png", ".pdf"):
        canvas.save(figure, tmp_path / f"a{suffix}")
    canvas.inline(figure, "a")
    assert done.count("layout") == 1
    assert done.count("draw") == 3


def test_words_of_others_are_no_formula_and_can_be_drawn() -> None:
    figure = laid_out()
    name = b"$\\frac$ \xff".decode(errors="surrogateescape")
    figure.axes[0].set_title(name)
    assert "svg" in canvas.inline(figure, "a")
    assert figure.axes[0].get_title() == "$\\frac$ \\udcff"


def test_powers_of_ten_at_an_axis_are_formulas(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    axes = figure.add_subplot(title="$x$")
    axes.semilogy([1e-4, 1.0])
    canvas.save(figure, tmp_path / "log.svg")
    labels = [label for label in axes.get_yticklabels() if label.get_text()]
    assert labels
    assert all(label.get_parse_math() for label in labels)
    assert not axes.title.get_parse_math()


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Figure, path: Path, **_) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match=r"can't write .*a\.png: No space left on device; name another place"):
        canvas.save(drawing.blocks(TINY), tmp_path / "a.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]


@pytest.mark.parametrize("picture", PICTURES)
def test_ids_of_a_figure_in_a_page_begin_with_its_name(picture: str) -> None:
    text = canvas.inline(PICTURES[picture](), "mine")
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert ids
    assert all(each.startswith("mine-") for each in ids)
    assert {f"mine-{each}" for each in IDS[picture]} <= set(ids)
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text)) <= {(a, "") for a in ids} | {("", b) for b in ids}


def test_a_figure_in_a_page_is_one_element_that_points_nowhere() -> None:
    text = canvas.inline(laid_out(), "mine")
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")
    assert not re.search(r"http|xlink|<metadata", text)
    assert not re.search(r'<svg[^>]* width="', text), "it is as wide as the page lets it be"
    assert text == canvas.inline(laid_out(), "mine")


@pytest.mark.parametrize(
    ("values", "largest"),
    [([1.0, -3.0], 3.0), ([np.nan, np.inf, -2.0], 2.0), ([0.0], 1.0), ([np.nan], 1.0), ([], 1.0)],
)
def test_a_scale_is_symmetric_about_zero_and_ends_at_the_largest_finite(values: list[float], largest: float) -> None:
    scale = canvas.symmetric(np.array(values))
    assert (scale.vmin, scale.vmax) == (-largest, largest)


def test_a_page_is_measured_in_inches_from_the_lower_left() -> None:
    figure, axes = canvas.blank(3.0, 2.0)
    assert figure.get_size_inches().tolist() == [3, 2]
    assert axes.transData.transform((1.0, 0.5)) == pytest.approx(np.array([1.0, 0.5]) * figure.dpi)
    canvas.bar(axes, canvas.symmetric(np.array([0.5, -0.25])), 1.0, 0.5, 1.0)
    inset = figure.axes[1].get_position()
    assert inset.bounds == pytest.approx((1 / 3, 0.25, 0.1 / 3, 0.5))
    assert {"+0.5", "0", "−0.5"} <= set(texts(figure))
