"""Figures of a study: one look for each optimizer, a mark for each status, every number of the findings, misses too."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from study_by_hand import SIZES, STUDY, table

from mlp_jax import optimizers
from mlp_jax.report import figures
from mlp_jax.report.figures import LOOKS, STATUSES
from mlp_jax.study.evidence import findings
from mlp_jax.training.trials import Status

ROWS = table()
FOUND = findings(ROWS)
STARTED = dict(matplotlib.rcParams)


def marks(axes: Axes, marker: str, colour: str) -> list[tuple[float, float]]:
    """Where such marks stand, from the left to the right."""
    lines = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
    return sorted((x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata()))


def named(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_each_optimizer_has_a_look_of_its_own():
    assert set(LOOKS) == set(optimizers.OPTIMIZERS)
    for part in range(2):
        assert len({look[part] for look in LOOKS.values()}) == len(LOOKS)


def test_each_status_has_a_mark_of_its_own():
    assert set(STATUSES) == {"REACHED", *Status} - {Status.RUNNING}
    assert len({(marker, colour) for _, marker, colour in STATUSES.values()}) == len(STATUSES)
    assert len({words for words, _, _ in STATUSES.values()}) == len(STATUSES)


@pytest.mark.parametrize("cost", ["steps", "examples", "seconds"])
def test_costs_stand_at_their_medians_with_bars_over_the_seeds(cost: str):
    figure = figures.seconds({"it": FOUND}) if cost == "seconds" else getattr(figures, cost)(FOUND)
    (axes,) = figure.axes
    for name in ("sgd", "adam"):
        own = figures.where(FOUND.cells, optimizer=name)
        points = marks(axes, LOOKS[name][1], LOOKS[name][0])
        assert [y for _, y in points] == own[cost].tolist()
        assert [x for x, _ in points] == pytest.approx(list(SIZES), rel=0.05)
        bars = [each for each in axes.collections if np.allclose(each.get_color()[0][:3], rgb(LOOKS[name][0]))]
        ends = [segment[:, 1].tolist() for each in bars for segment in each.get_segments()]
        assert ends == own[[f"{cost}_low", f"{cost}_high"]].to_numpy().tolist()
    assert named(figure)[:2] == ["sgd", "adam"]
    assert ("perfect scaling" in named(figure)) == (cost != "seconds")
    assert not axes.texts


def rgb(colour: str) -> tuple[float, float, float]:
    return matplotlib.colors.to_rgb(colour)


def test_a_miss_lies_hollow_above_all_that_was_reached():
    rows = table()
    rows.loc[(rows["batch_size"] == 256) & (rows["optimizer"] == "sgd"), "steps_to_target"] = math.inf
    found = findings(rows)
    (axes,) = figures.steps(found).axes
    (line,) = [each for each in axes.lines if each.get_markerfacecolor() == "white" and len(each.get_xdata())]
    assert line.get_marker() == LOOKS["sgd"][1]
    assert line.get_xdata().tolist() == pytest.approx([256], rel=0.05)
    highest = found.cells["steps_high"].to_numpy(float)
    assert line.get_ydata()[0] > highest[np.isfinite(highest)].max()
    assert axes.get_ylim()[1] > line.get_ydata()[0]
    assert [text.get_text() for text in axes.texts] == ["not reached"]


def test_marks_of_many_optimizers_all_stand_inside_the_axes():
    (axes,) = figures.steps(findings(table(tuple(LOOKS)))).axes
    (left, _), (right, _) = (axes.transAxes.transform((end, 0)) for end in (0, 1))
    radius = 3 * axes.figure.dpi / 72
    for colour, marker in LOOKS.values():
        xs = [axes.transData.transform(place)[0] for place in marks(axes, marker, colour)]
        assert len(xs) == len(SIZES)
        assert left + radius < xs[0] < xs[-1] < right - radius


def test_studies_side_by_side_have_a_panel_for_each_optimizer_and_a_line_for_each_study():
    figure = figures.seconds({"here": FOUND, "there": findings(table(("adam",)))})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["sgd", "adam"]
    dashes = [{line.get_linestyle() for line in axes.lines if len(line.get_xdata()) > 1} - {"None"} for axes in shown]
    assert dashes == [{"-"}, {"-", "--"}]
    assert named(figure) == ["here", "there"]


def test_the_best_learning_rates_are_the_winners_between_the_ends_of_their_space():
    figure = figures.learning_rates(STUDY, FOUND)
    for axes, name in zip(figure.axes, ("sgd", "adam")):
        own = figures.where(FOUND.cells, optimizer=name)
        expected = list(zip(own["batch_size"], own["learning_rate"]))
        np.testing.assert_allclose(marks(axes, LOOKS[name][1], LOOKS[name][0]), expected)
        level = [
            line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2
        ]
        assert level == list(STUDY.spaces[name]["learning_rate"].ends)


def test_every_tuned_point_has_the_mark_of_what_became_of_it():
    figure = figures.statuses(ROWS)
    for axes, name in zip(figure.axes, ("sgd", "adam")):
        tuned = figures.where(ROWS, phase="tuning", optimizer=name)
        for status, points in (("REACHED", (0, 1)), (Status.COMPLETE, (2,)), (Status.INFEASIBLE, (3,))):
            own = tuned[tuned["point"].isin(points)].drop_duplicates(["batch_size", "point"])
            expected = sorted(zip(own["batch_size"], own["learning_rate"]))
            np.testing.assert_allclose(marks(axes, *STATUSES[status][1:]), expected)
    assert named(figure) == [STATUSES[key][0] for key in ("REACHED", Status.COMPLETE, Status.INFEASIBLE)] + ["winner"]


def test_curves_are_the_medians_of_the_seeds_and_one_that_ended_keeps_its_last_value():
    figure = figures.curves(STUDY, ROWS)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"B = {size}" for size in SIZES]
    line = next(line for line in shown[0].lines if line.get_color() == LOOKS["adam"][0])
    own = figures.where(ROWS, phase="winners", batch_size=1, optimizer="adam")
    last = own.sort_values("step").groupby("seed").tail(1)["validation_error"]
    assert line.get_xdata()[-1] == own["step"].max()
    assert line.get_ydata()[-1] == pytest.approx(last.median())
    own_colour = lambda each: np.allclose(each.get_facecolor()[0][:3], rgb(LOOKS["adam"][0]))
    (band,) = filter(own_colour, shown[0].collections)
    edge = [y for x, y in band.get_paths()[0].vertices if x == own["step"].max()]
    assert (min(edge), max(edge)) == pytest.approx((last.min(), last.max()))
    targets = [line.get_ydata()[0] for axes in shown for line in axes.lines if line.get_linestyle() == "--"]
    assert targets == pytest.approx([0.1] * len(SIZES))


def test_a_profile_rises_to_one_for_the_optimizer_that_always_is_soonest():
    (axes,) = figures.profile(FOUND).axes
    lines = {line.get_label().split(":")[0]: np.asarray(line.get_ydata()) for line in axes.lines}
    assert set(lines) == {"sgd", "adam"}
    assert (lines["adam"] == 1).all()
    assert (np.diff(lines["sgd"]) >= 0).all()
    assert (lines["sgd"][0], lines["sgd"][-1]) == (0, 1)


def test_differences_have_their_interval_and_an_open_end_reaches_the_frame():
    difference = FOUND.differences[("sgd", "adam")]
    opened = difference["steps"]._replace(estimate=difference["steps"].estimate._replace(high=math.inf))
    figure = figures.differences(FOUND._replace(differences={("sgd", "adam"): difference | {"steps": opened}}))
    (axes,) = figure.axes
    assert axes.lines[-1].get_xdata().tolist() == [opened.estimate.value]
    ((ends,),) = (bars.get_segments() for bars in axes.collections)
    assert ends[:, 0].tolist() == [opened.estimate.low, axes.get_xlim()[1]]
    assert "adam takes fewer steps" in axes.get_yticklabels()[0].get_text()


def test_the_target_of_an_error_is_its_complement_and_that_of_an_rmse_itself():
    assert figures.error(ROWS, 0.9) == ("validation_error", pytest.approx(0.1))
    assert figures.error(ROWS.rename(columns={"validation_error": "validation_rmse"}), 50.0) == ("validation_rmse", 50)
    assert figures.error(ROWS.drop(columns="validation_loss"), 0.9)[0] == "train_error"


def test_matplotlibs_settings_are_left_alone():
    assert dict(matplotlib.rcParams) == STARTED
