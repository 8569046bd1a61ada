"""A study that a command or a script runs: found once, kept, and nothing returned where it is not whole."""

import dataclasses
import json
import os

import pytest
from sklearn.datasets import load_iris

from mlp_jax import Config
from mlp_jax.cli import studies
from mlp_jax.data.options import Options
from mlp_jax.report import page as report
from mlp_jax.study import Study, from_file, read_plan, to_json

STUDY = Study(
    workload=Config(dataset="iris", hidden=()),
    optimizers=("sgd",),
    batch_sizes=(8,),
    method="halton",
    points=2,
    seeds=1,
    max_steps=40,
)


@pytest.mark.slow
def test_what_is_there_is_found_again_and_its_page_is_left_alone(tmp_path, capsys):
    assert not studies.find(STUDY, tmp_path, interrupted=lambda: True, quiet=True).complete
    _, found, page = studies.find(STUDY, tmp_path, quiet=True)
    assert found is not None
    assert page is not None
    assert list(found.scaling) == ["sgd"]
    before = page.stat().st_mtime_ns
    again = studies.find(STUDY, tmp_path, quiet=True).findings
    assert again is not None
    assert again.cells.equals(found.cells)
    assert page.stat().st_mtime_ns == before
    page.unlink()
    studies.find(STUDY, tmp_path, quiet=True)
    assert "<svg" in page.read_text()
    assert capsys.readouterr().out == ""


def test_the_file_of_a_study_is_read_as_it_was_written_whatever_the_machine_s_encoding(tmp_path, monkeypatch):
    monkeypatch.setattr("io.text_encoding", lambda encoding, stacklevel=2: encoding or "latin-1")
    file = tmp_path / "study.toml"
    assert studies.study(dataset="größe.csv", options=Options(column="größe"), save_config=file) == 0
    assert from_file(file).workload.column == "größe"


@pytest.mark.slow
def test_a_table_is_studied_as_the_data_that_it_holds(call, tmp_path):
    """--column names what to predict, and --target the accuracy to reach."""
    iris = load_iris(as_frame=True)
    iris.data.assign(species=iris.target_names[iris.target]).to_csv(tmp_path / "t.csv", index=False)
    how = ("--hidden", "--optimizers", "sgd", "--batch-sizes", "8", "--method", "halton", "--points", "2", "--seeds",
           "1", "--fresh-seeds", "1", "--max-steps", "200", "--target", "0.8")  # fmt: skip
    code, out, err = call(
        "study", "--dataset", tmp_path / "t.csv", "--column", "species", *how, "--out", tmp_path / "table", "--json"
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert 0 < found["steps_to_target"]["sgd"]["8"] < 200
    workload = Config(dataset="iris", hidden=(), validation=0.2)
    same = dataclasses.replace(STUDY, workload=workload, fresh_seeds=1, max_steps=200, target=0.8)
    findings = studies.find(same, tmp_path / "iris", quiet=True, write=False).findings
    assert findings is not None
    expected = to_json(findings)
    for name in ("steps_to_target", "best_learning_rate", "definition", "trials"):
        assert found[name] == expected[name]


@pytest.mark.slow
def test_rounds_are_added_until_the_interval_is_narrow_or_no_more_are_asked(tmp_path):
    study = Study(
        workload=Config(dataset="iris", hidden=()), optimizers=("sgd",), batch_sizes=(4, 16, "full"), fresh_seeds=1,
        target=0.9, evaluations=60, max_epochs=40.0,
    )  # fmt: skip
    whole, took = studies.find_until(study, tmp_path, 1.01, 2, quiet=True)
    assert whole.complete
    assert whole.page is not None
    assert "B_crit within a factor of 1.01: no optimizer, after 1 looks" in took
    assert "not within it: sgd (" in took
    assert read_plan(tmp_path).rounds == 2
    more, took = studies.find_until(study, tmp_path, 1e6, 3, quiet=True)
    assert more.findings is not None
    assert "after 1 looks" in took or "after 2 looks" in took
    stopped, took = studies.find_until(study, tmp_path / "other", 2.0, 3, quiet=True, interrupted=lambda: True)
    assert (stopped.complete, took) == (False, "")


def test_the_self_test_says_how_often_intervals_hold(monkeypatch, capsys):
    monkeypatch.setattr(studies, "SELF_TESTS", 4)
    monkeypatch.setattr(studies, "SELF_TEST_RESAMPLES", 20)
    assert studies.self_test(json=False) == 0
    text = capsys.readouterr().out
    assert "in 4 studies drawn from real trials" in text
    assert all(name in text for name in ("sgd", "momentum", "rmsprop", "B_crit"))
    assert studies.self_test(json=True) == 0
    assert json.loads(capsys.readouterr().out)["studies"] == 4


def test_what_was_killed_while_it_wrote_a_page_leaves_neither_an_old_page_nor_half_of_one(tmp_path):
    page = studies.find(STUDY, tmp_path, quiet=True).page
    assert page is not None
    left = [tmp_path / "report.html.7.partial", tmp_path / "figures/steps.svg.7.partial"]
    for path in left:
        path.write_text("half")
    before = page.stat().st_mtime_ns
    studies.find(STUDY, tmp_path, quiet=True)
    assert page.stat().st_mtime_ns == before
    assert not any(path.exists() for path in left)


@pytest.mark.slow
def test_a_page_that_was_made_before_the_last_part_is_written_again_however_late_it_came(tmp_path):
    """One reads the study while its last part is missing, and writes its page after all else has ended."""
    page = studies.find(STUDY, tmp_path, quiet=True).page
    assert page is not None
    (part,) = (tmp_path / "winners").iterdir()
    rows = part.read_bytes()
    part.unlink()
    report.write((tmp_path,), page)
    part.write_bytes(rows)
    os.utime(part, (0, 0))
    assert "This study is not finished" in page.read_text()
    studies.find(STUDY, tmp_path, quiet=True)
    assert "This study is not finished" not in page.read_text()


@pytest.mark.parametrize("harm", [lambda text: text[:-100], lambda text: text.replace("</p>", "<p>", 1), lambda _: ""])
@pytest.mark.slow
def test_a_damaged_page_is_written_again(tmp_path, harm):
    page = studies.find(STUDY, tmp_path, quiet=True).page
    assert page is not None
    whole = page.read_text()
    page.write_text(harm(whole))
    studies.find(STUDY, tmp_path, quiet=True)
    assert page.read_text() == whole
