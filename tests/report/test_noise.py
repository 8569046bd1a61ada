"""The figure of the noise scale: its lines are the measurements, its marks the averages, its bands B_crit."""

import math

import numpy as np
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from study_by_hand import SIZES, STUDY, table

from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.report import noise
from mlp_jax.report.looks import LOOKS
from mlp_jax.study import plan
from mlp_jax.study.evidence import Findings, findings, where

ASKED = plan.changed(STUDY, {}, {"noise_scale": True})
MEASURED = ["noise_trace", "noise_squared_norm", "noise_scale"]


def rows(seeds_differ: bool = True) -> pandas.DataFrame:
    """The noise scale rises with the steps, |G|² being 1, and is 1 to 3 times as large from seed to seed."""
    made = table(ASKED)
    scale = made["noise_scale"] * np.sqrt(made["step"] + 1) / 10 * (1 + made["seed"] % 3 if seeds_differ else 1)
    return made.assign(noise_trace=scale, noise_scale=scale, noise_squared_norm=scale / scale)


ROWS = rows()
FOUND = findings(ROWS, ASKED)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def with_b_crit(found: Findings, b_crit: Estimate) -> Findings:
    scaling = {name: each._replace(fit=each.fit._replace(b_crit=b_crit)) for name, each in found.scaling.items()}
    return found._replace(scaling=scaling)


def band(axes: Axes) -> tuple[float, float]:
    (patch,) = axes.patches
    box = patch.get_extents().transformed(axes.transData.inverted())
    return box.y0, box.y1


def by_hand(own: pandas.DataFrame, batch_size: int) -> list[float]:
    """All runs together over the window of each step, look by look: Σ noise·progress over Σ progress."""
    steps, values = sorted(set(own["step"])), []
    for number, step in enumerate(steps):
        least = min(next(at for at in steps if at > step / 1.25), steps[max(0, number - 4)])
        near = own.loc[own["step"].between(least, step)]
        progress = 1 / (1 + near["noise_scale"] / batch_size)
        values.append((near["noise_scale"] * progress).sum() / progress.sum())
    return values


def test_lines_are_the_measurements_over_their_windows_a_shade_for_each_batch_size():
    figure = noise.noise_scale(FOUND, ROWS.sample(frac=1, random_state=0))
    assert [axes.get_title(loc="left") for axes in panels(figure)] == ["sgd", "adam"]
    for axes, name in zip(panels(figure), ("sgd", "adam")):
        lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
        for line, size in zip(lines, SIZES, strict=True):
            own = where(ROWS.query("step > 0 and phase == 'winners'"), optimizer=name, batch_size=size)
            assert line.get_xdata().tolist() == sorted(set(own["step"]))
            np.testing.assert_allclose(line.get_ydata(), by_hand(own, size))
        assert len({to_rgb(line.get_color()) for line in lines}) == len(SIZES)


def test_marks_are_the_averages_with_their_intervals_where_the_runs_end():
    for axes, name in zip(panels(noise.noise_scale(FOUND, ROWS)), ("sgd", "adam")):
        cells = where(FOUND.cells, optimizer=name)
        lines = [line for line in axes.lines if line.get_marker() == LOOKS[name][1]]
        assert [line.get_ydata()[0] for line in lines] == cells["noise_scale"].tolist()
        ends = where(ROWS, phase="winners", optimizer=name).groupby("batch_size")["step"].max()
        assert [line.get_xdata()[0] for line in lines] == ends.tolist()
        bars = [segment[:, 1].tolist() for each in axes.collections for segment in each.get_segments()]
        assert bars == cells[["noise_scale_low", "noise_scale_high"]].to_numpy().tolist()


def test_the_average_of_a_run_lies_between_what_its_line_begins_and_ends_with():
    alike = rows(seeds_differ=False)
    for axes, name in zip(panels(noise.noise_scale(findings(alike, ASKED), alike)), ("sgd", "adam")):
        first = where(alike.query("step == 0 and phase == 'winners'"), optimizer=name)["noise_scale"].iloc[0]
        ends = [line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) > 2]
        marks = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
        assert all(first < mark < end for end, mark in zip(ends, marks, strict=True))


def test_the_band_is_the_interval_of_b_crit():
    for axes in panels(noise.noise_scale(with_b_crit(FOUND, Estimate(30.0, 10.0, 90.0)), ROWS)):
        assert band(axes) == pytest.approx((10, 90))
        assert any(list(line.get_ydata()) == [30, 30] for line in axes.lines)


@pytest.mark.parametrize("b_crit", [Estimate(30.0, 0.0, math.inf), Estimate(math.inf, 10.0, math.inf)])
def test_an_open_interval_ends_where_the_axes_do(b_crit):
    figure = noise.noise_scale(with_b_crit(FOUND, b_crit), ROWS)
    figure.draw_without_rendering()
    for axes in panels(figure):
        bottom, top = axes.get_ylim()
        assert bottom > 0
        assert math.isfinite(top)
        assert band(axes) == pytest.approx((max(b_crit.low, bottom), top))


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_noise_that_no_logarithm_holds_is_left_out(value):
    made = ROWS.copy()
    here = made["noise_trace"].notna() & (made["batch_size"] == 16)
    made.loc[here, MEASURED] = (1.0, 0.0, math.inf) if value else (0.0, 1.0, 0.0)
    figure = noise.noise_scale(findings(made, ASKED), made)
    figure.draw_without_rendering()
    for axes in panels(figure):
        lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert [bool(np.isnan(line.get_ydata()).all()) for line in lines] == [False, True, False]


def test_without_a_line_there_is_no_band_and_without_measurements_no_panel():
    made = ROWS.query("batch_size > 1").copy()  # too few sizes for a fit
    made.loc[made["optimizer"] == "sgd", MEASURED] = math.nan
    (axes,) = panels(noise.noise_scale(findings(made, ASKED), made))
    assert axes.get_title(loc="left") == "adam"
    assert not axes.patches
    assert noise.measured(findings(made, ASKED))
    assert not noise.measured(findings(made.drop(columns=MEASURED), ASKED))
    assert not noise.measured(None)


def test_a_single_run_has_an_average_without_an_interval():
    won = ROWS["phase"] == "winners"
    first = ROWS.loc[won].groupby("cell")["trial"].transform("min")
    made = ROWS.copy()
    made.loc[first.index[made.loc[won, "trial"] != first], MEASURED] = math.nan
    for axes in panels(noise.noise_scale(findings(made, ASKED), made)):
        assert len([line for line in axes.lines if len(line.get_xdata()) == 1]) == len(SIZES)
        assert not [segment for each in axes.collections for segment in each.get_segments()]
