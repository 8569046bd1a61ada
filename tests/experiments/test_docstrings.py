"""The numbers that a script's docstring gives, read from it, against what the script measures now (under two minutes).

Where a docstring changes its wording, the pattern here no longer finds its number and the test says so.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlp_jax.cli import experiment

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
    signed = r"(−?[\d.]+) \[(−?[\d.]+), (−?[\d.]+)\]"
    said = numbers(
        doc,
        rf"on RMSE, by {signed} with the identity output and {signed} with ReLU; "
        rf"on MAE, {signed} and {signed}, it is neither better nor worse",
    )
    got = [each[name][end] for name in ("rmse", "mae") for each in (squared, relu) for end in ("value", "low", "high")]
    assert said == pytest.approx(got, abs=0.3)
    for each in (squared, relu):  # as the sentence has it
        assert each["rmse"]["value"] > 0
        assert each["mae"]["low"] < 0 < each["mae"]["high"]


def spreads(doc: str, pattern: str, found: list[dict[str, float]], tolerance: float) -> None:
    """Check that what `pattern` finds, a median with its ends for each of `found`, is what was measured."""
    estimate = r"([\d.,−]+) \[([\d.,−]+), ([\d.,−]+)\]"
    said = numbers(doc, pattern.replace("ESTIMATE", estimate))
    assert said == pytest.approx([each[end] for each in found for end in ("value", "low", "high")], abs=tolerance)


def test_binary(measured):
    doc, result = measured("binary")
    found = result["test_accuracy"]
    one = 0.9  # an example of 114 is 0.88 points
    spreads(doc, "sigmoid ESTIMATE, tanh ESTIMATE", [found["sigmoid"], found["tanh"]], one)
    spreads(doc, "paired by seed ESTIMATE", [found["tanh − sigmoid"]], 2 * one)


def test_softmax_mnist(measured, mnist_dir):
    doc, result = measured("softmax_mnist", data_dir=str(mnist_dir))
    parts, span = ("train_accuracy", "test_accuracy"), r"([\d,]+) to ([\d,]+)"
    for way, each in result.items():
        found = [experiment.spread([100 * of[part] for of in each])._asdict() for part in parts]
        spreads(doc, f"{way}: ESTIMATE train and ESTIMATE test", found, 0.1)
        said = numbers(doc, f"{way}: .*? passed at steps {span} and {span}")
        steps = [end([of["passed"][part] for of in each]) for part in parts for end in (min, max)]
        assert said == pytest.approx(steps, rel=0.2)


def test_linear_collapse(measured, mnist_dir):
    doc, result = measured("linear_collapse", data_dir=str(mnist_dir))
    names = {
        "softmax classifier": "softmax classifier",
        "identity network": "identity 256-128",
        "ReLU network": "ReLU 256-128",
    }
    for words, name in names.items():
        spreads(doc, f"{words} ESTIMATE", [result[name]["test"]], 0.2)
    spreads(doc, "paired by seed ESTIMATE", [result["identity_minus_softmax"]], 0.2)
    difference, largest = numbers(doc, r"within (\d+e-\d+), where the largest z is (\d+)")
    found = result["collapse"]
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
