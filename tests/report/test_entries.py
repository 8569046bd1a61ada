"""What a report is about is read from the disk once, as it was at one time."""

import dataclasses

from study_by_hand import STUDY, study

from mlp_jax.report import entries
from mlp_jax.report.reading import AS_ASKED
from mlp_jax.study import contents


def test_a_study_that_grows_while_it_is_read_is_read_as_it_was(tmp_path, monkeypatch):
    asked = dataclasses.replace(STUDY, rounds={"sgd": 1, "adam": 2})
    directory = study(tmp_path / "a", asked, complete=0)
    grown = dataclasses.replace(
        asked, optimizers=("sgd", "adam", "momentum"), rounds={"sgd": 1, "adam": 2, "momentum": 3}
    )
    first = iter([asked])
    monkeypatch.setattr(contents, "read_plan", lambda directory: next(first, grown))
    entry = entries.read(directory, AS_ASKED)
    assert {cell.optimizer for cell in entry.progress.cells} == set(entry.study.optimizers)
