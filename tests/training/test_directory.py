"""What training leaves on disk: never another run's, never on other data."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mlp_jax.machine import parquet
from mlp_jax.machine.clocks import Clock
from mlp_jax.training import loop, population, run, task, timetable
from mlp_jax.training.config import Config
from mlp_jax.training.directory import Directory, RunDirectory
from mlp_jax.training.trials import Trials

IRIS = Config(dataset="iris", hidden=(4,), batch_size=8, steps=6, evaluations=2)


def trials(config: Config = IRIS, count: int = 1) -> Trials:
    asked = task.resolve(config)
    return Trials(asked, {name: np.full(count, value) for name, value in asked.hyper().items()}, np.arange(count))


def test_a_damaged_configuration_is_named(tmp_path):
    RunDirectory(tmp_path, trials(), resume=False)
    (tmp_path / "config.json").write_text('{"datas')
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        RunDirectory(tmp_path, trials(), resume=True)
    assert (tmp_path / "config.json").read_text() == '{"datas'


def test_what_an_interrupted_write_left_does_not_block_the_directory(tmp_path):
    (tmp_path / "config.json.123.partial").write_text("{")
    RunDirectory(tmp_path, trials(), resume=False)
    assert (tmp_path / "config.json").exists()


def test_one_process_alone_trains_in_a_directory(tmp_path):
    first = RunDirectory(tmp_path, trials(), resume=False)
    for kind in (RunDirectory, Directory):
        with pytest.raises(ValueError, match="is where another process trains now; wait until"):
            kind(tmp_path, trials(), resume=True)
    first.close()
    RunDirectory(tmp_path, trials(), resume=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_directory_is_free_again_where_what_is_written_can_not_be_ended(tmp_path):
    first = RunDirectory(tmp_path, trials(), resume=False)

    class Broken:
        def close(self) -> None:
            raise OSError("the disk has gone")

    first._checkpoints = Broken()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(OSError, match="the disk has gone"):
        first.close()
    RunDirectory(tmp_path, trials(), resume=True).close()


def write_table(path, changed: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    np.savez(path, x=x + changed, y=(x[:, 0] > 0).astype(int))


def test_a_run_on_data_that_changed_is_refused_and_left_as_it_was(tmp_path):
    write_table(tmp_path / "d.npz", changed=False)
    config = Config(dataset=str(tmp_path / "d.npz"), hidden=(4,), batch_size=8, steps=6)
    run.train(config, out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    write_table(tmp_path / "d.npz", changed=True)
    with pytest.raises(ValueError, match="holds a run on other data"):
        run.train(config, out=tmp_path / "run", resume=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_a_run_that_goes_on_keeps_the_description_of_where_it_began(tmp_path):
    run.train(IRIS, out=tmp_path)
    (tmp_path / "environment.json").write_text('{"jax": "of yesterday"}')
    run.train(IRIS, out=tmp_path, resume=True)
    assert json.loads((tmp_path / "environment.json").read_text()) == {"jax": "of yesterday"}


def test_a_run_saved_without_its_status_goes_on(tmp_path):
    """Checkpoints of the first versions hold a history and seconds alone."""
    whole = run.train(IRIS, out=tmp_path)
    from mlp_jax.machine.checkpoint import Checkpoints

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    state, note = checkpoints.restore(lambda _: whole.state)
    checkpoints.close()
    older = {name: note[name] for name in ("history", "seconds")}
    import shutil

    shutil.rmtree(tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(6, state, older)
    checkpoints.close()
    again = run.train(IRIS, out=tmp_path, resume=True)
    assert (again.status, again.steps, again.metrics) == (whole.status, whole.steps, whole.metrics)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.slow
def test_training_goes_on_from_the_newest_sound_checkpoint_to_the_same_numbers(tmp_path, count, monkeypatch):
    """One trial and several, interrupted twice; weights of the newer checkpoint are damaged as by a bad disk."""
    config = dataclasses.replace(IRIS, steps=12, evaluations=4)

    def train(out, interrupted=lambda: False):
        rates = {"learning_rate": np.geomspace(0.01, 0.1, count)}
        options = {"keep_params": True, "out": out, "resume": out.exists(), "evaluation_share": 1.0}
        return population.train_many(config, rates, np.arange(count), interrupted=interrupted, **options)

    def after(looks: int):
        left = iter(range(looks))
        return lambda: next(left, None) is None

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(timetable, "GLANCE", 0.0)
    whole = train(tmp_path / "whole")
    train(tmp_path / "run", after(3))
    train(tmp_path / "run", after(3))
    steps = sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert len(steps) == 2
    for path in (tmp_path / "run" / "checkpoints" / str(steps[-1]) / "tree" / "d").iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 64
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"can't read checkpoint {steps[-1]} in .*; going by checkpoint {steps[0]}"):
        found = train(tmp_path / "run")
    for mine, other in zip(jax.tree.leaves(found.params), jax.tree.leaves(whole.params)):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(found.history["validation_loss"], whole.history["validation_loss"])


def test_trials_that_were_killed_between_their_end_and_its_evaluation_are_evaluated_as_they_were(tmp_path, monkeypatch):
    """Their states of a step before, which an earlier checkpoint had, once gave the test accuracy of chance."""

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    config = dataclasses.replace(IRIS, steps=12, evaluations=4, test=0.2)
    train = lambda **where: population.train_many(config, seeds=np.arange(3), timed=True, **where)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(timetable, "GLANCE", 0.0)
    whole = train()
    with monkeypatch.context() as broken:
        broken.setattr(loop.Loop, "_evaluate_ends", killed)
        with pytest.raises(Killed):
            train(work=tmp_path)
    found = train(work=tmp_path)
    assert np.isfinite(whole.metrics["test_loss"]).all()
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(found.metrics[name], values, err_msg=name)


def test_a_directory_that_is_there_for_a_time_alone_is_made_late_and_replaces_what_is_not_its_own(tmp_path):
    work = tmp_path / "work"
    population = trials(count=3)
    directory = Directory(work, population, resume=True, transient=True)
    directory.open(population, Clock())
    assert not work.exists()
    directory.save(population, Clock())
    directory.close()
    assert (work / "checkpoints").exists()
    other = trials(dataclasses.replace(IRIS, hidden=(5,)), count=3)
    Directory(work, other, resume=True, transient=True).open(other, Clock())
    assert not work.exists()


def test_a_run_that_had_ended_gets_its_metrics_back(tmp_path):
    config = Config(dataset="iris", hidden=(4,), steps=20, evaluations=4)
    run.train(config, out=tmp_path / "run")
    path = tmp_path / "run" / "metrics.parquet"
    before = parquet.read(path)
    path.write_bytes(b"harmed")
    run.train(config, out=tmp_path / "run", resume=True)
    assert str(parquet.read(path).to_pydict()) == str(before.to_pydict())  # NaN equals nothing
