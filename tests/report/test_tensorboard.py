"""TensorBoard's own reader finds the curves and the hyper-parameters of a run, of many, and of a swept study."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from study_by_hand import table

from mlp_jax import Config, train, train_many
from mlp_jax.report import tensorboard
from mlp_jax.report.tensorboard import Log, write_study

events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
hparams = pytest.importorskip("tensorboard.plugins.hparams.metadata")
ROWS = table()


class Seen:
    """What the reader finds in a directory."""

    def __init__(self, directory: Path) -> None:
        reader = events.EventAccumulator(str(directory), size_guidance={events.TENSORS: 0})
        reader.Reload()
        curves = [tag for tag in reader.Tags()["tensors"] if not tag.startswith("_hparams_")]
        values = lambda tag: [(e.step, e.tensor_proto.float_val[0]) for e in reader.Tensors(tag)]
        self.curves = {tag: values(tag) for tag in curves}
        self.times = {tag: [event.wall_time for event in reader.Tensors(tag)] for tag in curves}
        content = lambda tag: reader.SummaryMetadata(tag).plugin_data.content
        asked = hparams.parse_session_start_info_plugin_data(content(hparams.SESSION_START_INFO_TAG)).hparams
        self.hyper = {
            name: v.number_value if v.HasField("number_value") else v.string_value for name, v in asked.items()
        }
        told = hparams.parse_experiment_plugin_data(content(hparams.EXPERIMENT_TAG))
        self.compared = {info.name.tag for info in told.metric_infos}


def test_a_runs_curves_are_its_history_and_its_ends(tmp_path: Path) -> None:
    config = Config(dataset="iris", hidden=(4,), epochs=3.0, evaluations=5)
    with Log(tmp_path) as log:
        run = train(config, callback=log)
    (directory,) = tmp_path.iterdir()
    seen = Seen(directory)
    for name in ("validation_loss", "validation_accuracy"):
        expected = [(row["step"], row[name]) for row in run.history] + [(run.steps, run.metrics[name])]
        np.testing.assert_allclose(seen.curves[name], expected, rtol=1e-6)
    assert seen.curves["test_accuracy"] == [(run.steps, pytest.approx(run.metrics["test_accuracy"]))]
    assert [step for step, _ in seen.curves["batch_loss"]] == [row["step"] for row in run.history][1:]
    assert seen.hyper == {"optimizer": "momentum", "batch_size": 32, "seed": 0} | run.hyper
    took = [times[-1] - seen.times["validation_loss"][0] for times in seen.times.values()]
    first, *_, last = (row["training_seconds"] for row in run.history)
    np.testing.assert_allclose(took, last - first, atol=1e-4)


def test_each_trial_of_many_has_a_run_of_its_own(tmp_path: Path) -> None:
    config = Config(dataset="iris", hidden=(4,), steps=8, evaluations=2)
    with Log(tmp_path) as log:
        train_many(config, {"learning_rate": [0.01, 0.1]}, [3, 4], callback=log)
    found = {path.name: Seen(path).hyper for path in sorted(tmp_path.iterdir())}
    assert list(found) == ["momentum-B32-0", "momentum-B32-1"]
    assert [(each["learning_rate"], each["seed"]) for each in found.values()] == [(0.01, 3), (0.1, 4)]


def test_the_winners_of_a_study_are_there_with_what_they_were_tuned_to(tmp_path: Path) -> None:
    winners = ROWS.query("phase == 'winners'")
    assert write_study(ROWS, tmp_path / "log") == winners["trial"].nunique() == 30
    assert len(list((tmp_path / "log").iterdir())) == 30
    for key, own in list(winners.groupby(["optimizer", "batch_size", "seed"]))[::7]:
        name, size, seed = key
        seen = Seen(tmp_path / "log" / f"{name}-B{size}-seed{seed}")
        expected = own.sort_values("step")[["step", "validation_accuracy"]].to_numpy()
        np.testing.assert_allclose(seen.curves["validation_accuracy"], expected, rtol=1e-6)
        last = own["step"].max()
        assert seen.curves["steps_to_target"] == [(last, own["steps_to_target"].iloc[0])]
        assert {"steps_to_target", "test_accuracy", "validation_loss"} <= seen.compared
        told = {"optimizer": name, "batch_size": size, "seed": seed, "learning_rate": own["learning_rate"].iloc[0]}
        assert seen.hyper == told | {"status": "COMPLETE"}


def test_what_was_written_is_not_written_again_and_half_a_run_is_none(tmp_path: Path) -> None:
    some = ROWS.query("phase == 'winners' and batch_size == 256 and optimizer == 'sgd'")
    (tmp_path / "sgd-B256-seed1.partial").mkdir()
    write_study(some, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfevents.*")}
    assert len(before) == 5
    write_study(some, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfevents.*")} == before


def test_a_winner_that_is_another_after_the_study_has_grown_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    some = ROWS.query("phase == 'winners' and batch_size == 256 and optimizer == 'sgd'")
    some = some.loc[some["seed"] == some["seed"].iloc[0]]
    write_study(some, tmp_path)
    write_study(some.assign(learning_rate=0.5, validation_accuracy=0.25), tmp_path)
    (directory,) = tmp_path.iterdir()
    seen = Seen(directory)
    assert seen.hyper["learning_rate"] == 0.5
    assert {value for _, value in seen.curves["validation_accuracy"]} == {0.25}


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import_ = builtins.__import__

    def absent(name: str, *rest: object, **more: object):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return import_(name, *rest, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ValueError, match=r"pip install 'mlp-jax\[tensorboard\]'"):
        Log(tmp_path / "log")
    with pytest.raises(ValueError, match=r"pip install"):
        tensorboard.write_study(ROWS, tmp_path / "log")
    assert not (tmp_path / "log").exists()
