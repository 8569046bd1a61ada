"""The quick forms of the lecture's experiments on full gradients, momentum and the optimizers of Ruder's overview."""

import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def quick(load_script, tmp_path: Path, capsys: pytest.CaptureFixture):
    """A function that runs a quick form and returns the lines that it printed; its figure must exist."""

    def run(name: str) -> list[str]:
        module, figure = load_script(f"experiments/{name}.py"), tmp_path / "figure.svg"
        module.main(module.Options(quick=True, figure=figure, out=tmp_path))
        assert "</svg>" in figure.read_text()
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.slow
def test_momentum_agrees_with_its_theory(quick):
    lines = quick("momentum_quadratic")
    rows = [line.replace(",", "").split()[-5:] for line in lines if re.search(r"descent|  momentum", line)]
    assert len(rows) == 6
    theory, simulated, _, closed_form, counted = np.array(rows, float).T
    np.testing.assert_allclose(theory, simulated, rtol=2e-3)
    np.testing.assert_allclose(closed_form, counted, atol=1)
    variances = [line.split()[1:] for line in lines[-5:-1]]  # the last line names the figure
    np.testing.assert_allclose(*np.array(variances, float).T, rtol=0.1)


@pytest.mark.slow
def test_full_gradient_compares_on_both_problems(quick):
    lines = quick("full_gradient")
    ends: dict[str, list[float]] = {}
    for line in lines:
        if match := re.match(
            r"(SGD, B = \d+|full gradient, fixed rate|CG, \S+|L-BFGS) .*?((?: +\d+\.\d{3}){3}) ", line
        ):
            ends.setdefault(match[1], []).append(float(match[2].split()[-1]))
    assert {name: len(losses) for name, losses in ends.items()} == dict.fromkeys(ends, 2)
    assert len(ends) == 5
    for problem in range(2):
        assert ends["L-BFGS"][problem] < ends["full gradient, fixed rate"][problem]
        assert ends["CG, Polak-Ribière"][problem] < ends["full gradient, fixed rate"][problem]


@pytest.mark.slow
def test_zoo_races_every_optimizer_once(quick):
    lines = quick("gradient_descent_zoo")
    lines = [line for line in lines if line and not line.startswith(("figure: ", "quick form: "))]
    assert [line.split()[0] for line in lines] == ["optimizer", "sgd", "momentum", "adam"] * 2
    assert all("[" in line for line in lines[-3:])


def test_surfaces_have_their_minimum_and_their_saddle(load_script):
    zoo = load_script("experiments/gradient_descent_zoo.py")
    assert zoo.beale(jnp.array(zoo.MINIMUM)) == 0
    assert zoo.saddle(jnp.array([0.0, 1.0])) < 0 < zoo.saddle(jnp.array([1.0, 0.0]))


def test_bad_option_is_one_line():
    result = subprocess.run(
        [sys.executable, str(EXPERIMENTS / "momentum_quadratic.py"), "--kappas", "0.5"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == "error: kappas 0.5 is not allowed; give a condition number above 1\n"
