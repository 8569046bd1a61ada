"""The figure of the noise scale: its lines are the measurements, its marks the averages, its bands B_crit."""

import math

import numpy as np
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.report import noise
from mlp_jax.report.figures import LOOKS
from mlp_jax.study.evidence import Findings, findings

STEPS = np.array([0, 1, 10, 100, 1000])
SEEDS = range(3)


def rows(optimizers=("adam", "sgd"), sizes=(8, 80, 800)) -> pandas.DataFrame:
    """Winners that end at 1000 steps; in the first seed's run the noise scale is √step for B = 80, where |G|² is 1."""
    made = []
    for optimizer in optimizers:
        for size in sizes:
            for seed in SEEDS:
                whole = {"phase": "winners", "cell": f"{optimizer}{size}", "trial": f"{optimizer}{size}{seed}"}
                whole |= {"optimizer": optimizer, "batch_size": size, "seed": seed, "point": 0, "status": "COMPLETE"}
                whole |= {"learning_rate": 0.1, "failed": -1, "steps": 1000}
                whole["steps_to_target"] = 1000.0 + 800 / size + seed
                trace = np.sqrt(STEPS) * size / 80 if seed == 0 else np.full(5, math.nan)
                for step, value in zip(STEPS, trace):
                    noisy = {"noise_trace": value, "noise_scale": value}
                    made.append(whole | noisy | {"step": step, "training_seconds": 0.01 * step})
    frame = pandas.DataFrame(made)
    frame["noise_squared_norm"] = (frame["noise_trace"] >= 0).astype(float).where(frame["noise_trace"].notna())
    return frame


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def with_b_crit(found: Findings, b_crit: Estimate) -> Findings:
    scaling = {name: each._replace(fit=each.fit._replace(b_crit=b_crit)) for name, each in found.scaling.items()}
    return found._replace(scaling=scaling)


def band(axes: Axes) -> tuple[float, float]:
    (patch,) = axes.patches
    box = patch.get_extents().transformed(axes.transData.inverted())
    return box.y0, box.y1


def test_lines_are_the_measurements_and_marks_the_averages_at_the_ends_of_the_runs():
    table = rows()
    found = findings(table)
    figure = noise.noise_scale(found, table.sample(frac=1, random_state=0))
    assert [axes.get_title(loc="left") for axes in panels(figure)] == ["sgd", "adam"]
    for axes, name in zip(panels(figure), ("sgd", "adam")):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
        for line, size in zip(lines, (8, 80, 800), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), STEPS[1:])
            np.testing.assert_allclose(line.get_ydata(), np.sqrt(STEPS[1:]) * size / 80)
        marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
        average = np.trapezoid(np.sqrt(STEPS), STEPS) / 1000
        assert [line.get_ydata()[0] for line in marks] == pytest.approx([average / 10, average, 10 * average])
        assert {line.get_xdata()[0] for line in marks} == {1000}
        assert {line.get_color() for line in marks} == {LOOKS[name][0]}


def test_the_band_is_the_interval_of_b_crit():
    table = rows()
    figure = noise.noise_scale(with_b_crit(findings(table), Estimate(30.0, 10.0, 90.0)), table)
    for axes in panels(figure):
        assert band(axes) == pytest.approx((10, 90))
        assert any(list(line.get_ydata()) == [30, 30] for line in axes.lines)


@pytest.mark.parametrize("b_crit", [Estimate(30.0, 0.0, math.inf), Estimate(math.inf, 10.0, math.inf)])
def test_an_open_interval_ends_where_the_axes_do(b_crit):
    table = rows()
    figure = noise.noise_scale(with_b_crit(findings(table), b_crit), table)
    figure.draw_without_rendering()
    for axes in panels(figure):
        bottom, top = axes.get_ylim()
        assert 0 < bottom < 0.1 * 1.01
        assert math.isfinite(top)
        assert band(axes) == pytest.approx((max(b_crit.low, bottom), top))


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_noise_that_no_logarithm_holds_is_left_out(value):
    table = rows(sizes=(8, 80))
    measured = table["noise_trace"].notna()
    table.loc[measured, ["noise_trace", "noise_squared_norm", "noise_scale"]] = (1.0, 0.0, math.inf)
    if value == 0:
        table.loc[measured, ["noise_trace", "noise_squared_norm", "noise_scale"]] = (0.0, 1.0, 0.0)
    figure = noise.noise_scale(findings(table), table)
    figure.draw_without_rendering()
    assert len(panels(figure)) == 2
    assert not any(len(line.get_xdata()) == 4 for axes in panels(figure) for line in axes.lines)


def test_without_a_line_there_is_no_band_and_without_measurements_no_panel():
    table = rows(sizes=(8, 80))  # too few for a fit
    table.loc[table["optimizer"] == "sgd", ["noise_trace", "noise_squared_norm", "noise_scale"]] = math.nan
    figure = noise.noise_scale(findings(table), table)
    (axes,) = panels(figure)
    assert axes.get_title(loc="left") == "adam"
    assert not axes.patches
    assert noise.measured(findings(table))
    assert not noise.measured(findings(table.drop(columns=["noise_trace", "noise_squared_norm", "noise_scale"])))
    assert not noise.measured(None)
