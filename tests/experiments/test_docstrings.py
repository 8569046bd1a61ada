"""The numbers that a script's docstring gives, read from it, against what the script measures now (under two minutes).

Where a docstring changes its wording, the pattern here no longer finds its number and the test says so.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def measured(load_script, capsys, tmp_path: Path) -> Callable[..., tuple[str, dict[str, Any]]]:
    """A function that runs a script and returns its docstring, in one line, and its JSON."""

    def run(name: str, **options) -> tuple[str, dict[str, Any]]:
        module = load_script(f"experiments/{name}.py")
        given = {"out": tmp_path, "json": True, **options}
        if "figure" in module.Options.__dataclass_fields__:
            given["figure"] = tmp_path / "figure.svg"
        module.main(module.Options(**given))
        return " ".join((module.__doc__ or "").split()), json.loads(capsys.readouterr().out)

    return run


def numbers(text: str, pattern: str) -> list[float]:
    """Return the numbers that the groups of `pattern` find, which must be there."""
    found = re.search(pattern, text)
    assert found, f"the docstring says nothing like {pattern!r}"
    return [float(group.replace(",", "").replace("−", "-")) for group in found.groups()]


def test_momentum_quadratic(measured):
    doc, result = measured("momentum_quadratic")
    paths = {
        method: [row for row in result["paths"] if row["method"] == method]
        for method in ("gradient descent", "momentum")
    }
    three = r"([\d.,]+), ([\d.,]+),? ([\d.,]+)"
    said = numbers(doc, rf"descent leaves {three} of the distance per step in the end and needs {three} steps")
    rows = paths["gradient descent"]
    assert said[:3] == pytest.approx([row["rate"] for row in rows], abs=1e-5)
    assert said[3:] == pytest.approx([row["steps"] for row in rows], abs=1)
    said = numbers(doc, rf"momentum leaves {three} and needs (\d+), (\d+), (\d+);")
    rows = paths["momentum"]
    assert said[:3] == pytest.approx([row["rate"] for row in rows], abs=1e-5)
    assert said[3:] == pytest.approx([row["steps"] for row in rows], abs=1)
    said = numbers(doc, r"log rate: ([\d,]+) and ([\d,]+) steps .* exact, ([\d,]+) and ([\d,]+):")
    last = [paths[method][-1] for method in paths]
    assert said == [row[name] for name in ("steps_by_rate", "steps_by_closed_form") for row in last]
    said = numbers(
        doc, r"variance of ([\d.]+) with β = 0 and ([\d.]+) with β = 0.9 \(simulated: ([\d.]+) and ([\d.]+)\)"
    )
    noise = {row["beta"]: row for row in result["noise"]}
    assert said[:2] == pytest.approx([noise[beta]["theory"] for beta in (0, 0.9)], abs=1e-4)
    assert said[2:] == pytest.approx([noise[beta]["simulated"] for beta in (0, 0.9)], rel=0.02)


def test_regression(measured):
    doc, result = measured("regression")
    estimate = r"([\d.]+) \[([\d.]+), ([\d.]+)\]"
    for case in result["cases"]:
        said = numbers(doc, rf"{case['output']} {case['loss']} ([\d.]+) {estimate} {estimate} {estimate}")
        assert said[0] == case["rate"]
        for k, (name, tolerance) in enumerate((("rmse", 0.3), ("mae", 0.3), ("r2", 0.01))):
            got = [case[name][end] for end in ("value", "low", "high")]
            assert said[1 + 3 * k : 4 + 3 * k] == pytest.approx(got, abs=tolerance)
    apart = {(tuple(each["first"]), tuple(each["second"])): each for each in result["differences"]}
    squared = apart[("identity", "absolute"), ("identity", "squared")]
    relu = apart[("relu", "absolute"), ("relu", "squared")]
    said = numbers(
        doc,
        rf"on RMSE by {estimate} with the identity output and {estimate} with ReLU, "
        rf"and on MAE too, by {estimate} and {estimate}",
    )
    got = [each[name][end] for name in ("rmse", "mae") for each in (squared, relu) for end in ("value", "low", "high")]
    assert said == pytest.approx(got, abs=0.3)
    assert all(each[name]["low"] > 0 for each in (squared, relu) for name in ("rmse", "mae"))  # as the sentence has it


def test_binary(measured):
    doc, result = measured("binary")
    said = numbers(doc, r"sigmoid ([\d.]+) % \(lowest ([\d.]+) %\), tanh ([\d.]+) % \(lowest ([\d.]+) %\)")
    accuracies = [result["test_accuracy"][output] for output in ("sigmoid", "tanh")]
    got = [100 * value for each in accuracies for value in (sum(each) / len(each), min(each))]
    assert said == pytest.approx(got, abs=0.9)  # an example of 114 is 0.88 points


def test_softmax_mnist(measured, mnist_dir):
    doc, result = measured("softmax_mnist", data_dir=str(mnist_dir))
    few, one = result["mini-batches of 64"], result["one random example"]
    said = numbers(
        doc, r"mini-batches ([\d.]+) % train and ([\d.]+) % test; .* at step (\d+), their 83.58 % at step (\d+),"
    )
    assert said[:2] == pytest.approx([100 * few["train_accuracy"], 100 * few["test_accuracy"]], abs=0.1)
    assert said[2:] == pytest.approx(list(few["passed"].values()), rel=0.2)
    said = numbers(doc, r"at a time: ([\d.]+) % and ([\d.]+) %, passed at steps ([\d,]+) and ([\d,]+),")
    assert said[:2] == pytest.approx([100 * one["train_accuracy"], 100 * one["test_accuracy"]], abs=0.1)
    assert said[2:] == pytest.approx(list(one["passed"].values()), rel=0.2)


def test_linear_collapse(measured, mnist_dir):
    doc, result = measured("linear_collapse", data_dir=str(mnist_dir))
    said = numbers(doc, r"softmax classifier ([\d.]+) %, identity network ([\d.]+) %, ReLU network ([\d.]+) %")
    assert said == pytest.approx([100 * each["test"] for each in result.values() if isinstance(each, dict)], abs=0.2)
    difference, largest = numbers(doc, r"within (\d+e-\d+), where the largest z is (\d+)")
    found = result["identity 256-128"]["collapse"]
    assert found["difference"] < 3 * difference
    assert found["largest"] == pytest.approx(largest, rel=0.1)
    assert found["same"] == 1  # for all 10,000 images


def test_backpropagation(measured, mnist_dir):
    doc, result = measured("backpropagation", data_dir=str(mnist_dir))
    in_32, in_64, central = numbers(
        doc, r"by (\d+e-\d+) of its .* less than (\d+e-\d+) in float64, from central differences by (\d+e-\d+)"
    )
    got = [each["difference"] for each in result["differences"]]
    assert got[0] < 3 * in_32
    assert got[1] < in_64
    assert got[2] < 10 * central
    for name, sizes in result["memory"].items():
        said = numbers(doc, rf"{name} ([\d.]+) ([\d.]+) ([\d.]+) ")
        assert said == pytest.approx([size / 2**20 for size in sizes.values()], abs=0.06), name
    assert numbers(doc, r"first row takes ([\d.]+) MiB")[0] == pytest.approx(result["clipped"] / 2**20, abs=0.06)
