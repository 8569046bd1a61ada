"""What is shown while training goes on."""

import dataclasses
import sys
import time

import numpy as np
import pytest

from mlp_jax.cli import progress
from mlp_jax.training import population, run, timetable
from mlp_jax.training.config import Config, load_data
from mlp_jax.training.task import make_cell
from mlp_jax.training.trials import Progress

QUICK = Config(dataset="iris", hidden=(4,), epochs=2.0, evaluations=2)


def test_plain_lines_of_a_run(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(timetable, "GLANCE_ALONE", 1e-9)
    with progress.live_line() as show:
        run.train(QUICK, progress=show)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3
    for line in lines:
        for text in ("epoch ", "step ", " loss ", "validation_accuracy 0.", "examples/s", "s left"):
            assert text in line
        assert "training_seconds" not in line
    with progress.live_line(quiet=True) as show:
        run.train(QUICK, progress=show)
    assert capsys.readouterr().err == ""


def test_plain_lines_and_table_of_a_population(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    shown = []
    with progress.live_table() as show:
        both = lambda told: (shown.append(told), show(told))
        population.train(dataclasses.replace(QUICK, batch_size=8), {}, np.arange(3), progress=both)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("cell momentum B=8 · running ")
    assert "trial-steps/s" in lines[-1]
    table = progress._table(shown[-1])
    assert [column.header for column in table.columns] == [
        "cell", "running", "done", "infeasible", "best", "trial-steps/s", "left",
    ]  # fmt: skip


def test_several_populations_are_rows_of_one_table():
    cells = [make_cell(dataclasses.replace(QUICK, batch_size=size), load_data(QUICK)) for size in (8, 16)]
    each = [
        Progress(
            cell=cell, total_steps=9, step=3, epoch=0.1, batch_loss=0.3, metrics={}, running=1, done=2, infeasible=3,
            best=0.5, trial_steps_per_second=1e3, left=4.0,
        )
        for cell in cells
    ]  # fmt: skip
    table = progress._table(*each)
    assert list(table.columns[0].cells) == ["momentum B=8", "momentum B=16"]
    assert [line.split(" · ")[0] for line in progress._rows(*each).splitlines()] == [
        "cell momentum B=8", "cell momentum B=16",
    ]  # fmt: skip


@pytest.mark.slow
def test_one_line_that_changes_on_a_terminal(monkeypatch):
    import os
    import pty
    import subprocess
    import sys

    parent, child = pty.openpty()
    command = [sys.executable, "-m", "mlp_jax", "train", "--hidden", "64", "--seconds", "1.5", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, env=os.environ | {"TERM": "xterm"})
    os.close(child)
    written = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:
            break
        if not part:
            break
        written += part
    process.communicate()
    os.close(parent)
    assert process.returncode == 0
    assert b"examples/s" in written
    assert b"Traceback" not in written


def test_silence_is_broken_and_speech_is_not(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.1)
    with progress.never_silent():
        time.sleep(0.35)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 3
    assert set(lines) == {"at work, 0 s"}
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.6)
    stream = sys.stderr
    with progress.never_silent():
        for _ in range(8):
            time.sleep(0.1)
            print("said", file=sys.stderr)
    assert sys.stderr is stream
    assert "at work" not in capsys.readouterr().err
