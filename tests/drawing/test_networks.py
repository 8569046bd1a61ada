"""Drawings: blocks add up, images are rows of the weights, and labels stay apart, however large the network is."""

import dataclasses
import time
from itertools import combinations
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from pictures import drawn, numbered, texts

from mlp_jax import drawing, model
from mlp_jax.model import BIASES, Network

MNIST = Network(inputs=784, hidden=(128,), outputs=10)
TINY = Network(inputs=2, hidden=(3,), outputs=1, output="sigmoid")
DEEP = Network(inputs=64, hidden=(50,) * 19, outputs=10, bias="none")
WIDE = Network(inputs=1_000_000, hidden=(100_000,) * 3, outputs=1_000_000, activation="identity", output="identity")
LINEAR = Network(inputs=784, outputs=10, bias="ones")


def test_deep_networks_are_abbreviated() -> None:
    figure = drawing.network(DEEP)
    layers = {node.get_gid().split("-")[1] for node in drawn(figure, "node-.*")}
    assert layers == {"0", "1", "2", "19", "20"}
    assert {lines.get_gid() for lines in drawn(figure, "edges-.*")} == {"edges-1", "edges-2", "edges-20"}
    assert len(drawn(figure, "block")) == 7
    assert {"16 more layers", "17 more Dense", "42,500 parameters", "48,700 parameters in total"} <= set(texts(figure))


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
