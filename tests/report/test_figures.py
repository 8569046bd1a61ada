"""Figures of a study: one look for each optimizer, a mark for each status, every number of the findings, misses too."""

import math

import matplotlib
import numpy as np
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from study_by_hand import SIZES, STUDY, table

from mlp_jax import optimizers
from mlp_jax.analysis import family
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.report import figures
from mlp_jax.report.figures import STATUSES
from mlp_jax.report.looks import LOOKS
from mlp_jax.study import plan
from mlp_jax.study.evidence import findings
from mlp_jax.training.trials import Status

ROWS = table()
FOUND = findings(ROWS, STUDY)
STARTED = dict(matplotlib.rcParams)


def marks(axes: Axes, marker: str, colour: str) -> list[tuple[float, float]]:
    """Where such marks stand, from the left to the right."""
    lines = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
    return sorted((x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata()))


def named(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_each_optimizer_has_a_look_of_its_own():
    assert set(LOOKS) == set(optimizers.CLASSICAL)
    every = list(optimizers.OPTIMIZERS)
    assert len({LOOKS[name] for name in every}) == len(every)
    for names in (optimizers.CLASSICAL, *(every[first : first + 9] for first in (10, 13, len(every) - 9))):
        for part in range(2):
            assert len({LOOKS[name][part] for name in names}) == len(names)


def test_each_status_has_a_mark_of_its_own():
    assert set(STATUSES) == {"REACHED", *Status} - {Status.RUNNING}
    assert len({(marker, colour) for _, marker, colour in STATUSES.values()}) == len(STATUSES)
    assert len({words for words, _, _ in STATUSES.values()}) == len(STATUSES)


@pytest.mark.parametrize("cost", ["steps", "examples", "seconds"])
def test_costs_stand_at_the_bottoms_with_their_intervals_as_bars(cost: str):
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
    found = findings(rows, STUDY)
    (axes,) = figures.steps(found).axes
    (line,) = [each for each in axes.lines if each.get_markerfacecolor() == "white" and len(each.get_xdata())]
    assert line.get_marker() == LOOKS["sgd"][1]
    assert line.get_xdata().tolist() == pytest.approx([256], rel=0.05)
    highest = found.cells["steps_high"].to_numpy(float)
    assert line.get_ydata()[0] > highest[np.isfinite(highest)].max()
    assert axes.get_ylim()[1] > line.get_ydata()[0]
    assert [text.get_text() for text in axes.texts] == ["not reached"]


def test_marks_of_many_optimizers_all_stand_inside_the_axes():
    cells = [FOUND.cells.query("optimizer == 'sgd'").assign(optimizer=name) for name in LOOKS]
    many = FOUND._replace(cells=pandas.concat(cells), scaling=dict.fromkeys(LOOKS, FOUND.scaling["sgd"]))
    (axes,) = figures.steps(many).axes
    (left, _), (right, _) = (axes.transAxes.transform((end, 0)) for end in (0, 1))
    radius = 3 * axes.figure.dpi / 72
    for colour, marker in LOOKS.values():
        xs = [axes.transData.transform(place)[0] for place in marks(axes, marker, colour)]
        assert len(xs) == len(SIZES)
        assert left + radius < xs[0] < xs[-1] < right - radius


def test_studies_side_by_side_have_a_panel_for_each_optimizer_and_a_line_for_each_study():
    alone = findings(ROWS.query("optimizer == 'adam'"), STUDY)
    figure = figures.seconds({"here": FOUND, "there": alone})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["sgd", "adam"]
    dashes = [{line.get_linestyle() for line in axes.lines if len(line.get_xdata()) > 1} - {"None"} for axes in shown]
    assert dashes == [{"-"}, {"-", "--"}]
    assert named(figure) == ["here", "there"]


def test_the_best_learning_rates_stand_with_their_intervals_between_the_ends_of_their_space():
    figure = figures.learning_rates(STUDY, FOUND)
    for axes, name in zip(figure.axes, ("sgd", "adam")):
        own = figures.where(FOUND.cells, optimizer=name)
        expected = list(zip(own["batch_size"], own["learning_rate"]))
        np.testing.assert_allclose(marks(axes, LOOKS[name][1], LOOKS[name][0]), expected)
        ends = [segment[:, 1].tolist() for bars in axes.collections for segment in bars.get_segments()]
        assert ends == own[["learning_rate_low", "learning_rate_high"]].to_numpy().tolist()
        level = [
            line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2
        ]
        assert level == list(STUDY.spaces[name]["learning_rate"].ends)


def test_the_power_law_goes_through_the_rates_that_it_was_fitted_to_and_the_rules_past_them():
    asked = plan.changed(STUDY, {}, {"batch_sizes": (1, 4, 16, 64, 512), "optimizers": ("sgd",)})
    found = findings(table(asked), asked)
    axes = figures.learning_rates(asked, found).axes[0]
    exponent = found.scaling["sgd"].exponent
    (law,) = [line for line in axes.lines if line.get_color() == LOOKS["sgd"][0] and line.get_linestyle() == "-"]
    x, y = (np.log(np.asarray(values, float)) for values in (law.get_xdata(), law.get_ydata()))
    assert law.get_xdata().tolist() == list(exponent.sizes) == [1, 4, 16, 64]
    assert np.diff(y) / np.diff(x) == pytest.approx(exponent.estimate.value)
    rates = found.cells["learning_rate"].to_numpy(float)
    assert np.abs(np.log(law.get_ydata() / rates[:4])).max() < 0.2
    for dash, rule in (("--", 1.0), (":", 0.5)):
        (guide,) = [line for line in axes.lines if line.get_linestyle() == dash]
        x, y = (np.log(np.asarray(values, float)) for values in (guide.get_xdata(), guide.get_ydata()))
        assert x.size == 5
        assert np.diff(y) / np.diff(x) == pytest.approx(rule)
        assert np.mean(y[:4]) == pytest.approx(np.log(rates[:4]).mean()), "fitted where the law is"
    without = figures.learning_rates(STUDY, FOUND).axes[0]
    assert not [line for line in without.lines if line.get_color() == LOOKS["sgd"][0] and line.get_linestyle() == "-"]


def test_a_best_rate_that_misses_the_target_is_hollow():
    missed = findings(table(reaches=False), STUDY)
    for axes, name in zip(figures.learning_rates(STUDY, missed).axes, ("sgd", "adam")):
        faces = {line.get_markerfacecolor() for line in axes.lines if line.get_marker() == LOOKS[name][1]
                 and len(line.get_xdata())}  # fmt: skip
        assert faces == {"white"}
        assert not [segment for bars in axes.collections for segment in bars.get_segments()]


def test_every_rate_that_was_tried_has_the_mark_of_what_became_of_it():
    figure = figures.statuses(ROWS)
    ends = ROWS.query("phase == 'tuning'").sort_values("step").groupby("trial").tail(1)
    met = np.isfinite(ends["steps_to_target"])
    shown = set()
    for axes, name in zip(figure.axes, ("sgd", "adam")):
        for status in STATUSES:
            here = met if status == "REACHED" else ~met & (ends["status"] == status)
            there = figures.where(ends.loc[here], optimizer=name)
            expected = sorted(zip(there["batch_size"], there["learning_rate"]))
            np.testing.assert_allclose(
                np.reshape(marks(axes, *STATUSES[status][1:]), (-1, 2)), np.reshape(expected, (-1, 2))
            )
            shown |= {status} if expected else set()
        rings = [line for line in axes.lines if line.get_markersize() == 10]
        best = figures.where(FOUND.cells, optimizer=name)
        assert [tuple(map(list, (line.get_xdata(), line.get_ydata()))) for line in rings] == [
            (sorted(best["batch_size"], reverse=True), best["learning_rate"].tolist()[::-1])
        ]
    assert shown == {"REACHED", Status.INFEASIBLE, Status.INCOMPLETE}
    assert named(figure) == [STATUSES[key][0] for key in STATUSES if key in shown] + ["winner"]


def test_a_point_with_several_seeds_counts_as_its_median_trial_does():
    rows = ROWS.query("phase == 'tuning' and status != 'INFEASIBLE'").copy()
    rows["learning_rate"] = 0.1
    rows["steps_to_target"] = np.where(rows["batch_size"] == 16, math.inf, 5.0)
    (sgd, _) = figures.statuses(pandas.concat([rows, ROWS.query("phase == 'winners'")])).axes
    assert [x for x, _ in marks(sgd, *STATUSES["REACHED"][1:])] == [1, 256]


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


def test_the_target_of_the_curves_may_be_another_one():
    figure = figures.curves(STUDY, ROWS, 0.85)
    targets = [line.get_ydata()[0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert targets == pytest.approx([0.15] * len(SIZES))


def test_differences_stand_with_their_intervals_filled_where_they_are_told_apart():
    steps, examples = FOUND.differences
    equal = examples._replace(ratio=Estimate(1.1, 0.9, 1.3), verdict=family.NOT_TOLD_APART)
    never = examples._replace(ratio=Estimate(math.nan, 0, math.inf), verdict=family.NOT_REACHED)
    (axes,) = figures.differences(FOUND._replace(differences=[steps, equal, never])).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "sgd / adam\nsteps at B = 256", "sgd / adam\nexamples at B = 1"
    ]  # fmt: skip
    ends = [segment[:, 0].tolist() for bars in axes.collections for segment in bars.get_segments()]
    assert ends == [[pair.ratio.low, pair.ratio.high] for pair in (steps, equal)]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == [steps.ratio.value, 1.1]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [False, True]
    assert axes.get_xscale() == "log"


def test_the_target_of_an_error_is_its_complement_and_that_of_an_rmse_itself():
    assert figures.error(STUDY, ROWS) == ("validation_error", pytest.approx(0.1))
    assert figures.error(STUDY, ROWS, 0.8) == ("validation_error", pytest.approx(0.2))
    real = ROWS.rename(columns={"validation_error": "validation_rmse"})
    assert figures.error(plan.changed(STUDY, {}, {"target": 50.0}), real) == ("validation_rmse", 50)
    loss = plan.changed(STUDY, {}, {"target": 0.3, "target_metric": "loss"})
    assert figures.error(loss, ROWS) == ("validation_loss", 0.3)


def test_matplotlibs_settings_are_left_alone():
    assert dict(matplotlib.rcParams) == STARTED
