"""The page of a run: what it says is what the run has found, for classes, pictures and real targets alike."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from mlp_jax import Config, train
from mlp_jax.machine import parquet
from mlp_jax.report import runs, seal
from mlp_jax.training import classes, prediction
from mlp_jax.training.run import Run

QUICK = {"epochs": 4.0, "evaluations": 4, "hidden": (8,)}


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.figures, self.labels, self.links = [], [], [], []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.figures += [values["id"]] if tag == "figure" else []
        self.labels += [values["aria-label"]] if values.get("role") == "img" else []
        self.links += [values[name] for name in ("src", "href") if name in values]

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("script", "style"):
            self.words.append(data)


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch | None = None, **asked) -> tuple[Run, Reader, Path]:
    if monkeypatch is not None:
        monkeypatch.setattr(runs.canvas, "inline", lambda figure, name: Markup("<svg></svg>"))
    run = train(Config(**QUICK | asked), out=tmp_path / "run")
    path = runs.write(run, tmp_path / "run")
    return run, Reader(path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_the_page_of_a_classifier_of_pictures(tmp_path):
    run, seen, path = written(tmp_path, dataset="digits")
    assert path == tmp_path / "run" / "report.html"
    assert path.stat().st_size < 1e6
    assert seen.figures == ["loss", "score", "confusion", "wrong", "weights", "network"]
    assert len(seen.labels) == 6
    assert all(len(label) > 20 for label in seen.labels)
    assert not [link for link in seen.links if not link.startswith(("#", "data:"))]
    counts = np.array(run.per_class("test")["confusion"])
    wrong = counts.sum() - np.trace(counts)
    assert f"Of {counts.sum()} test examples {wrong} are taken for another class." in seen.text
    assert f"Training is COMPLETE after {run.steps} steps of 32 examples" in seen.text
    for name in ("0", "9"):
        recall = run.per_class("test")["recall"][name]
        assert f"{recall:.3g}" in seen.text
    assert "mlp-jax predict" in seen.text
    assert "jaxlib" in seen.text


def test_the_examples_that_are_listed_are_the_surest_mistakes(tmp_path, monkeypatch):
    run, seen, _ = written(tmp_path, monkeypatch, dataset="digits", epochs=1.0)
    split = run.dataset.test
    z = classes.scores(run.cell.network, run.params, run.dataset, split)
    shares = classes.probabilities(run.cell.network, z)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    found = runs._wrong(shares, classes.predicted(run.cell.network, z), split, list(run.dataset.classes))
    assert len(found) == np.sum(shares.argmax(axis=1) != split.y)
    assert [each.of_label for each in found] == sorted((each.of_label for each in found), reverse=True)
    for each in found[:5]:
        assert each.truth == run.dataset.classes[split.y[each.number]] != each.label
        assert each.of_truth == pytest.approx(shares[each.number, split.y[each.number]])
    assert f"24 of {len(found)}" in seen.text


@pytest.mark.slow
def test_what_is_wrong_is_what_is_counted_where_two_probabilities_round_to_one(tmp_path, monkeypatch):
    z = np.tile(np.array([0, 1e-9, 0], np.float32), (30, 1))
    monkeypatch.setattr(runs.classes, "scores", lambda *_: z)
    run, seen, _ = written(tmp_path, monkeypatch, dataset="iris")
    assert f"Of 30 test examples {np.sum(run.dataset.test.y != 1)} are taken for another class." in seen.text
    tied = prediction._answer(prediction.read(tmp_path / "run"), "it", z[0], None)
    assert tied.label == run.dataset.classes[1]


@pytest.mark.slow
def test_a_table_of_two_classes_has_no_pictures(tmp_path, monkeypatch):
    _, seen, _ = written(tmp_path, monkeypatch, dataset="breast_cancer")
    assert seen.figures == ["loss", "score", "confusion", "network"]
    assert "Every class" in seen.text


@pytest.mark.slow
def test_real_targets_are_compared_with_the_truth(tmp_path, monkeypatch):
    run, seen, _ = written(tmp_path, monkeypatch, dataset="diabetes")
    assert seen.figures == ["loss", "score", "predicted", "network"]
    error = run.metrics["test_rmse"]
    assert f"On the test part the RMSE is {error:.3g}" in seen.text
    assert "Where it is furthest off" in seen.text
    assert "accuracy" not in seen.text


def test_a_run_that_failed_says_so_and_has_no_results_per_class(tmp_path, monkeypatch):
    run, seen, _ = written(tmp_path, monkeypatch, dataset="iris", learning_rate=1e30)
    assert run.status == "INFEASIBLE"
    assert f"The loss was not finite at step {run.failed}: try a smaller learning rate." in seen.text
    assert "confusion" not in seen.figures
    assert "mlp-jax predict" not in seen.text
    assert not {"nan", "inf"} & set(seen.text.lower().split())


@pytest.mark.slow
def test_without_a_test_part_the_page_speaks_of_the_validation_part(tmp_path, monkeypatch):
    _, seen, _ = written(tmp_path, monkeypatch, dataset="iris", test=0)
    assert "validation examples" in seen.text
    assert "mlp-jax predict" not in seen.text, "it has no example to predict"
    _, seen, path = written(tmp_path / "a b", monkeypatch, dataset="iris")
    assert f"mlp-jax predict '{path.parent}' --index 0" in seen.text


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 2, 2, 2)])
@pytest.mark.slow
def test_examples_that_are_no_pictures_are_not_drawn_as_such(tmp_path, monkeypatch, shape):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "it.npz", x=rng.integers(0, 256, (60, *shape)).astype(np.uint8), y=np.arange(60) % 2)
    _, seen, _ = written(tmp_path, monkeypatch, dataset=str(tmp_path / "it.npz"), epochs=1.0)
    assert seen.figures == ["loss", "score", "confusion", "network"]


def test_a_page_that_was_changed_is_noticed(tmp_path, monkeypatch):
    _, _, path = written(tmp_path, monkeypatch, dataset="iris")
    (looked,) = seal.check_run(path.parent)
    assert (looked.said, looked.wrong) == ("sound", False)
    history = path.with_name("metrics.parquet")
    kept = history.read_bytes()
    parquet.write(history, {"step": np.arange(3)})
    (looked,) = seal.check_run(path.parent)
    assert (looked.said.partition(";")[0], looked.wrong) == ("sound, but not made from what is there now", False)
    for other in (lambda: None, lambda: os.mkfifo(history), lambda: history.symlink_to("/dev/zero")):
        history.unlink(missing_ok=True)
        other()
        (looked,) = seal.check_run(path.parent)
        assert (looked.said, looked.wrong) == ("sound; what it was made from can't be read now", False)
    history.unlink()
    history.write_bytes(kept)
    path.write_text(path.read_text().replace("COMPLETE", "complete"))
    (looked,) = seal.check_run(path.parent)
    assert looked.wrong
    path.unlink()
    assert seal.check_run(path.parent) == []
