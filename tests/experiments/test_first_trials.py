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


@pytest.mark.slow
def test_softmax_classifier_with_mini_batches_and_one_random_example(quick):
    out = quick("softmax_mnist")
    rows = re.findall(r"^(train|test) +(mini-batches of 64|one random example) +[\d,]+ +[\d.]+ \[([\d.]+), ", out, re.M)
    assert len(rows) == 4
    assert all(float(least) > 88 for *_, least in rows)
    assert "650" in out
    assert "84.64" not in out  # the slides' figures are of MNIST


@pytest.mark.parametrize(("way", "sampling"), [("mini-batches of 64", "epochs"), ("one random example", "replacement")])
def test_the_slides_way_draws_with_replacement(load_script, way, sampling):
    module = load_script("experiments/softmax_mnist.py")
    config = module.configure(module.Options(quick=True), way, 0)
    assert (config.sampling, config.momentum, config.bias) == (sampling, 0.9, "ones")
    assert (config.batch_size == 1) == (way == "one random example")


@pytest.mark.slow
def test_both_networks_of_mlp_mnist(quick):
    rows = re.findall(r"^(\S+-10) +([\d.]+) ± [\d.]+ +[\d.]+, [\d.]+$", quick("mlp_mnist"), re.M)
    assert [name for name, _ in rows] == ["65-300-100-10", "64-800-10"]
    assert all(float(error) < 6 for _, error in rows)


def test_the_slides_network_has_three_layers_and_no_b(load_script):
    import mlp_jax

    module = load_script("experiments/mlp_mnist.py")
    config = module.configure(module.Options(quick=True), "785-300-100-10 (slides)", 0)
    network = mlp_jax.Network(inputs=784, hidden=config.hidden, outputs=10, bias=config.bias)
    assert network.widths == (785, 300, 100, 10)
    assert mlp_jax.parameter_count(network) == 785 * 300 + 300 * 100 + 10 * 100


@pytest.mark.slow
def test_both_binary_outputs_agree(quick):
    out = quick("binary")
    sigmoid, tanh = (float(value) for value in re.findall(r"^(?:sigmoid|tanh) +([\d.]+) \[", out, re.M))
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


def test_a_script_refuses_as_the_command_line_does(tmp_path):
    command = [
        sys.executable,
        str(SCRIPTS / "softmax_mnist.py"),
        "--data-dir",
        "/no/such/folder",
        "--out",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: data_dir '/no/such/folder' is not a folder; name one that exists\n"
