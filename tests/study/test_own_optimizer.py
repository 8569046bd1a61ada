"""An optimizer of one's own in a study: beside sgd, on the page, after a kill, in two processes and on Ray."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from own_optimizer import MODULE
from pandas.testing import assert_frame_equal

from mlp_jax import cli, optimizers
from mlp_jax.report import page
from mlp_jax.report.looks import LOOKS
from mlp_jax.study import Space, Study, from_toml, read_plan, read_study, run, to_toml
from mlp_jax.study import cells as study_cells
from mlp_jax.study.growth import grown
from mlp_jax.training.config import Config, load_data

OWN = "mine.own:OWN"
PATIENCE = 400


def tiny(**changes) -> Study:
    """sgd and an optimizer of one's own on iris, both with fixed spaces so that nothing is left to luck."""
    spaces = {
        "sgd": {"learning_rate": Space(low=0.1, high=10)},
        OWN: {"learning_rate": Space(low=0.01, high=1), "rho": Space(choices=(0.25,)), "gamma": Space(choices=(2.0,))},
    }
    fields = {
        "workload": Config(dataset="iris", hidden=(4,), validation=0.2), "optimizers": ("sgd", OWN),
        "batch_sizes": (16, "full"), "rounds": 1, "fresh_seeds": 2, "max_epochs": 10.0, "target": 0.8,
        "evaluations": 20, "spaces": spaces,
    }  # fmt: skip
    return Study(**fields | changes)


def table(directory: Path) -> pandas.DataFrame:
    """Return all rows but their clock, in one order."""
    rows = read_study(directory).drop(columns="training_seconds")
    return rows.sort_values(["trial", "step"], ignore_index=True)


@pytest.mark.slow
def test_it_is_studied_beside_sgd_resumed_and_reported(own_module, tmp_path, monkeypatch) -> None:
    own_module("mine.own", MODULE)
    study, out = tiny(), tmp_path / "study"
    assert study.versions == {OWN: optimizers.version(OWN)}
    asked = iter([*[False] * 3, *[True] * 99])
    assert not run(study, out, interrupted=lambda: next(asked)).complete
    assert run(study, out).complete
    assert run(tiny(), tmp_path / "at once").complete
    assert_frame_equal(table(out), table(tmp_path / "at once"))
    rows = read_study(out)
    own = rows[rows["optimizer"] == OWN]
    assert set(own["rho"]) == {0.25}
    assert set(own["gamma"]) == {2.0}
    assert rows[rows["optimizer"] == "sgd"]["rho"].isna().all()
    text = page.write((out,), out / "report.html").read_text(encoding="utf-8")
    assert OWN in text
    assert LOOKS[OWN][0] in text

    own_module("mine.own", MODULE + "\n# changed\n")
    with pytest.raises(ValueError, match=r"another study \(the module of mine.own:OWN '\w+' there, '\w+' here\)"):
        run(tiny(), out)
    with pytest.raises(ValueError, match="its module is now .*: bring that back, or start another study"):
        run(read_plan(out), out)
    assert_frame_equal(table(out), table(tmp_path / "at once"))  # what is there can be read
    ids = [{cell.id for cell in study_cells.of(each, study_cells.Facts("f", 96, "s"))} for each in (study, tiny())]
    assert len(ids[0] & ids[1]) == 2  # sgd's alone


def test_what_is_not_built_in_is_in_the_identity_and_not_in_the_toml(own_module) -> None:
    plain = Study(optimizers=("sgd",))
    own_module("mine.own", MODULE)
    study = tiny()
    assert "versions" not in to_toml(study)
    assert from_toml(to_toml(study)) == study
    assert not plain.versions
    whole = grown(dataclasses.replace(study, optimizers=("sgd",), spaces={"sgd": study.spaces["sgd"]}), study)
    assert whole == study
    assert dataclasses.replace(study, optimizers=("sgd",), spaces={}).versions == {}
    own_module("mine.own", MODULE + "\n# changed\n")
    assert tiny().id != study.id


def test_a_report_whose_module_is_gone_says_so(own_module, tmp_path, capsys) -> None:
    own_module("mine.own", MODULE)
    out = tmp_path / "study"
    asked = iter([False, True, True, True])
    run(tiny(), out, interrupted=lambda: next(asked, True))
    own_module("mine.other", MODULE)
    (tmp_path / "modules" / "mine" / "own.py").unlink()
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(out)])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.err.count("\n")) == (2, 1)
    assert "there is no module 'mine.own'; start in the folder that holds it, or install it" in captured.err


@pytest.mark.slow
def test_a_study_asks_for_a_schedule_and_searches_its_hyperparameters(tmp_path) -> None:
    space = {
        "learning_rate": Space(low=0.1, high=10), "final_factor": Space(low=1e-3, high=1.0),
        "warmup_share": Space(low=0.0, high=0.4, scale="linear"),
    }  # fmt: skip
    changes = {"optimizers": ("sgd",), "spaces": {"sgd": space}, "batch_sizes": (16,), "schedule": "cosine"}
    study = tiny(**changes)
    dataset = load_data(study.workload)
    (cell,) = study_cells.of(study, study_cells.facts(study, dataset))
    assert cell.space["schedule_steps"] == Space(choices=(cell.budget,))
    assert cell.config.steps == 4 * cell.budget
    assert run(study, tmp_path / "study").complete
    rows = read_study(tmp_path / "study")
    assert set(rows["schedule_steps"]) == {cell.budget}
    assert rows["warmup_share"].between(0.0, 0.4).all()
    assert rows["final_factor"].nunique() > 5
    assert tiny(**changes | {"schedule": "linear"}).id != study.id
    assert from_toml(to_toml(study)) == study
    for given, message in (
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; choose one of constant, cosine"),
        ({"schedule": "constant"}, "optimizer 'sgd' has no hyper-parameter 'final_factor'; it has learning_rate, clip"),
        ({"spaces": {"sgd": {"schedule_steps": Space(choices=(5.0,))}}}, "schedule_steps is the budget of a cell"),
        ({"spaces": {"sgd": space | {"warmup_share": Space(low=0.0, high=1.0, scale="linear")}}}, "warmup_share 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny(**changes | given)


def launch(path: Path, toml: Path, out: Path, *options: str) -> subprocess.Popen:
    """Start `mlp-jax study` in a process of its own, which finds the module in its folder."""
    command = [sys.executable, "-m", "mlp_jax", "study", str(toml), "--out", str(out), "--json", *options]
    paths = os.pathsep.join([str(path.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def written(own_module, tmp_path) -> tuple[Path, Path, Path]:
    """The module, the study.toml, and the directory of the same study run here in one go."""
    path, toml, out = own_module("mine.own", MODULE), tmp_path / "study.toml", tmp_path / "whole"
    toml.write_text(to_toml(tiny()))
    assert run(tiny(), out).complete
    return path, toml, out


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on(written, tmp_path) -> None:
    path, toml, whole = written
    out = tmp_path / "killed"
    first, begin = launch(path, toml, out), time.monotonic()
    while not list(out.rglob("*.parquet")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() - begin < PATIENCE
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said, err = launch(path, toml, out).communicate(timeout=PATIENCE)
    assert set(json.loads(said)["best_batch_size"]) == {"sgd", OWN}, err
    assert_frame_equal(table(out), table(whole))
    path.write_text(MODULE + "\n# changed\n")
    again = launch(path, toml, out)
    said, err = again.communicate(timeout=PATIENCE)
    assert (again.returncode, said, err.count("\n")) == (2, "", 1)
    assert "holds another study (the module of mine.own:OWN" in err


@pytest.mark.slow
def test_two_processes_share_it(written, tmp_path) -> None:
    path, toml, whole = written
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--distributed", "--coordinator", address, "--num-processes", "2", "--process-id")
    both = [launch(path, toml, tmp_path / "shared", *options, str(index)) for index in range(2)]
    try:
        said = [process.communicate(timeout=PATIENCE) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    assert_frame_equal(table(tmp_path / "shared"), table(whole), rtol=1e-4)


@pytest.mark.slow
def test_ray_is_given_it(written, tmp_path) -> None:
    """The module lies where only the driver finds it, so the workers must be given its code."""
    pytest.importorskip("ray")
    path, toml, whole = written
    process = launch(path, toml, tmp_path / "ray", "--ray", "local")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert set(json.loads(out)["best_batch_size"]) == {"sgd", OWN}
    assert_frame_equal(table(tmp_path / "ray"), table(whole), rtol=1e-4)
