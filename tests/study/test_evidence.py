"""What a study has found, on tables made by hand whose medians, bests, misses and differences are known."""

import itertools
import json
import math

import numpy as np
import pandas
import pytest

from mlp_jax.analysis import comparison, critical_batch_size
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.study.evidence import COSTS, Findings, best_batch_sizes, findings, noise_scales, ordered, table, to_json

INF = math.inf
SIZES = (8, 80, 800)
SEEDS = range(5)
SPREAD = np.array([-2, -1, 0, 1, 2])


def trial(phase: str, optimizer: str, size: int, seed: int, steps: float, status: str = "COMPLETE") -> list[dict]:
    """Rows of a trial that meets its target after `steps`, at 0.01 s each, or is over after 999."""
    end = 999 if math.isinf(steps) else int(steps)
    whole = {"phase": phase, "cell": f"{optimizer}{size}", "trial": f"{optimizer}{size}-{phase}-{seed}", "point": 0,
             "optimizer": optimizer, "batch_size": size, "seed": seed, "learning_rate": 0.1, "status": status,
             "failed": -1, "steps": end, "steps_to_target": steps}  # fmt: skip
    if phase == "winners":
        whole["test_accuracy"] = 0.9 + seed / 100
    return [whole | {"step": step, "training_seconds": step / 100} for step in sorted({0, end // 2, end})]


def winners(optimizer: str, steps: dict[int, list[float]]) -> list[dict]:
    cells = ((size, seed, value) for size, values in steps.items() for seed, value in enumerate(values))
    return [row for size, seed, value in cells for row in trial("winners", optimizer, size, seed, value)]


def tuned(optimizer: str, size: int, steps: list[float], status: list[str]) -> list[dict]:
    return [
        row for seed, ends in enumerate(zip(steps, status)) for row in trial("tuning", optimizer, size, seed, *ends)
    ]


def line(s_min: float, e_min: float) -> dict[int, list[float]]:
    """Steps whose medians are S_min + E_min/B."""
    return {size: (s_min + e_min / size + SPREAD).tolist() for size in SIZES}


def shuffled(rows: list[dict], seed: int = 0) -> pandas.DataFrame:
    return pandas.DataFrame(rows).sample(frac=1, random_state=seed, ignore_index=True)


LINE = {"sgd": line(10, 800), "momentum": line(15, 800)}
MISSES = {8: [300, 310, 320, 330, 340], 80: [40, 50, 60, INF, INF], 800: [5, 5, INF, INF, INF]}
NEVER = {size: [INF] * 5 for size in SIZES}


def of(steps: dict[str, dict]) -> Findings:
    return findings(shuffled([row for name, values in steps.items() for row in winners(name, values)] + TUNED))


TUNED = [
    *tuned("sgd", 8, [100, INF, INF, 200], ["COMPLETE", "INFEASIBLE", "COMPLETE", "COMPLETE"]),
    *tuned("sgd", 80, [INF, INF], ["INFEASIBLE", "INFEASIBLE"]),
]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_changes_nothing(seed):
    rows = [row for name, values in LINE.items() for row in winners(name, values)] + TUNED
    assert repr(to_json(findings(shuffled(rows, seed)))) == repr(to_json(findings(pandas.DataFrame(rows))))


def test_a_winner_has_its_costs_to_target():
    found = of({"adam": MISSES})
    rows = found.winners.set_index(["batch_size", "seed"])
    assert len(rows) == 15
    row = rows.loc[(80, 1)]
    assert (row["target_steps"], row["target_examples"], row["target_seconds"]) == (50, 4000, 0.5)
    missed = rows.loc[(800, 4)]
    assert missed["step"] == 999
    assert (missed[["target_steps", "target_examples", "target_seconds"]] == INF).all()


def test_a_cell_has_medians_ends_and_what_was_tried():
    cells = of(LINE | {"adam": MISSES}).cells.set_index(["optimizer", "batch_size"])
    assert len(cells) == 9
    first = cells.loc[("sgd", 8)]
    assert tuple(first[["steps", "steps_low", "steps_high"]]) == (110, 108, 112)
    assert tuple(first[["examples", "seconds", "test_accuracy"]]) == pytest.approx((880, 1.1, 0.92))
    assert tuple(first[["trials", "infeasible", "reached"]]) == (4, 1, 2)
    assert tuple(cells.loc[("sgd", 80), ["trials", "infeasible", "reached"]]) == (2, 2, 0)
    assert tuple(cells.loc[("adam", 80), ["steps", "steps_low", "steps_high"]]) == (60, 40, INF)
    assert tuple(cells.loc[("adam", 800), ["steps", "steps_low", "examples", "seconds"]]) == (INF, 5, INF, INF)


def test_the_best_batch_size_has_the_least_median_and_is_none_where_all_miss():
    found = of(LINE | {"adam": MISSES, "adagrad": NEVER})
    assert best_batch_sizes(found.cells, "sgd") == {"steps": 800, "examples": 8, "seconds": 800}
    assert best_batch_sizes(found.cells, "adam") == {"steps": 80, "examples": 8, "seconds": 80}
    assert best_batch_sizes(found.cells, "adagrad") == dict.fromkeys(COSTS)


def test_of_equal_batch_sizes_the_largest_is_best_everywhere():
    apart = {8: [50, 51, 52, 53, 54], 80: [54, 53, 52, 51, 50]}
    found = of({"sgd": apart, "adam": {8: [50.0] * 5, 80: [60.0] * 5}})
    assert best_batch_sizes(found.cells, "sgd")["steps"] == 80
    difference = found.differences[("sgd", "adam")]["steps"]
    paired = comparison.difference(np.array(apart[80], float), np.full(5, 50.0))
    assert difference == paired


def test_the_line_gives_its_critical_batch_size():
    found = of(LINE)
    assert found.scaling["sgd"].fit.b_crit.value == pytest.approx(80)
    assert found.scaling["momentum"].fit.b_crit.value == pytest.approx(800 / 15)
    b_crit = found.scaling["sgd"].fit.b_crit
    assert b_crit.low < 80 < b_crit.high
    assert found.scaling["sgd"].perfect == (8, 8)
    assert of({"adagrad": NEVER}).scaling["adagrad"].fit.verdict == critical_batch_size.TOO_FEW_SIZES


def test_differences_are_paired_by_seed_at_each_ones_best_batch_size():
    found = of(LINE | {"adam": MISSES, "adagrad": NEVER})
    assert set(found.differences) == set(itertools.combinations(["sgd", "momentum", "adagrad", "adam"], 2))
    steps = found.differences[("sgd", "momentum")]["steps"]
    assert (steps.estimate, steps.pairs, steps.verdict) == ((-5, -5, -5), 5, comparison.FIRST_LESS)
    assert found.differences[("sgd", "momentum")]["examples"].estimate.value == -40  # 5 steps of 8, at B = 8
    assert found.differences[("sgd", "momentum")]["seconds"].estimate.value == pytest.approx(-0.05)
    against_misses = found.differences[("sgd", "adam")]["steps"]
    assert against_misses.estimate.value == 11 - 60
    assert against_misses.estimate.low == -INF
    assert found.differences[("sgd", "adagrad")]["steps"].estimate == (-INF, -INF, -INF)


def test_equal_optimizers_do_not_differ():
    found = of({"sgd": LINE["sgd"], "momentum": LINE["sgd"], "adam": NEVER, "adagrad": NEVER})
    for pair in (("sgd", "momentum"), ("adagrad", "adam")):
        assert {d.verdict for d in found.differences[pair].values()} == {comparison.NO_DIFFERENCE}


def test_optimizers_come_in_the_order_of_their_table():
    found = of({"adam": NEVER, "momentum": LINE["momentum"], "sgd": LINE["sgd"]})
    assert list(found.scaling) == list(dict.fromkeys(found.cells["optimizer"])) == ["sgd", "momentum", "adam"]
    assert ordered(["adam", "sgd", "adam"]) == ["sgd", "adam"]


def test_a_target_that_is_met_at_the_start_takes_no_step_and_still_has_a_line():
    found = of({"sgd": {8: [0.0] * 5, 80: [0.0] * 5, 800: [0.0] * 5}})
    assert set(found.cells["steps"]) == {0}
    assert found.scaling["sgd"].fit.s_min.value == pytest.approx(1)
    assert best_batch_sizes(found.cells, "sgd") == {"steps": 800, "examples": 800, "seconds": 800}


def test_json_holds_plain_values_with_null_for_what_is_not_finite():
    found = of(LINE | {"adam": MISSES, "adagrad": NEVER})
    plain = to_json(found)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert (plain["cells"], plain["trials"]) == (12, 6 + 60)
    assert plain["steps_to_target"]["sgd"] == {"8": 110, "80": 20, "800": 11}
    assert plain["steps_to_target"]["adam"] == {"8": 320, "80": 60, "800": None}
    assert plain["critical_batch_size"]["sgd"]["value"] == pytest.approx(80)
    never = plain["critical_batch_size"]["adagrad"]
    assert (never["value"], never["low"], never["high"], never["perfect_scaling"]) == (None, 0, None, [None, None])
    assert plain["best_batch_size"]["adagrad"] == dict.fromkeys(COSTS)
    assert len(plain["differences"]) == 6
    first = plain["differences"][0]
    assert (first["first"], first["second"], first["steps"]["verdict"]) == ("sgd", "momentum", comparison.FIRST_LESS)


def measured(rows: list[dict], factor: float) -> pandas.DataFrame:
    """The first seed of each winner has a noise that falls to 0 with its steps, `factor` times |G|² all the way."""
    frame = shuffled(rows)
    falls = 1 - frame["step"] / frame["steps"].clip(lower=1)
    own = (frame["phase"] == "winners") & (frame["seed"] == 0)
    frame["noise_squared_norm"] = falls.where(own)
    frame["noise_trace"] = factor * frame["batch_size"] ** 0.5 * frame["noise_squared_norm"]
    return frame


def test_a_cell_has_the_run_averaged_noise_scale_of_the_seed_that_measured_it():
    rows = [row for name, values in LINE.items() for row in winners(name, values)] + TUNED
    found = findings(measured(rows, 3.0))
    values = found.cells.set_index(["optimizer", "batch_size"])["noise_scale"]
    for (_, size), value in values.items():
        assert value == pytest.approx(3 * size**0.5)
    assert noise_scales(found.cells) == pytest.approx(dict.fromkeys(LINE, 3 * 80**0.5))
    assert to_json(found)["noise_scale"]["sgd"] == pytest.approx({str(size): 3 * size**0.5 for size in SIZES})
    assert repr(found.scaling) == repr(of(LINE).scaling)


def test_what_was_not_measured_is_not_there():
    found = of(LINE)
    assert found.cells["noise_scale"].isna().all()
    assert noise_scales(found.cells) == {}
    assert "noise_scale" not in to_json(found)
    some = shuffled(winners("sgd", LINE["sgd"]))
    of_one = findings(pandas.concat([measured(winners("momentum", LINE["momentum"]), 3.0), some]))
    assert list(noise_scales(of_one.cells)) == ["momentum"]
    plain = json.loads(json.dumps(to_json(of_one), allow_nan=False))
    assert plain["noise_scale"]["sgd"] == dict.fromkeys(map(str, SIZES))


def test_the_table_says_what_was_best_what_was_missed_and_what_differs():
    text = table(of(LINE | {"adagrad": NEVER}))
    lines = {line.split()[0]: line for line in text.split("\n\n")[0].splitlines()}
    assert "800 (11)" in lines["sgd"]
    assert "8 (880)" in lines["sgd"]
    assert "80 [" in lines["sgd"]
    assert lines["adagrad"].count("not reached") == 3
    assert "– [0, ∞]" in lines["adagrad"]
    assert f"sgd − momentum: −5 [−5, −5]: {comparison.FIRST_LESS}" in text


def test_the_table_tells_open_ends_below_from_those_above():
    found = of(LINE)
    open_ended = comparison.Difference(Estimate(5.0, -INF, INF), 5, comparison.NO_DIFFERENCE)
    pair = ("sgd", "momentum")
    changed = found._replace(differences={pair: found.differences[pair] | {"steps": open_ended}})
    assert "sgd − momentum: 5 [−∞, ∞]: " in table(changed)


@pytest.mark.parametrize("rows", [pandas.DataFrame(), pandas.DataFrame(TUNED)])
def test_a_study_without_winners_says_so(rows):
    with pytest.raises(ValueError, match="no winner yet; let it run on"):
        findings(rows)


def test_a_study_in_progress_speaks_of_the_cells_that_have_winners():
    found = findings(shuffled(winners("sgd", {800: LINE["sgd"][800]}) + TUNED))
    assert found.cells["batch_size"].tolist() == [800]
    assert found.cells["trials"].tolist() == [0]
    assert found.differences == {}
    assert to_json(found)["critical_batch_size"]["sgd"]["verdict"] == critical_batch_size.TOO_FEW_SIZES
    assert "sgd" in table(found)
