"""The sweep of learning rates in its quick form."""

import re

import pytest


@pytest.mark.slow
def test_every_optimizer_has_its_best_rate_and_the_figure_is_drawn(load_script, capsys, tmp_path):
    module = load_script("experiments/learning_rates.py")
    module.main(module.Options(quick=True, figure=tmp_path / "rates.svg"))
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+)% +([\d.]+)% +([\d.]+)% ", capsys.readouterr().out, re.M)
    assert [row[0] for row in rows] == list(module.OPTIMIZERS)
    for _, rate, median, worst, best in rows:
        assert 1e-4 < float(rate) < 10
        assert 80 < float(worst) <= float(median) <= float(best)
    assert "<svg" in (tmp_path / "rates.svg").read_text()
