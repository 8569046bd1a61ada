"""The two experiments that are studies, in their quick form."""

import json
import re

import pandas
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_size", "optimizers"])
def test_study_is_run_once_printed_and_drawn(name, load_script, capsys, tmp_path):
    module = load_script(f"experiments/{name}.py")
    options = module.Options(quick=True, out=tmp_path / "studies", figure=tmp_path / "figure.svg")
    module.main(options)
    first = capsys.readouterr().out
    assert first.startswith("quick form: digits")
    assert "<svg" in options.figure.read_text()
    assert "<svg" in next(options.out.glob("*/report.html")).read_text()
    parts = {path: path.stat().st_mtime_ns for path in options.out.glob("*/*/*.parquet")}
    assert len(parts) >= (36 if name == "batch_size" else 16)
    module.main(options)
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in options.out.glob("*/*/*.parquet")} == parts
    module.main(module.Options(quick=True, out=options.out, figure=options.figure, json=True))
    found = json.loads(capsys.readouterr().out)
    assert all(sentence in first for sentence in found["sentences"])
    estimate = r"[\d.,∞]+ \[[\d.,∞]+, [\d.,∞]+\]"
    if name == "batch_size":
        slopes = re.findall(
            r"^MLP, (sgd|momentum): steps ∝ B\^(−[\d.]+) \[.*?\] up to B = 16; .* by progress [\d.]+ to [\d.]+",
            first,
            re.M,
        )
        assert [slope[0] for slope in slopes] == list(module.RATES)
        for _, slope in slopes:
            assert -1.3 < float(slope.replace("−", "-")) < -0.5
        rows = re.findall(rf"^(softmax classifier|MLP) +([\d,]+) +[\d.]+(?: [↑↓])?(?: +{estimate}){{4}}$", first, re.M)
        assert len(rows) == 8
        cost = {row["batch_size"]: row["step_ms"][0] for row in found["table"]["MLP"]}
        assert cost[1] < cost[16] < cost[1150]
    else:
        assert first.count("steps at B = 128: ") == 12
        assert len(re.findall(rf"^(sgd|momentum|adagrad|rmsprop) +{estimate} +\d+ of 5 ", first, re.M)) == 8


def row(size: int, seconds: list[float]) -> dict:
    return {"batch_size": size, "seconds": seconds}


def test_batch_sizes_that_can_not_be_told_from_the_soonest_are_all_named(load_script):
    said = load_script("experiments/batch_size.py").sentence
    table = [row(1, [2.0, 1.8, 2.2]), row(64, [1.0, 0.8, 1.2]), row(256, [1.1, 1.0, 1.3]), row(999, [9.0, 8.0, 10.0])]
    assert said("MLP", table) == (
        "MLP, sgd: the soonest is among B = 64, 256, which can't be told apart; "
        "B = 1 takes 1.5 to 2.75 times as long, and B = 999 takes 6.67 to 12.5 times as long as B = 64"
    )
    assert "the soonest is B = 64;" in said("MLP", [table[0], table[1], table[3]])


def test_seconds_hold_the_noise_of_steps_and_of_the_clock(load_script):
    module = load_script("experiments/batch_size.py")
    cells = pandas.DataFrame(
        [{"optimizer": "sgd", "batch_size": 8, "steps": 10.0, "steps_low": 8.0, "steps_high": 15.0, "examples": 80.0,
          "examples_low": 64.0, "examples_high": 120.0, "step_seconds": 0.2, "seconds": 2.0,
          "learning_rate": 0.5, "at_end": "high"}]
    )  # fmt: skip
    winners = pandas.DataFrame({"optimizer": ["sgd"] * 3, "batch_size": [8] * 3, "step_seconds": [0.1, 0.2, 0.4]})
    (found,) = module.rows(type("Found", (), {"cells": cells, "winners": winners}))
    assert found["seconds"] == pytest.approx([2.0, 0.8, 6.0])
    assert found["step_ms"] == pytest.approx([200, 100, 400])
    assert module.cells(found)[:3] == ("8", "0.5 ↑", "200 [100, 400]")


def test_an_order_is_reversed_only_where_both_spaces_are_sure(load_script):
    module = load_script("experiments/optimizers.py")
    first, second, unsure = "the first is less", "the second is less", "not told apart"

    def found(*verdicts: str):
        pairs = zip([("sgd", "momentum"), ("sgd", "adagrad"), ("momentum", "adagrad")], verdicts)
        made = [type("Pair", (), {"first": a, "second": b, "verdict": verdict}) for (a, b), verdict in pairs]
        return type("Found", (), {"differences": made})

    said = module.reversals(found(first, second, first), found(unsure, first, first))
    assert said == (
        "Of 3 pairs 3 are told apart over the narrow spaces and 2 over the inclusive ones, in opposite orders: "
        "sgd and adagrad."
    )
    assert module.reversals(found(first, unsure, first), found(first, first, unsure)).endswith("opposite orders: none.")


def test_equal_budgets_are_equal(load_script):
    module = load_script("experiments/optimizers.py")
    assert module.NARROW.points == module.INCLUSIVE.points
    for name, narrow in module.NARROW.spaces.items():
        assert dict(narrow) == {"learning_rate": module.INCLUSIVE.spaces[name]["learning_rate"]}
