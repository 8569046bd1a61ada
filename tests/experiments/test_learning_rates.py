"""The sweep of learning rates in its quick form."""

import importlib.util
import re
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "experiments" / "learning_rates.py"


def test_every_optimizer_has_its_best_rate_and_the_figure_is_drawn(capsys, tmp_path):
    spec = importlib.util.spec_from_file_location("learning_rates", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["learning_rates"] = module
    spec.loader.exec_module(module)
    module.main(module.Options(quick=True, figure=tmp_path / "rates.svg"))
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+)% +([\d.]+)% +([\d.]+)% ", capsys.readouterr().out, re.M)
    assert [row[0] for row in rows] == list(module.OPTIMIZERS)
    for _, rate, median, worst, best in rows:
        assert 1e-4 < float(rate) < 10
        assert 80 < float(worst) <= float(median) <= float(best)
    assert "<svg" in (tmp_path / "rates.svg").read_text()
