"""Predictions of a trained run from an index, an array or an image: classes with probabilities, or values."""

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from mlp_jax.machine.files import parsed_json, write_json
from mlp_jax.training import export, prediction, run
from mlp_jax.training.config import Config, load_data
from mlp_jax.training.prediction import predict

PARTS = ("train", "validation", "test")
DIGITS = Config(epochs=4.0, hidden=(32,), evaluations=1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[Path, run.Run]:
    folder = tmp_path_factory.mktemp("digits") / "run"
    return folder, run.train(DIGITS, out=folder)


def test_test_examples_are_classified_as_the_evaluation_counted(digits):
    folder, trained = digits
    answers = [predict(folder, index=index)[0] for index in range(0, 360, 9)]
    dataset = load_data(DIGITS)
    assert [answer.truth for answer in answers] == [str(y) for y in dataset.test.y[::9]]
    right = np.mean([answer.label == answer.truth for answer in answers])
    assert right == pytest.approx(trained.metrics["test_accuracy"], abs=0.08)
    assert answers[0].probabilities is not None
    assert sum(answers[0].probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_npy_of_one_and_of_several_examples_equals_the_index(digits, tmp_path):
    folder, _ = digits
    x = np.asarray(load_data(DIGITS).test.x)
    np.save(tmp_path / "one.npy", x[3].reshape(8, 8))
    np.save(tmp_path / "some.npy", x[:5].reshape(5, 8, 8))
    (one,) = predict(folder, file=tmp_path / "one.npy")
    some = predict(folder, file=tmp_path / "some.npy")
    assert one.probabilities == pytest.approx(predict(folder, index=3)[0].probabilities)
    assert [answer.label for answer in some] == [predict(folder, index=index)[0].label for index in range(5)]
    assert some[4].source.endswith("some.npy[4]")
    assert one.truth is None


def test_a_run_without_a_test_part_says_that_it_has_none(tmp_path):
    run.train(Config(dataset="iris", hidden=(), steps=2, test=0), out=tmp_path / "run")
    with pytest.raises(ValueError, match="index 0 is not in the test part, which has no examples; give --file"):
        predict(tmp_path / "run", index=0)


@pytest.mark.parametrize("invert", [False, True])
def test_image_of_a_digit_is_read_as_the_digit(digits, tmp_path, invert):
    folder, _ = digits
    dataset = load_data(DIGITS)
    found = []
    for index in range(12):
        grey = np.asarray(dataset.test.x[index]).reshape(8, 8).astype(float) * 255 / 16
        picture = Image.fromarray((255 - grey if invert else grey).astype(np.uint8)).resize(
            (64, 64), Image.Resampling.BOX
        )
        picture.save(tmp_path / "digit.png")
        found += [predict(folder, file=tmp_path / "digit.png", invert=invert)[0].label]
    expected = [predict(folder, index=index)[0].label for index in range(12)]
    assert found == expected


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
@pytest.mark.slow
def test_binary_outputs_give_two_probabilities(tmp_path, output):
    config = Config(dataset="breast_cancer", output=output, epochs=4.0, hidden=(8,), evaluations=1)
    trained = run.train(config, out=tmp_path / "run")
    answers = [predict(tmp_path / "run", index=index)[0] for index in range(0, 100, 4)]
    for answer in answers:
        shares = answer.probabilities
        assert shares is not None
        assert set(shares) == {"malignant", "benign"}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
        assert answer.label == max(shares, key=shares.__getitem__)
    assert np.mean([answer.label == answer.truth for answer in answers]) > trained.metrics["test_accuracy"] - 0.15


@pytest.mark.slow
def test_regression_answers_in_the_unit_of_the_target(tmp_path):
    config = Config(dataset="diabetes", epochs=10.0, learning_rate=0.01, evaluations=1)
    trained = run.train(config, out=tmp_path / "run")
    answers = [predict(tmp_path / "run", index=index)[0] for index in range(len(trained.dataset.test.y))]
    residuals = np.array([float(answer.label) - float(answer.truth or 0) for answer in answers])
    assert np.sqrt(np.mean(residuals**2)) == pytest.approx(trained.metrics["test_rmse"], rel=1e-4)
    assert answers[0].probabilities is None


def test_what_can_not_be_predicted_from(digits, tmp_path):
    folder, _ = digits
    for name, x, message in (
        ("short.npy", np.zeros(63), "has shape .63,.; give 64 numbers for each example"),
        ("ragged.npy", np.zeros((2, 96)), "give 64 numbers for each example"),
        ("empty.npy", np.zeros((0, 64)), "give 64 numbers"),
        ("nan.npy", np.full(64, np.nan), "not all finite"),
        ("text.npy", np.full(64, "a"), "not all finite"),
    ):
        np.save(tmp_path / name, x)
        with pytest.raises(ValueError, match=message):
            predict(folder, file=tmp_path / name)
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    (tmp_path / "x.txt").write_text("1")
    for name in ("broken.npy", "broken.png", "x.txt"):
        with pytest.raises(ValueError, match=name):
            predict(folder, file=tmp_path / name)
    for name in ("none.npy", "none.png"):
        with pytest.raises(ValueError, match=f"{name} is not a file; give the path of one"):
            predict(folder, file=tmp_path / name)
    with pytest.raises(ValueError, match="holds no run"):
        predict(tmp_path, index=0)
    with pytest.raises(ValueError, match="is not a directory"):
        predict(tmp_path / "x.txt", index=0)


def test_a_network_that_is_not_finite_predicts_nothing(tmp_path):
    failed = tmp_path / "failed"
    run.train(Config(epochs=1.0, optimizer="sgd", learning_rate=1e30, evaluations=1), out=failed)
    for ask in (lambda: predict(failed, index=0), lambda: export.write(failed, tmp_path / "net.npz")):
        with pytest.raises(ValueError, match="failed holds no trained network: its loss was not finite at step 1;"):
            ask()
    assert not (tmp_path / "net.npz").exists()


@pytest.mark.slow
def test_an_example_beyond_what_can_be_scaled_is_refused(tmp_path):
    np.savez(tmp_path / "small.npz", x=1e-3 * np.random.default_rng(0).normal(size=(40, 2)), y=np.arange(40) % 2)
    run.train(Config(dataset=str(tmp_path / "small.npz"), epochs=1.0, evaluations=1), out=tmp_path / "run")
    np.save(tmp_path / "huge.npy", np.full((1, 2), 3e38))
    with pytest.raises(ValueError, match=r"huge\.npy makes an output that is not finite"):
        predict(tmp_path / "run", file=tmp_path / "huge.npy")


def test_damaged_memory_is_named(digits, tmp_path):
    folder, _ = digits
    (tmp_path / "model.json").write_text((folder / "model.json").read_text()[:-40])
    with pytest.raises(ValueError, match="model.json is damaged"):
        prediction.read(tmp_path)
    for name in ("model.json", "config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    with pytest.raises(ValueError, match="no checkpoint in"):
        prediction.read(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"cell": 3}', '{"cell": {"network": {"hidden": 7}}, "hyper": {}, "data": {}}'])
def test_what_describes_no_network_is_named(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"model.json does not describe a network; name another run"):
        prediction.read(tmp_path)


def test_the_memory_of_another_run_is_not_taken(digits, tmp_path):
    """Its constants would normalise the examples otherwise, and nothing would look odd."""
    folder, _ = digits
    shutil.copytree(folder, tmp_path / "run")
    memory = parsed_json(folder / "model.json")
    memory["data"]["center"] = (np.asarray(memory["data"]["center"]) + 1).tolist()
    write_json(tmp_path / "run/model.json", memory)
    with pytest.raises(ValueError, match="it belongs to other training than the files beside it"):
        prediction.read(tmp_path / "run")


@pytest.mark.parametrize("task", ["classification", pytest.param("regression", marks=pytest.mark.slow)])
def test_a_table_is_predicted_as_it_was_trained_on_wherever_the_run_lies(tmp_path, task, monkeypatch):
    draw = np.random.default_rng(0)
    frame = pandas.DataFrame({"town": draw.choice(["Rome", "Oslo"], 200), "t": 1.7e12 + 60 * np.arange(200.0)})
    number = (frame["town"] == "Rome") * 3 + np.arange(200) / 100
    frame["y"] = np.where(number > 2, "dear", "cheap") if task == "classification" else number
    frame.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.chdir(tmp_path)
    config = Config(dataset="t.csv", column="y", steps=400, learning_rate=0.01, hidden=(16,), evaluations=1)
    trained = run.train(config, out="run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").rename(tmp_path / "elsewhere" / "moved")
    (tmp_path / "t.csv").unlink()
    monkeypatch.chdir(tmp_path / "elsewhere")
    frame[["y", "t", "town"]].to_csv("new.csv", index=False)
    answers = predict("moved", file="new.csv")
    table = prediction.table(answers)
    assert list(table.columns[:3]) == ["source", "prediction", "truth"]
    if task == "classification":
        right = (table["prediction"] == frame["y"]).mean()
        shares = [trained.metrics[f"{part}_accuracy"] * len(getattr(trained.dataset, part).y) for part in PARTS]
        assert right == pytest.approx(sum(shares) / 200)
        np.testing.assert_allclose(table[["probability cheap", "probability dear"]].sum(axis=1), 1, atol=1e-5)
    else:
        squares = [trained.metrics[f"{part}_rmse"] ** 2 * len(getattr(trained.dataset, part).y) for part in PARTS]
        assert np.mean((table["prediction"] - table["truth"]) ** 2) == pytest.approx(sum(squares) / 200, rel=1e-3)
