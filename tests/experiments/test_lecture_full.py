"""The quick forms of the lecture's experiments on full gradients, momentum and the optimizers of Ruder's overview."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def quick(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> list[str]:
    """Run the quick form and return what it printed; its figure must exist."""
    module, figure = load(name), tmp_path / "figure.svg"
    module.main(module.Options(quick=True, figure=figure))
    assert "</svg>" in figure.read_text()
    return capsys.readouterr().out.splitlines()


def test_momentum_agrees_with_its_theory(tmp_path, capsys):
    lines = quick("momentum_quadratic", tmp_path, capsys)
    rates = [line.split()[-3:-1] for line in lines if re.search(r"descent|  momentum", line)]
    assert len(rates) == 6
    np.testing.assert_allclose(*np.array(rates, float).T, rtol=2e-3)
    variances = [line.split()[1:] for line in lines[-5:-1]]  # the last line names the figure
    np.testing.assert_allclose(*np.array(variances, float).T, rtol=0.1)


@pytest.mark.slow
def test_full_gradient_compares_on_both_problems(tmp_path, capsys):
    lines = quick("full_gradient", tmp_path, capsys)
    ends = {}
    for line in lines:
        if match := re.match(r"(SGD, B = \d+|gradient_descent|cg_polak_ribiere|lbfgs).*?((?: +\d+\.\d+){3}) ", line):
            ends.setdefault(match[1], []).append(float(match[2].split()[-1]))
    assert {name: len(losses) for name, losses in ends.items()} == dict.fromkeys(ends, 2)
    assert len(ends) == 5
    for problem in range(2):
        assert ends["lbfgs"][problem] < ends["gradient_descent"][problem]
        assert ends["cg_polak_ribiere"][problem] < ends["gradient_descent"][problem]


@pytest.mark.slow
def test_zoo_races_every_optimizer_once(tmp_path, capsys):
    lines = quick("gradient_descent_zoo", tmp_path, capsys)
    lines = [line for line in lines if line and not line.startswith("figure: ")]
    assert [line.split()[0] for line in lines] == ["optimizer", "sgd", "momentum", "adam"] * 2
    assert all(line.count("%") == 2 for line in lines[-3:])


def test_surfaces_have_their_minimum_and_their_saddle():
    zoo = load("gradient_descent_zoo")
    assert zoo.beale(jnp.array(zoo.MINIMUM)) == 0
    assert zoo.saddle(jnp.array([0.0, 1.0])) < 0 < zoo.saddle(jnp.array([1.0, 0.0]))


def test_bad_option_is_one_line():
    result = subprocess.run(
        [sys.executable, str(EXPERIMENTS / "momentum_quadratic.py"), "--kappas", "0.5"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == "error: eigenvalues 1.0, 0.5 are not allowed; give 0 < smallest ≤ largest\n"
