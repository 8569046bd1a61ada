"""Axes of small multiples: plain numbers, labels that do not lie over another, names at the edges alone."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mlp_jax.report import panels


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e5, "100,000"), (1_234_567, "1,234,567"), (1e-3, "0.001"), (1.5, "1.5"), (0.1 + 0.2, "0.3"), (64, "64")],
)
def test_numbers_have_no_powers_of_ten(value: float, written: str) -> None:
    assert panels.number(value) == written


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_grid_shows_a_panel_for_each_title_all_equally_wide(count: int) -> None:
    titles = [f"panel {i}" for i in range(count)]
    figure, boxes = panels.grid(titles)
    assert [axes.get_title(loc="left") for axes in boxes] == titles
    assert [axes for axes in figure.axes if axes.get_visible()] == boxes
    assert figure.get_figwidth() == panels.sheet(2.0)[0].get_figwidth() == panels.WIDTH
    panels.batch_axes(boxes, [1, 100])
    FigureCanvasAgg(figure).draw()
    lowest = [any(label.get_visible() for label in axes.get_xticklabels()) for axes in boxes]
    assert lowest == [i + 2 >= count for i in range(count)]
    assert [axes.get_xlabel() != "" for axes in boxes] == lowest


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("sizes", [[1], [8, 8, 16], 4 ** np.arange(9), 2 ** np.arange(16), [1, 50_000, 60_000]])
def test_batch_sizes_are_marked_and_their_labels_stay_apart(sizes, count: int) -> None:
    figure, boxes = panels.grid([str(i) for i in range(count)]) if count > 1 else panels.sheet(2.0)
    boxes = boxes if isinstance(boxes, list) else [boxes]
    panels.batch_axes(boxes, sizes)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in boxes:
        labelled = axes.xaxis.get_majorticklocs()
        assert set(labelled) <= set(np.asarray(sizes).tolist())
        assert max(labelled) == max(sizes)
        assert set(axes.xaxis.get_minorticklocs()) | set(labelled) == set(np.asarray(sizes).tolist())
        low, high = axes.get_xlim()
        assert low < min(sizes) <= max(sizes) < high
        shown = [label for label in axes.get_xticklabels() if label.get_text() and label.get_visible()]
        extents = sorted((label.get_window_extent(canvas.get_renderer()) for label in shown), key=lambda box: box.x0)
        assert all(left.x1 < right.x0 for left, right in pairwise(extents))


def test_a_logarithmic_axis_has_few_plain_numbers_and_its_name_on_the_left() -> None:
    figure, boxes = panels.grid(["a", "b"])
    boxes[0].set_ylim(10, 200)
    panels.log_y(boxes, "steps")
    FigureCanvasAgg(figure).draw()
    assert {"10", "20", "50", "100", "200"} <= {label.get_text() for label in boxes[0].get_yticklabels()}
    assert [axes.get_ylabel() for axes in boxes] == ["steps", ""]
    assert not boxes[0].yaxis.get_minorticklocs().size
    boxes[0].set_ylim(1, 1e6)
    panels.log_y(boxes, "steps")
    assert set(np.log10(boxes[0].yaxis.get_majorticklocs()) % 1) == {0}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_bars_of_several_stand_beside_each_other_about_the_batch_size(count: int) -> None:
    factors = [panels.shift(i, count) for i in range(count)]
    assert np.prod(factors) == pytest.approx(1)
    assert all(left < right for left, right in pairwise(factors))


def test_a_legend_without_entries_is_none() -> None:
    figure, _ = panels.sheet(1.0)
    assert panels.legend(figure, [], 2) is figure
    assert not figure.legends


LONG = ["sgd", "package.module:NORMALISED", "fit of S_min + E_min/B", "perfect scaling"]


@pytest.mark.parametrize(("labels", "columns", "fit"), [(LONG, 4, 3), (LONG, 2, 2), (["name"] * 9, 4, 4)])
def test_a_legend_has_no_more_columns_than_fit(labels: list[str], columns: int, fit: int):
    figure, axes = panels.sheet(2.0)
    lines = [axes.plot([1, 2], [1, 2], label=label)[0] for label in labels]
    panels.legend(figure, lines, columns)
    figure.draw_without_rendering()
    (drawn,) = figure.legends
    assert drawn.get_window_extent().width <= figure.bbox.width
    assert drawn._ncols == fit
