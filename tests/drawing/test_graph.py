"""Nodes and edges: what is shown is counted, colours are compared with the weights, nothing lies over another."""

from itertools import combinations, pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from pictures import drawn, numbered, texts

from mlp_jax import drawing, model
from mlp_jax.drawing import canvas, graph
from mlp_jax.model import BIASES, Layer, Network

MNIST = Network(inputs=784, hidden=(128,), outputs=10)
TINY = Network(inputs=2, hidden=(3,), outputs=1, output="sigmoid")
LINEAR = Network(inputs=784, outputs=10, bias="ones")
WIDE = Network(inputs=1_000_000, hidden=(100_000,) * 3, outputs=1_000_000, activation="identity", output="identity")


def edges(figure: Figure, layer: int) -> LineCollection:
    (lines,) = drawn(figure, f"edges-{layer}")
    assert isinstance(lines, LineCollection)
    return lines


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


def test_a_ones_feature_is_the_last_entry_of_x() -> None:
    figure = drawing.nodes(LINEAR)
    labels = texts(figure)
    assert "$x_{784}$" in labels
    assert "$x_{785}$" not in labels
    assert r"$\mathbf{x}\in\mathbb{R}^{785}$" in labels
    assert "10 × 785" in labels
    assert len(edges(figure, 1).get_segments()) == 12 * 10


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


@pytest.mark.parametrize("network", [MNIST, TINY, WIDE])
def test_labels_stay_off_the_nodes(network: Network) -> None:
    figure = drawing.nodes(network)
    renderer = FigureCanvasAgg(figure).get_renderer()
    discs = [node.get_window_extent(renderer) for node in drawn(figure, "node-.*")]
    for text in figure.axes[0].texts:
        assert text.get_window_extent(renderer).count_overlaps(discs) == (text.get_text() == "1"), text


@pytest.mark.parametrize("count", [1, 6, 7, 12, 13, 30])
def test_at_most_so_many_are_shown(count: int) -> None:
    figure = drawing.nodes(Network(inputs=count, hidden=(1,) * (count - 1), outputs=1))
    assert len(drawn(figure, "node-0-.*")) <= graph.NODES + 1
    xs = [x for _, x in graph.layers(Network(inputs=1, hidden=(1,) * (count - 1), outputs=1))]
    assert len(xs) <= graph.LAYERS
    assert all(left < right for left, right in pairwise(xs))


@pytest.mark.parametrize("network", [TINY, MNIST, WIDE, Network(inputs=1, outputs=40)])
def test_nodes_do_not_overlap_and_stay_between_header_and_footer(network: Network) -> None:
    discs = [(*node.get_center(), node.get_radius()) for node in drawn(drawing.nodes(network), "node-.*")]
    for (x, y, radius), (other_x, other_y, other) in combinations(discs, 2):
        assert np.hypot(x - other_x, y - other_y) > radius + other
    assert min(y - radius for _, y, radius in discs) > 0
    assert max(y + radius for _, y, radius in discs) < graph.height(network) - 0.38
    assert graph.height(network) <= 3.6 + graph.HEADER + graph.FOOTER + 1e-9


def test_functions_have_the_names_of_print() -> None:
    deep = Network(inputs=2, hidden=(3, 3), outputs=2, activation="relu", output="softmax")
    assert [graph.function(deep, k) for k in (1, 2, 3)] == ["ReLU", "ReLU", "SoftMax"]
    assert graph.function(Network(inputs=2, hidden=(3,), outputs=2, activation="tanh"), 1) == "tanh"
