"""The rival's part of the benchmark: its trials are those of our protocol, its optimizers have our constants."""

import dataclasses

import numpy as np
import pytest

from mlp_jax import optimizers
from mlp_jax.study import Study, cells
from mlp_jax.training import config as configs

torch = pytest.importorskip("torch")
STUDY = Study(optimizers=("sgd", "momentum", "adagrad", "rmsprop"), batch_sizes=(64,), max_steps=400, target=0.9)


@pytest.fixture(scope="module")
def tuned_answer(load_script):
    return load_script("benchmarks/tuned_answer.py")


@pytest.fixture(scope="module")
def rows(tuned_answer):
    return tuned_answer._rows(STUDY)


def cell_of(optimizer: str):
    facts = cells.facts(STUDY, configs.load_data(STUDY.workload))
    return next(cell for cell in cells.of(STUDY, facts) if cell.optimizer == optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY.optimizers)
def test_a_trial_meets_the_target_about_where_ours_does(tuned_answer, rows, name):
    """Median of three seeds at one rate, against ours: within a third, as both are luck."""
    from mlp_jax.training.population import train_many

    cell, rate = cell_of(name), optimizers.table(name)["learning_rate"].default
    theirs = [tuned_answer.trained(cell, rows, rate, seed, 1600, lambda *_: None) for seed in range(3)]
    ours = train_many(cell.config, seeds=np.arange(3), evaluation_share=1.0).steps_to_target
    assert np.median(theirs) == pytest.approx(np.median(ours), rel=1 / 3)


@pytest.mark.slow
def test_a_trial_is_missed_at_its_limit_and_a_pruner_may_end_it(tuned_answer, rows):
    cell, seen = cell_of("sgd"), []
    assert tuned_answer.trained(cell, rows, 1e-6, 0, 30, lambda look, score: seen.append(look)) == np.inf
    assert seen == list(range(len(seen)))
    with pytest.raises(KeyboardInterrupt):
        tuned_answer.trained(cell, rows, 1e-6, 0, 30, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


def test_mini_batches_are_an_epoch_without_repetition(tuned_answer):
    batches = tuned_answer._batches(10, 3)
    epochs = [torch.cat([next(batches) for _ in range(3)]) for _ in range(2)]
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_the_line_of_theirs_is_ours(tuned_answer):
    steps = {("sgd", size): 50 * (1 + 80 / size) for size in (1, 8, 64, 512)}
    study = dataclasses.replace(STUDY, optimizers=("sgd",), spaces={}, batch_sizes=(1, 8, 64, 512))
    assert tuned_answer.line(study, steps) == {"sgd": pytest.approx(80, rel=1e-3)}


def test_what_has_ended_is_kept_with_its_misses(tuned_answer, tmp_path):
    found = (1.5, [("sgd", 8, np.inf)])
    first = tuned_answer.kept(tmp_path / "one.json", lambda: found)
    again = tuned_answer.kept(tmp_path / "one.json", lambda: pytest.fail("it was made again"))
    assert first == again == (1.5, [["sgd", 8, np.inf]])


def test_what_was_interrupted_is_timed_from_its_start(tuned_answer, tmp_path, monkeypatch):
    left = [tmp_path / "cold" / "out" / "study.json", tmp_path / "cache" / "program"]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()

    def run(*_, **__):
        assert not any(path.exists() for path in left)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuned_answer.subprocess, "run", run)
    with pytest.raises(KeyboardInterrupt):
        tuned_answer.answer(STUDY, tmp_path, record=False)


def test_what_is_kept_of_another_study_is_not_taken(tuned_answer, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(tuned_answer, "answer", lambda study, folder, record: asked.append(folder))
    for options in ([], ["--quick"]):
        monkeypatch.setattr("sys.argv", ["tuned_answer.py", "--out", str(tmp_path), *options])
        tuned_answer.main()
    assert len({tmp_path, *asked}) == 3
