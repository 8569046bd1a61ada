"""What a run did, drawn: curves are the history, counts those of the matrix, and everything is bounded."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mlp_jax.drawing import canvas
from mlp_jax.report import outcomes
from mlp_jax.report.outcomes import OF_SPLIT, Wrong

HISTORY = [
    {
        "epoch": float(i),
        "batch_loss": 1 / i if i else math.nan,
        "validation_loss": 2 / (i + 1),
        "validation_rmse": 3.0 - i,
    }
    for i in range(3)
]
ENDS = {"train_loss": 0.1, "validation_loss": 0.7, "test_loss": 0.9, "validation_rmse": 1.0}


def lines(figure, colour: str, marker: str = "None") -> list:
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    return [line for line in axes.lines if to_rgb(line.get_color()) == to_rgb(colour) and line.get_marker() == marker]


def test_curves_are_the_history_and_points_the_ends():
    figure = outcomes.curves(HISTORY, ENDS, "loss")
    (curve,) = lines(figure, OF_SPLIT["validation"])
    np.testing.assert_allclose(curve.get_xydata(), [(row["epoch"], row["validation_loss"]) for row in HISTORY])
    for split in ("train", "validation", "test"):
        (end,) = lines(figure, OF_SPLIT[split], "o")
        assert end.get_xydata().tolist() == [[2.0, ENDS[f"{split}_loss"]]]
    assert figure.axes[0].get_yscale() == "log"
    other = outcomes.curves(HISTORY, ENDS, "rmse")
    assert other.axes[0].get_yscale() == "linear"
    assert other.axes[0].get_ylabel() == "RMSE"
    assert not lines(other, OF_SPLIT["train"], "o")


def test_a_loss_that_is_never_positive_has_a_linear_axis():
    rows = [row | {"batch_loss": math.nan, "validation_loss": 0.0} for row in HISTORY]
    outcomes.curves(rows, {}, "loss").draw_without_rendering()


def test_every_count_stands_in_its_place():
    counts = np.array([[5, 1, 0], [0, 7, 2], [0, 0, 0]])
    figure = outcomes.confusion(counts, ("a", "b", "longer"))
    written = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in figure.axes[0].texts
    }
    assert written == {(0, 0): "5", (0, 1): "1", (1, 1): "7", (1, 2): "2"}
    (image,) = figure.axes[0].images
    drawn = np.asarray(image.get_array())
    assert (np.diag(drawn)[:2] < 0).all()
    assert drawn[0, 1] == pytest.approx((1 / 6) ** 0.5)
    assert (drawn[2] == 0).all(), "a class that is not there"


def test_many_classes_are_cut_and_many_points_thinned():
    figure = outcomes.confusion(np.eye(300, dtype=int), [str(i) for i in range(300)])
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (outcomes.CLASSES,) * 2
    assert not figure.axes[0].texts
    counts = np.eye(300, dtype=int)
    counts[0, 250] = 3
    (image,) = outcomes.confusion(counts, [str(i) for i in range(300)]).axes[0].images
    assert np.asarray(image.get_array())[0, 0] == -(0.25**0.5), "its share of the whole row"
    truth = np.arange(10_001, dtype=float)
    drawn = outcomes.against_truth(truth, truth + 1).axes[0].lines[1]
    assert len(drawn.get_xdata()) <= outcomes.POINTS
    np.testing.assert_allclose(drawn.get_ydata(), np.asarray(drawn.get_xdata()) + 1)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_images_are_those_that_were_wrong(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (10, *shape)).astype(np.uint8)
    which = [Wrong(i, "truth", "other", 0.9, 0.1) for i in range(10)]
    axes = outcomes.wrong(images, which, 16).axes[0]
    assert len(axes.images) == 10
    for image, drawn in zip(images, axes.images):
        shown = np.asarray(drawn.get_array(), float)
        np.testing.assert_allclose(shown, image / 16 if shape[2:] == (3,) else image.reshape(4, 6, -1)[..., 0])
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("truth → other") == 10
    assert texts.count("90%") == 10


def test_the_name_of_a_class_is_no_formula():
    which = [Wrong(0, r"$\x$", "other", 0.9, 0.1)]
    figure = outcomes.wrong(np.zeros((1, 4, 4), np.uint8), which, 16)
    assert "svg" in canvas.inline(figure, "wrong")
