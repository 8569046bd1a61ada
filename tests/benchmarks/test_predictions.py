"""Predicted against measured seconds: a prediction that is right has no error, one that is not has its own."""

import numpy as np
import pytest
from study_by_hand import STUDY, table

from mlp_jax.study.evidence import findings

FOUND = findings(table(), STUDY)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("benchmarks/predictions.py")


def test_a_right_prediction_has_no_error(script):
    made = script._setting(FOUND, FOUND)
    assert made["errors"] == {name: {"median": 0, "percentile_90": 0} for name in ("seconds", "step_seconds", "steps")}
    assert made["contradicted"] == []
    assert made["rankings"]["predicted"] == made["rankings"]["measured"]


def test_errors_are_those_of_the_time_of_a_step(script):
    factors = np.linspace(0.5, 1.4, len(FOUND.cells))
    cells = FOUND.cells.assign(**{name: FOUND.cells[name] * factors for name in ("seconds", "step_seconds")})
    made = script._setting(FOUND._replace(cells=cells), FOUND)
    expected = {"median": np.median(abs(factors - 1)), "percentile_90": np.percentile(abs(factors - 1), 90)}
    assert made["errors"]["seconds"] == pytest.approx(expected)
    assert made["errors"]["step_seconds"] == pytest.approx(expected)
    assert made["errors"]["steps"] == {"median": 0, "percentile_90": 0}
    assert [row["seconds_ratio"] for row in made["cells"]] == pytest.approx(factors)
