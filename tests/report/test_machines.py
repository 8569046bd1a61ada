"""Machines side by side: every device on one figure, where it stops gaining, and what does not compare."""

import json
import re
from pathlib import Path

import pytest

from mlp_jax.machine import files
from mlp_jax.report import machines, page


def test_machines_are_named_by_file_and_device(two):
    assert [each.label for each in machines.read(two)] == ["a (One, 2 cores)", "b (Two)"]
    assert machines.labels([(Path("x/s"), "s", {}), (Path("y/s"), "s", {})]) == [
        "x/s (unknown device)",
        "y/s (unknown device)",
    ]


def test_every_device_has_a_line_of_its_own_and_a_ring_where_it_stops_gaining(two):
    drawn = machines.draw(machines.read(two))
    axes = drawn["throughput"].axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert [line.get_ydata().tolist() for line in lines] == [[10, 95, 100], [5, 300, 900]]
    assert lines[0].get_color() != lines[1].get_color()
    rings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
    assert rings == [(64, 95), (4096, 900)]
    times = [line.get_ydata().tolist() for line in drawn["step_times"].axes[0].lines]
    assert times[0] == pytest.approx([1e5, 64e6 / 95, 4096e4])
    assert len(times) == 2
    labels = [text.get_text() for text in drawn["throughput"].legends[0].get_texts()]
    assert labels == ["a (One, 2 cores)", "b (Two)"]


def test_sentences_say_who_is_fastest_where_gains_end_and_what_did_not_fit(tmp_path, two):
    found = files.parsed_json(two[0])
    found["networks"]["small"]["batch"].append({"batch_size": 65536, "error": "one trial needs 9 MiB"})
    two[0].write_text(json.dumps(found))
    said = " ".join(machines.sentences(machines.read(two))).replace("\u00a0", " ")
    assert "The small network takes the most examples per second on b (Two): 900." in said
    assert "B = 64 on a (One, 2 cores), B = 4,096 on b (Two) (the largest that was measured" in said
    assert "On a (One, 2 cores), B = 65,536 was not measured: one trial needs 9 MiB" in said
    cells = [entry.text for row in machines.tables(machines.read(two))[1].rows for entry in row]
    assert "one trial needs 9 MiB" in cells


def test_tables_state_precision_and_its_effect(two):
    rows = machines.tables(machines.read(two))[2].rows
    said = {(row[0].text, row[1].text): [cell.text for cell in row[-2:]] for row in rows}
    assert said["b (Two)", "default"] == ["−0.01 [−0.02, 0.01]", "no difference found"]
    assert said["b (Two)", "high"] == ["–", "bit for bit as default"]
    assert said["a (One, 2 cores)", "tf32"] == ["–", "not supported on CPU"]
    assert len({len(row) for row in rows}) == 1


def test_differences_are_cautions(two, record, tmp_path):
    found = machines.read([*two, record(tmp_path / "c.json", rounds=1)])
    said = machines.differing({each.label: each.environment for each in found})
    words = "matmul precision is default in a (One, 2 cores), highest in b (Two), default in c (One, 2 cores)."
    assert f"Precision differs: {words}" in said
    assert any(sentence.startswith("Software differs: jax is 0.10.2 in a") for sentence in said)
    assert machines.cautions(found)[0].startswith(
        "Protocol differs: the records were not measured with the same effort"
    )
    assert machines.cautions(found[:2]) == []


def test_records_alone_make_a_page(two, tmp_path):
    text = page.write(two, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>Machines</title>" in text
    assert text.count("<svg") == 2
    assert "Precision differs: matmul precision is default in a" in text
    assert not re.search(r"https?:", text)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}{suffix}" for name in ("step_times", "throughput") for suffix in (".png", ".pdf")
    }
    assert page.summaries(two)["machines"][0]["stops_gaining"]["small"]["batch_size"] == 64


def test_where_nothing_fits_the_page_still_stands(record, tmp_path):
    path = record(tmp_path / "a.json", {})
    text = page.write([path], tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 2


def test_a_file_that_is_no_record_is_refused(tmp_path, two):
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"other\.json is not a record of mlp-jax bench"):
        page.write([*two, tmp_path / "other.json"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
