"""The scripts of the first trial in their quick form: they run, and print what their docstrings promise."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "experiments"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def quick(name: str, capsys) -> str:
    module = load(name)
    module.main(module.Options(quick=True))
    return capsys.readouterr().out


def test_softmax_classifier_passes_the_slides(capsys):
    out = quick("softmax_mnist", capsys)
    for split in ("train", "test"):
        (line,) = [line for line in out.splitlines() if line.startswith(split)]
        ours, slides, step = re.findall(r"[\d.]+", line)
        assert float(ours) > 90 > float(slides)
        assert 0 < int(step) < 300
    assert "650" in out


def test_network_of_800(capsys):
    out = quick("mlp_mnist", capsys)
    assert len(re.findall(r"^seed \d", out, re.M)) == 5
    assert float(re.findall(r"test error ([\d.]+) ±", out)[0]) < 6


def test_both_binary_outputs_agree(capsys):
    out = quick("binary", capsys)
    sigmoid, tanh = (float(value) for value in re.findall(r"test accuracy ([\d.]+)%", out))
    assert sigmoid > 90
    assert tanh == pytest.approx(sigmoid, abs=4)


def test_every_output_and_loss_of_regression_beats_the_mean(capsys):
    rows = re.findall(
        r"^(identity|relu) +(squared|absolute) +([\d.]+) +([\d.]+) +([\d.-]+)$", quick("regression", capsys), re.M
    )
    assert len(rows) == 4
    for _, _, rmse, mae, r2 in rows:
        assert float(mae) < float(rmse) < 80
        assert float(r2) > 0.2


def test_a_script_refuses_as_the_command_line_does():
    command = [sys.executable, str(SCRIPTS / "softmax_mnist.py"), "--data-dir", "/no/such/folder"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: data_dir '/no/such/folder' is not a folder; name one that exists\n"
