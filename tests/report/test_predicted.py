"""One study on many devices: steps times each one's time of a step, what is best there, what changes, what it costs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from study_by_hand import OPTIMIZERS, SIZES, STUDY, study, table

from mlp_jax import bench
from mlp_jax.bench import timings
from mlp_jax.machine.files import parsed_json
from mlp_jax.report import entries, page, predicted
from mlp_jax.report.predicted import Device
from mlp_jax.study import plan
from mlp_jax.study.evidence import findings

ENVIRONMENT = {"platform": "gpu", "device_kind": "Fast", "device_count": 1, "processor": "", "machine": "x", "jax": "1"}
ROWS = table()
FOUND = findings(ROWS, STUDY)


def record(seconds: dict[str, float], rate: float = 1e4, of: plan.Study = STUDY, **environment) -> dict:
    """A record of a device where a step takes so long with each optimizer, and longer the larger the batch."""
    rows = [
        {"optimizer": name, "batch_size": size, "step_seconds": each * size, "trial_steps_per_second": rate,
         "compile_seconds": 1}
        for name, each in seconds.items() for size in SIZES
    ]  # fmt: skip
    head = {"kind": timings.KIND, "version": timings.VERSION, "environment": ENVIRONMENT | environment, "effort": {}}
    return head | {"study": {"identity": plan.identity(of), "fingerprint": ""}, "cells": rows}


FIRST, SECOND = record({"sgd": 1e-6, "adam": 9e-6}), record({"sgd": 9e-6, "adam": 1e-6}, 1e5, device_kind="Slow")
RECORDS = [(Path("first.json"), FIRST), (Path("second.json"), SECOND)]


def on(prices=()) -> list[Device]:
    return predicted.devices("study", STUDY, FOUND, ROWS, {}, RECORDS, prices)


def test_seconds_are_the_study_s_steps_times_the_device_s_time_of_a_step():
    own, first, second = on()
    assert [each.how for each in on()] == ["measured", "predicted", "predicted"]
    np.testing.assert_array_equal(own.found.cells["seconds"], FOUND.cells["seconds"])
    for device, each in ((first, {"sgd": 1e-6, "adam": 9e-6}), (second, {"sgd": 9e-6, "adam": 1e-6})):
        cells = device.found.cells
        for end in ("", "_low", "_high"):
            expected = cells[f"steps{end}"] * cells["batch_size"] * cells["optimizer"].map(each)
            np.testing.assert_allclose(cells[f"seconds{end}"], expected)
        least = cells["seconds"].min()
        assert device.best is not None
        assert device.best.seconds == least
        row = cells.loc[cells["seconds"] == least].iloc[0]
        assert device.best[:2] == (row["optimizer"], row["batch_size"])


def test_the_whole_study_takes_the_time_of_its_rounds_and_of_its_winners_alone():
    ends = ROWS.groupby("trial").last()
    won = ends[ends["phase"] == "winners"]
    tuned = ends.loc[ends["phase"] == "tuning", "step"].sum()
    alone = (won["step"] * won["batch_size"] * won["optimizer"].map({"sgd": 1e-6, "adam": 9e-6})).sum()
    assert on()[1].seconds == pytest.approx(tuned / 1e4 + alone)


def test_rankings_that_change_are_said_and_those_that_do_not_are_not():
    text = " ".join(predicted.sentences(on()))
    assert "the order of sgd and adam in seconds at B = " in text
    same = predicted.devices("study", STUDY, FOUND, ROWS, {}, [RECORDS[0], (Path("third.json"), FIRST)])
    assert "changes with the device" not in " ".join(predicted.sentences(same[1:]))
    said = predicted.to_json(on())
    assert [each["ranking"] for each in said["devices"][1:]] == [["sgd", "adam"], ["adam", "sgd"]]
    assert ["seconds at B = 8", "sgd", "adam"] in said["ranking_changes"] or said["ranking_changes"]


def test_a_price_gives_the_cost_of_the_study_on_each_device():
    priced = on((1.0, 2.0, 0.0))
    assert [each.cost for each in priced] == [each.seconds * price / 3600 for each, price in zip(priced, (1, 2, 0))]
    assert "Cheapest for the whole study is second (Slow): 0; " in " ".join(predicted.sentences(priced))
    assert predicted.tables(priced)[0].columns[-1] == "cost of the study"
    assert "Cheapest" not in " ".join(predicted.sentences(on()))
    assert predicted.tables(on())[0].columns[-1] == "seconds of the study"


@pytest.mark.parametrize("prices", [(1.0,), (1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_prices_are_one_for_each_device(prices):
    with pytest.raises(
        ValueError, match=rf"{len(prices)} prices are given for 3 devices; give one for the study's own"
    ):
        on(prices)


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
def test_a_price_is_a_number_of_at_least_0(price):
    with pytest.raises(ValueError, match="a price of .* an hour is not allowed; give a number of at least 0"):
        on((1.0, price, 1.0))


def test_a_miss_stays_a_miss_on_every_device():
    rows = table(reaches=False)
    missed = predicted.devices("study", STUDY, findings(rows, STUDY), rows, {}, RECORDS)
    assert [each.best for each in missed] == [None] * 3
    assert len(predicted.tables(missed)[1].rows) == len(OPTIMIZERS) * len(SIZES)
    assert predicted.to_json(missed)["devices"][1]["cells"][0]["seconds"] is None
    assert not any("reached first" in said for said in predicted.sentences(missed))


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[Path]:
    """A study and two records, and a page that draws nothing."""
    monkeypatch.setattr(page.canvas, "save", lambda figure, path: None)
    monkeypatch.setattr(page.canvas, "inline", lambda figure, name: Markup("<svg></svg>"))
    for name, made in (("first", FIRST), ("second", SECOND)):
        bench.write(made, tmp_path / f"{name}.json")
    return [study(tmp_path / "study"), tmp_path / "first.json", tmp_path / "second.json"]


@pytest.mark.slow
def test_the_page_has_every_device(files, tmp_path):
    text = page.write(files, tmp_path / "page.html", prices=(0.1, 2.0, 3.0)).read_text(encoding="utf-8")
    assert "Seconds to target, device by device" in text
    for words in ("first (Fast): predicted", "second (Slow): predicted", "measured", "cost of the study"):
        assert words in text
    assert "--price 0.1 2 3" in text
    assert text.count('id="devices-seconds"') == 1
    said = page.summaries(files, prices=(0.1, 2.0, 3.0))
    assert len(said["predicted"]["devices"]) == 3
    assert "predicted" not in page.summaries(files[:1])


def test_what_can_t_be_predicted_is_refused(files, tmp_path):
    write = lambda *sources, **how: page.write(list(sources), tmp_path / "page.html", **how)
    with pytest.raises(
        ValueError, match="first.json has the times of a study’s steps; name the directory of the study"
    ):
        write(files[1])
    with pytest.raises(ValueError, match="prices are for the devices of records; name records of mlp-jax bench"):
        write(files[0], prices=(1.0,))
    lacking = parsed_json(files[1])
    lacking["cells"] = lacking["cells"][1:]
    files[1].write_text(json.dumps(lacking))
    with pytest.raises(ValueError, match="first.json lacks sgd at batch size"):
        write(*files)
    other = plan.changed(STUDY, {"hidden": (99,)}, {})
    bench.write(record({"sgd": 1, "adam": 1}, of=other), files[1])
    with pytest.raises(ValueError, match="is of another workload"):
        write(*files)


def test_a_study_without_a_winner_predicts_nothing(files):
    entry = entries.read(files[0], page.AS_ASKED)._replace(found=None)
    with pytest.raises(ValueError, match="has no winner yet, so nothing can be predicted; let it run on"):
        entries.devices([entry], [(files[1], FIRST)], ())
