"""Drawings: what is shown is counted, colours are compared with the weights, files are opened by other programs."""

import dataclasses
import re
import time
import xml.etree.ElementTree as ElementTree
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from mlp_jax import model
from mlp_jax.model import BIASES, Layer, Network
from mlp_jax.report import canvas, drawing, graph

MNIST = Network(inputs=784, hidden=(128,), outputs=10)
TINY = Network(inputs=2, hidden=(3,), outputs=1, output="sigmoid")
DEEP = Network(inputs=64, hidden=(50,) * 19, outputs=10, bias="none")
WIDE = Network(inputs=1_000_000, hidden=(100_000,) * 3, outputs=1_000_000, activation="identity", output="identity")
LINEAR = Network(inputs=784, outputs=10, bias="ones")
FOUR = Network(inputs=16, hidden=(5,), outputs=3)


def drawn(figure: Figure, pattern: str) -> list[Any]:
    return figure.findobj(lambda artist: re.fullmatch(pattern, artist.get_gid() or "") is not None)


def edges(figure: Figure, layer: int) -> LineCollection:
    (lines,) = drawn(figure, f"edges-{layer}")
    assert isinstance(lines, LineCollection)
    return lines


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def numbered(network: Network) -> model.Params:
    """Parameters that are all different: 1, −2, 3, … in the order of the leaves."""
    shapes = jax.eval_shape(partial(model.init, network=network), jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    starts = np.cumsum([0, *(leaf.size for leaf in leaves)])
    signed = lambda start, leaf: (
        np.arange(start + 1, start + leaf.size + 1) * (-1.0) ** np.arange(start, start + leaf.size)
    )
    return jax.tree.unflatten(tree, [signed(n, leaf).reshape(leaf.shape) for n, leaf in zip(starts, leaves)])


# ---------------------------------------------------------------------------------------------- nodes and edges


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("hidden", [(), (3,), (12, 1, 5, 2)])
def test_a_small_network_is_drawn_whole(hidden: tuple[int, ...], bias: str) -> None:
    network = Network(inputs=4, hidden=hidden, outputs=2, bias=bias)
    figure = drawing.nodes(network)
    ones = {"all": len(hidden) + 1, "ones": 1, "none": 0}[bias]
    assert len(drawn(figure, r"node-.*")) == 4 + sum(hidden) + 2 + ones
    shown = sum(len(edges(figure, k + 1).get_segments()) for k in range(len(hidden) + 1))
    assert shown == model.parameter_count(network)
    assert not drawn(figure, "ellipsis.*")


def test_edges_join_the_nodes_they_stand_between() -> None:
    figure = drawing.nodes(TINY)
    center = {node.get_gid(): tuple(node.get_center()) for node in drawn(figure, "node-.*")}
    expected = {(center[f"node-0-{i}"], center[f"node-1-{o}"]) for i in (1, 2, 3) for o in (1, 2, 3)}
    assert {tuple(map(tuple, segment)) for segment in edges(figure, 1).get_segments()} == expected


def test_wide_layers_are_abbreviated() -> None:
    figure = drawing.nodes(MNIST)
    shown = [*range(1, 7), *range(780, 785)]
    assert {node.get_gid() for node in drawn(figure, "node-0-.*")} == {f"node-0-{i}" for i in [*shown, 785]}
    assert len(drawn(figure, "node-1-.*")) == 12
    assert len(drawn(figure, "node-2-.*")) == 10
    assert len(edges(figure, 1).get_segments()) == 12 * 11
    assert len(edges(figure, 2).get_segments()) == 12 * 10
    assert {artist.get_gid() for artist in drawn(figure, "ellipsis.*")} == {"ellipsis-0", "ellipsis-1"}
    labels = texts(figure)
    assert [label for label in labels if label.startswith("$x_")] == [f"$x_{{{i}}}$" for i in shown]
    assert [label for label in labels if label.startswith("$f_")] == [f"$f_{{{i}}}$" for i in range(1, 11)]
    assert labels.count("1") == 2


def test_a_layer_of_twelve_is_whole_and_one_of_thirteen_is_not() -> None:
    figure = drawing.nodes(Network(inputs=12, outputs=13, bias="none"))
    assert len(drawn(figure, "node-0-.*")) == 12
    assert len(drawn(figure, "node-1-.*")) == 11


def test_deep_networks_are_abbreviated() -> None:
    figure = drawing.network(DEEP)
    layers = {node.get_gid().split("-")[1] for node in drawn(figure, "node-.*")}
    assert layers == {"0", "1", "2", "19", "20"}
    assert {lines.get_gid() for lines in drawn(figure, "edges-.*")} == {"edges-1", "edges-2", "edges-20"}
    assert len(drawn(figure, "block")) == 7
    assert {"16 more layers", "17 more Dense", "42,500 parameters", "48,700 parameters in total"} <= set(texts(figure))


def test_a_ones_feature_is_the_last_entry_of_x() -> None:
    figure = drawing.nodes(LINEAR)
    labels = texts(figure)
    assert "$x_{784}$" in labels
    assert "$x_{785}$" not in labels
    assert r"$\mathbf{x}\in\mathbb{R}^{785}$" in labels
    assert "10 × 785" in labels
    assert len(edges(figure, 1).get_segments()) == 12 * 10


# ---------------------------------------------------------------------------------------------- weights on edges


@pytest.mark.parametrize("bias", BIASES)
def test_each_edge_has_the_colour_of_its_own_weight(bias: str) -> None:
    network = Network(inputs=20, hidden=(3,), outputs=15, bias=bias)
    params = numbered(network)
    figure = drawing.nodes(network, params)
    centers = {tuple(node.get_center()): node.get_gid() for node in drawn(figure, "node-.*")}
    for k, layer in enumerate(params):
        columns = layer.W if layer.b is None else np.column_stack([layer.W, layer.b])
        lines = edges(figure, k + 1)
        for (start, end), value in zip(lines.get_segments(), lines.get_array(), strict=True):
            source, target = (int(centers[tuple(point)].split("-")[2]) - 1 for point in (start, end))
            assert value == columns[target, source]


def test_the_scale_is_symmetric_and_the_extremes_have_its_ends() -> None:
    params = (Layer(np.array([[-4.0, 1.0], [0.0, 2.0], [0.5, 0.25]]), np.zeros(3)), Layer(np.ones((1, 3)), np.ones(1)))
    figure = drawing.nodes(TINY, params)
    first, second = edges(figure, 1), edges(figure, 2)
    assert (first.norm.vmin, first.norm.vmax) == (second.norm.vmin, second.norm.vmax) == (-4.0, 4.0)
    FigureCanvasAgg(figure).draw()
    assert tuple(first.get_colors()[-1]) == canvas.DIVERGING(0.0)
    assert first.get_linewidths()[-1] == max(first.get_linewidths())
    width = dict(zip(first.get_array(), first.get_linewidths()))
    assert width[0.0] < width[0.25] < width[0.5] < width[1.0] < width[2.0] < width[-4.0]
    assert {"+4", "−4", "0"} <= set(texts(figure))


def test_a_positive_and_a_negative_weight_have_opposite_ends() -> None:
    network = Network(inputs=1, outputs=2, bias="none")
    figure = drawing.nodes(network, (Layer(jnp.array([[3.0], [-3.0]]), None),))
    FigureCanvasAgg(figure).draw()
    colors = dict(zip(edges(figure, 1).get_array(), map(tuple, edges(figure, 1).get_colors())))
    assert colors == {3.0: canvas.DIVERGING(1.0), -3.0: canvas.DIVERGING(0.0)}
    assert colors[3.0][0] > colors[3.0][2]  # orange is positive, blue negative
    assert colors[-3.0][0] < colors[-3.0][2]


def test_diverged_parameters_are_black_and_do_not_set_the_scale(tmp_path: Path) -> None:
    network = Network(inputs=2, outputs=2, bias="none")
    params = (Layer(np.array([[np.nan, np.inf], [-2.0, 1.0]]), None),)
    figure = drawing.network(network, params)
    drawing.save(figure, tmp_path / "diverged.png")
    lines = edges(figure, 1)
    assert lines.norm.vmax == 2.0
    black = [tuple(color) == (0.0, 0.0, 0.0, 1.0) for color in lines.get_colors()]
    assert black == list(np.ma.getmaskarray(lines.get_array()))
    assert sum(black) == 2


def test_zero_parameters_can_be_drawn(tmp_path: Path) -> None:
    params = jax.tree.map(np.zeros_like, numbered(TINY))
    drawing.save(drawing.network(TINY, params), tmp_path / "zero.svg")
    drawing.save(drawing.weights(params, (1, 2)), tmp_path / "images.png")


@pytest.mark.parametrize("other", [TINY, Network(inputs=2, hidden=(3,), outputs=2, bias="none")])
def test_parameters_of_another_network_are_refused(other: Network) -> None:
    network = Network(inputs=2, hidden=(3,), outputs=2)
    with pytest.raises(ValueError, match="parameters of shapes .* are not those of"):
        drawing.nodes(network, numbered(other))


# ---------------------------------------------------------------------------------------------- blocks


def test_blocks_give_shapes_and_counts() -> None:
    figure = drawing.blocks(MNIST)
    expected = [r"$\mathbf{W}^{(0)}$  128 × 784", r"$\mathbf{b}^{(0)}$  128", "100,480 parameters", "ReLU"]
    expected += [r"$\mathbf{W}^{(1)}$  10 × 128", r"$\mathbf{b}^{(1)}$  10", "1,290 parameters", "SoftMax"]
    expected += ["101,770 parameters in total", r"$\mathbf{x}$", r"$\mathbf{f}(\mathbf{x})$"]
    assert sorted(texts(figure)) == sorted([*expected, "Dense", "Dense"])
    assert len(drawn(figure, "block")) == 4


@pytest.mark.parametrize("activation", sorted(model.ACTIVATIONS))
@pytest.mark.parametrize("output", sorted(model.OUTPUTS))
def test_blocks_name_the_functions(activation: str, output: str) -> None:
    network = Network(inputs=2, hidden=(3,), outputs=2, activation=activation, output=output)
    names = [text.lower() for text in texts(drawing.blocks(network))]
    assert {activation, output} <= set(names)


@pytest.mark.parametrize("bias", BIASES)
def test_the_counts_below_the_blocks_add_up(bias: str) -> None:
    figure = drawing.blocks(Network(inputs=30, hidden=(20,) * 8, outputs=3, bias=bias))
    *parts, total = (int(text.split()[0].replace(",", "")) for text in texts(figure) if "parameters" in text)
    assert sum(parts) == total


# ---------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize("network", [MNIST, TINY, DEEP, WIDE, LINEAR, dataclasses.replace(DEEP, bias="all")])
def test_labels_stay_apart_and_on_the_page(network: Network) -> None:
    assert_apart(drawing.network(network))


@pytest.mark.parametrize("shape", [(28, 28), (1, 784)])
def test_labels_of_images_stay_apart(shape: tuple[int, int]) -> None:
    assert_apart(drawing.weights(numbered(MNIST), shape))


def test_labels_of_the_colour_bar_stay_apart() -> None:
    assert_apart(drawing.network(MNIST, numbered(MNIST)))


def assert_apart(figure: Figure) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown if text.axes and on(text)]
    page = figure.bbox
    for text, box in boxes:
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


def on(text: Text) -> bool:
    """Axes that are off still hold the texts of their ticks."""
    return text.axes.axison or text in text.axes.texts


@pytest.mark.parametrize("network", [MNIST, TINY, WIDE])
def test_labels_stay_off_the_nodes(network: Network) -> None:
    figure = drawing.nodes(network)
    renderer = FigureCanvasAgg(figure).get_renderer()
    discs = [node.get_window_extent(renderer) for node in drawn(figure, "node-.*")]
    for text in figure.axes[0].texts:
        assert text.get_window_extent(renderer).count_overlaps(discs) == (text.get_text() == "1"), text


def test_text_in_boxes_stays_in_them() -> None:
    figure = drawing.blocks(WIDE)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [block.get_window_extent(renderer) for block in drawn(figure, "block")]
    for text in figure.axes[0].texts:
        extent = text.get_window_extent(renderer)
        inside = [box for box in boxes if box.overlaps(extent)]
        assert all(box.x0 < extent.x0 and extent.x1 < box.x1 for box in inside), text


# ---------------------------------------------------------------------------------------------- images of weights


@pytest.mark.parametrize("bias", BIASES)
def test_each_image_is_a_row_of_the_first_matrix(bias: str) -> None:
    params = numbered(Network(inputs=16, hidden=(70,), outputs=2, bias=bias))
    figure = drawing.weights(params)
    images = drawn(figure, "unit-.*")
    assert [image.get_gid() for image in images] == [f"unit-{i + 1}" for i in range(64)]
    for image, row in zip(images, params[0].W):
        assert isinstance(image, AxesImage)
        np.testing.assert_array_equal(image.get_array(), row[:16].reshape(4, 4))
        assert image.norm is images[0].norm
    largest = np.abs(params[0].W[:64, :16]).max()
    assert (images[0].norm.vmin, images[0].norm.vmax) == (-largest, largest)
    assert "the first 64 of 70" in texts(figure)


def test_images_have_the_given_shape_and_channels_are_added() -> None:
    params = numbered(Network(inputs=24, outputs=3))
    (first, *_) = drawn(drawing.weights(params, (2, 4, 3)), "unit-.*")
    np.testing.assert_allclose(first.get_array(), params[0].W[0].reshape(2, 4, 3).sum(-1))
    left, right, bottom, top = first.get_extent()
    assert (right - left) / (top - bottom) == pytest.approx(2.0)
    assert len(drawn(drawing.weights(params, (6, 4)), "unit-.*")) == 3


@pytest.mark.parametrize("shape", [(5, 5), (24,), (), (-4, -6), (4, 3), (1, 2, 3, 4), (0, 24)])
def test_a_wrong_image_shape_is_refused(shape: tuple[int, ...]) -> None:
    params = numbered(Network(inputs=24, outputs=3))
    with pytest.raises(ValueError, match=r"image shape .* does not fit; give \(height, width\) .* of product 24"):
        drawing.weights(params, shape)


def test_inputs_that_are_no_square_need_a_shape() -> None:
    with pytest.raises(ValueError, match="30 inputs are no square image; give the image shape"):
        drawing.weights(numbered(Network(inputs=30, outputs=2)))


# ---------------------------------------------------------------------------------------------- files


PICTURES = {
    "network": lambda: drawing.network(FOUR, numbered(FOUR)),
    "weights": lambda: drawing.weights(numbered(FOUR)),
}
IDS = {"network": {"edges-1", "node-0-16", "node-2-3", "block"}, "weights": {f"unit-{i + 1}" for i in range(5)}}


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


# ---------------------------------------------------------------------------------------------- size


def test_ten_million_parameters_are_drawn_within_seconds(tmp_path: Path) -> None:
    network = Network(inputs=3000, hidden=(2000, 1000, 1000), outputs=1000)
    assert model.parameter_count(network) >= 10_000_000
    params = numbered(network)
    start = time.process_time()
    drawing.save(drawing.network(network, params), tmp_path / "large.svg")
    assert time.process_time() - start < 3.0


def test_a_hundred_layers_are_drawn_within_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    drawing.save(drawing.network(Network(inputs=100, hidden=(100,) * 99, outputs=10)), tmp_path / "deep.svg")
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize("count", [1, 6, 7, 12, 13, 30])
def test_at_most_so_many_are_shown(count: int) -> None:
    figure = drawing.nodes(Network(inputs=count, hidden=(1,) * (count - 1), outputs=1))
    assert len(drawn(figure, "node-0-.*")) <= graph.NODES + 1
    xs = [x for _, x in graph.layers(Network(inputs=1, hidden=(1,) * (count - 1), outputs=1))]
    assert len(xs) <= graph.LAYERS
    assert all(left < right for left, right in pairwise(xs))
