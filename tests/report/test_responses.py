"""Where the answers come from: every trial is drawn, curves are those of the fits, readings those of the findings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from study_by_hand import REAL, SIZES, STUDY, table

from mlp_jax.report import responses
from mlp_jax.report.looks import LOOKS
from mlp_jax.study import plan
from mlp_jax.study.evidence import criticals, definition_of, findings, where
from mlp_jax.study.spaces import Space
from mlp_jax.study.summary import number

ROWS = table()
FOUND = findings(ROWS, STUDY)
FITS = responses.fits(STUDY, ROWS, FOUND)
OWN = definition_of(STUDY, ROWS)
TUNED = ROWS.query("phase == 'tuning'").sort_values("step").groupby("trial").tail(1)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def points(axes: Axes, marker: str, colour: str, size: float) -> list[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() == marker and to_rgb(line.get_color()) == to_rgb(colour)]
    of_size = [line for line in lines if line.get_markersize() == size]
    return sorted((x, y) for line in of_size for x, y in zip(line.get_xdata(), line.get_ydata()))


def fewest(size: int) -> float:
    return where(FOUND.cells, batch_size=size)["steps"].min()


@pytest.mark.parametrize("order", [0, 1])
def test_every_trial_is_drawn_at_its_steps_or_as_a_cross_above_all(order: int):
    shown = panels(responses.valleys(FITS, ROWS.sample(frac=1, random_state=order)))
    drawn = 0
    for axes, size in zip(shown, SIZES, strict=True):
        for name in ("sgd", "adam"):
            own = where(TUNED, optimizer=name, batch_size=size)
            met = np.isfinite(own["steps_to_target"])
            expected = sorted(zip(own.loc[met, "learning_rate"], own.loc[met, "steps_to_target"] / fewest(size)))
            colour, marker = LOOKS[name]
            np.testing.assert_allclose(points(axes, marker, colour, 3), expected)
            crosses = points(axes, "x", colour, 3)
            np.testing.assert_allclose([x for x, _ in crosses], sorted(own.loc[~met, "learning_rate"]))
            assert all(y > max(height for _, height in expected) for _, y in crosses)
            drawn += len(expected) + len(crosses)
    assert drawn == len(TUNED) == 6 * 28


def test_all_that_is_drawn_lies_inside_the_axes():
    for axes in panels(responses.valleys(FITS, ROWS)):
        low, high = axes.get_ylim()
        heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        assert 0 < low < heights.min()
        assert heights.max() < high


def test_the_curve_is_the_fit_over_its_window_with_its_bottom_marked():
    for axes, size in zip(panels(responses.valleys(FITS, ROWS)), SIZES):
        assert axes.get_title(loc="left") == f"B = {size}: fewest steps {number(fewest(size))}"
        for name in ("sgd", "adam"):
            best = FOUND.best[name, size]
            assert best.valley is not None
            colour, marker = LOOKS[name]
            assert points(axes, marker, colour, 7) == [(best.rate, pytest.approx(best.steps / fewest(size)))]
            (curve,) = [line for line in axes.lines if len(line.get_xdata()) == 60 and line.get_color() == colour]
            assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == pytest.approx(best.valley.fit.window)
            place = np.log10(curve.get_xdata())
            a, b, c = best.valley.fit.curve
            np.testing.assert_allclose(curve.get_ydata() * fewest(size), np.exp(a + b * place + c * place**2))
            assert curve.get_ydata().min() == pytest.approx(best.steps / fewest(size), rel=0.01)


def test_a_cell_without_a_winner_shows_what_its_trials_say_so_far():
    """The winners of one cell are not there yet, of another nothing is; the fit of the first needs no winner."""
    first, absent = (
        where(ROWS, optimizer="sgd", batch_size=SIZES[0]),
        where(ROWS, optimizer="adam", batch_size=SIZES[1]),
    )
    rows = ROWS.drop(index=[*first.query("phase == 'winners'").index, *absent.index])
    found = findings(rows, STUDY)
    assert ("sgd", SIZES[0]) not in found.best
    fits = responses.fits(STUDY, rows, found)
    assert fits["sgd", SIZES[0]].fit.steps == pytest.approx(FITS["sgd", SIZES[0]].fit.steps)
    assert set(FITS) - set(fits) == {("adam", SIZES[1])}
    alone = responses.fits(STUDY, where(rows, phase="tuning"))
    assert {cell: valley.fit.steps for cell, valley in alone.items()} == {c: v.fit.steps for c, v in fits.items()}
    assert len(panels(responses.valleys(alone, rows))) == len(SIZES)
    assert responses.fits(STUDY, rows.iloc[:0]) == {}


def test_where_nobody_reaches_the_target_every_trial_is_a_cross():
    rows = table(reaches=False)
    found = findings(rows, STUDY)
    figure = responses.valleys(responses.fits(STUDY, rows, found), rows)
    figure.draw_without_rendering()
    tried = rows.query("phase == 'tuning'")["trial"].nunique()
    assert sum(len(points(axes, "x", LOOKS[n][0], 3)) for axes in panels(figure) for n in ("sgd", "adam")) == tried
    assert [axes.get_title(loc="left") for axes in panels(figure)] == [f"B = {size}" for size in SIZES]


def test_a_target_that_is_met_at_the_start_has_a_place_on_a_logarithmic_axis():
    rows = ROWS.assign(steps_to_target=0.0)
    figure = responses.valleys(responses.fits(STUDY, rows, findings(rows, STUDY)), rows)
    figure.draw_without_rendering()
    assert all(0 < axes.get_ylim()[0] < 1 for axes in panels(figure))


def test_only_optimizers_that_were_fitted_against_their_rate_are_drawn():
    other = {"momentum": {"learning_rate": Space(choices=(0.02,)), "momentum": Space(low=0.5, high=0.99, scale="log")}}
    asked = replace(STUDY, optimizers=("momentum", "sgd"), batch_sizes=(1,), spaces=other)
    found = findings(rows := table(asked), asked)
    (axes,) = panels(responses.valleys(fits := responses.fits(asked, rows, found), rows))
    assert points(axes, *reversed(LOOKS["sgd"]), 7)
    assert not [line for line in axes.lines if to_rgb(line.get_color()) == to_rgb(LOOKS["momentum"][0])]
    assert list(fits) == [("sgd", 1)]
    alone = replace(asked, optimizers=("momentum",), spaces=other)
    of_it = rows.query("optimizer == 'momentum'")
    assert not responses.fits(alone, of_it, findings(of_it, alone))


def test_a_linear_space_may_begin_at_zero():
    space = {"sgd": {"learning_rate": Space(low=0.001, high=0.1, scale="linear")}}
    asked = replace(STUDY, optimizers=("sgd",), batch_sizes=(1,), spaces=space)
    rows = table(asked)
    responses.valleys(responses.fits(asked, rows, findings(rows, asked)), rows).draw_without_rendering()


def test_readings_are_the_critical_batch_sizes_by_their_definitions():
    shown = panels(responses.definitions(STUDY, ROWS, FOUND))
    assert [axes.get_title(loc="left") for axes in shown] == ["sgd", "adam"]
    expected = [(1.25, 1), (1.25, 2), (1.0, 1), (1.0, 2), (1.0, 4)]
    for axes, name in zip(shown, ("sgd", "adam")):
        for line, (smoothing, every), (_, marker) in zip(axes.lines, expected, responses.STYLES, strict=True):
            assert line.get_marker() == marker
            unreadable = (smoothing, every) == (1.25, 2)  # at the target itself most trials ended before it was met
            assert len(line.get_xdata()) == len(responses.LEVELS) - unreadable
            assert max(line.get_xdata()) == pytest.approx(0.9 * (0.99 if unreadable else 1))
            for target, value in zip(line.get_xdata(), line.get_ydata()):
                asked = OWN._replace(target=float(target), smoothing=smoothing, every=every)
                fit = criticals(ROWS, STUDY, {asked: 0})[0][name]
                np.testing.assert_equal(value, fit.b_crit.value)
    own = shown[0].lines[0]
    assert own.get_ydata()[0] == FOUND.scaling["sgd"].fit.b_crit.value
    ends = [segment[:, 1] for bars in shown[0].collections for segment in bars.get_segments()]
    assert len(ends) == len(responses.LEVELS)
    assert all(low < value < high for (low, high), value in zip(ends, own.get_ydata()))


def test_a_reading_that_is_left_out_leaves_a_gap():
    rows = ROWS.copy()
    few = rows["optimizer"] == "sgd"
    high = few & (rows["validation_accuracy"].between(0.87, 0.895))
    rows.loc[high, "validation_accuracy"] = 0.87  # the level between is met at the end alone: the line misfits or jumps
    figure = responses.definitions(STUDY, rows, findings(rows, STUDY))
    figure.draw_without_rendering()
    for axes in panels(figure):
        for line in axes.lines:
            assert len(line.get_xdata()) >= len(responses.LEVELS) - 1, "no level is dropped, so no line bridges one"


@pytest.mark.parametrize(
    ("smoothing", "labels"),
    [
        (2.0, ["average since step k/2, 120 looks", "average since step k/2, 60 looks", "first crossing, 120 looks",
               "first crossing, 60 looks", "first crossing, 30 looks"]),
        (1.0, ["first crossing, 120 looks", "first crossing, 60 looks", "first crossing, 30 looks"]),
    ],
)  # fmt: skip
def test_the_studys_own_reading_comes_first_whatever_it_is(smoothing, labels):
    asked = plan.changed(STUDY, {}, {"smoothing": smoothing})
    rows = table(asked)
    found = findings(rows, asked)
    figure = responses.definitions(asked, rows, found)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == labels
    own = panels(figure)[0].lines[0]
    assert own.get_ydata()[0] == found.scaling["sgd"].fit.b_crit.value
    assert [len(line.get_xdata()) for line in panels(figure)[0].lines[:2]] == [5, 4]


def test_of_an_error_easier_targets_are_higher():
    asked = plan.changed(STUDY, {}, {"target": 50.0, "optimizers": ("sgd",)})
    rows = table(asked, facts=REAL)
    (axes,) = panels(responses.definitions(asked, rows, findings(rows, asked)))
    assert axes.lines[0].get_xdata().tolist() == [50.0 * factor for factor in responses.EASIER]
    assert axes.get_xlabel() == "target (validation RMSE)"


def test_where_there_is_no_critical_batch_size_at_all_the_axes_stand_empty():
    few = ROWS.query("batch_size > 1")
    assert responses.lines(FOUND)
    assert not responses.lines(findings(few, STUDY))
    figure = responses.definitions(STUDY, few, findings(few, STUDY))
    figure.draw_without_rendering()
    for axes in panels(figure):
        assert all(np.isnan(line.get_ydata()).all() for line in axes.lines)
        assert all(map(math.isfinite, axes.get_ylim()))


@pytest.mark.parametrize("target", [0.0, -1.0])
def test_a_target_without_easier_multiples_is_read_alone(target):
    asked = plan.changed(STUDY, {}, {"target": target})
    figure = responses.definitions(asked, ROWS, FOUND)
    assert panels(figure)[0].lines[0].get_xdata().tolist() == [target]
