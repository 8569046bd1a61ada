"""The scripts of the first trial in their quick form: they run, and print what their docstrings promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def quick(load_script, capsys, tmp_path):
    """A function that runs the quick form of a script and returns what it prints."""

    def run(name: str) -> str:
        module = load_script(f"experiments/{name}.py")
        module.main(module.Options(quick=True, out=tmp_path))
        return capsys.readouterr().out

    return run


def test_softmax_classifier_passes_the_slides(quick):
    out = quick("softmax_mnist")
    for split in ("train", "test"):
        (line,) = [line for line in out.splitlines() if line.startswith(split)]
        ours, slides, step = re.findall(r"[\d.]+", line)
        assert float(ours) > 90 > float(slides)
        assert 0 < int(step) < 300
    assert "650" in out


def test_network_of_800(quick):
    out = quick("mlp_mnist")
    assert len(re.findall(r"^seed \d", out, re.M)) == 5
    assert float(re.findall(r"test error ([\d.]+) ±", out)[0]) < 6


def test_both_binary_outputs_agree(quick):
    out = quick("binary")
    sigmoid, tanh = (float(value) for value in re.findall(r"test accuracy ([\d.]+)%", out))
    assert sigmoid > 90
    assert tanh == pytest.approx(sigmoid, abs=4)


@pytest.mark.slow
def test_every_output_and_loss_of_regression_beats_the_mean(quick):
    out = quick("regression")
    assert out.startswith("quick form: four seeds")
    rows = re.findall(
        r"^(identity|relu) +(squared|absolute) +[\d.]+ +([\d.]+) \[.*?\] +([\d.]+) \[.*?\] +([\d.]+) ", out, re.M
    )
    assert len(rows) == 4
    for _, _, rmse, mae, r2 in rows:
        assert float(mae) < float(rmse) < 80
        assert float(r2) > 0.2
    assert len(re.findall(r"^\w+ \w+ − \w+ \w+ +−?[\d.]+ \[", out, re.M)) == 4


def test_a_script_refuses_as_the_command_line_does():
    command = [sys.executable, str(SCRIPTS / "softmax_mnist.py"), "--data-dir", "/no/such/folder"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: data_dir '/no/such/folder' is not a folder; name one that exists\n"
