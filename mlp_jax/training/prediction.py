"""What a trained run says of new examples.

Invariant: for images and .npy files the run's directory is enough; only `index` needs the data set again.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import model, trial
from mlp_jax.data import Dataset
from mlp_jax.machine import files
from mlp_jax.model import Network
from mlp_jax.training import config as configs
from mlp_jax.trial import Cell

IMAGES = (".png", ".jpg", ".jpeg")


class Prediction(NamedTuple):
    """One answer: a class with the probabilities of all classes, or a value in the target's unit.

    `truth` is known for examples of the test part only.
    """

    source: str
    label: str | float
    probabilities: dict[str, float] | None
    truth: str | float | None

    def __str__(self) -> str:
        shares = self.probabilities or {}
        ranked = "  ".join(f"{name} {share:.4f}" for name, share in sorted(shares.items(), key=lambda item: -item[1]))
        truth = "" if self.truth is None else f" (truth: {self.truth})"
        return f"{self.source}: {self.label}{truth}" + (f"   {ranked}" if ranked else "")


class Trained(NamedTuple):
    """A network with its parameters and all that is known of the data that it was trained on."""

    network: Network
    params: model.Params
    data: dict


def remember(cell: Cell, hyper: dict[str, Any], dataset: Dataset) -> dict:
    """Return what `model.json` holds: all that predictions need beside the parameters."""
    return {
        "cell": dataclasses.asdict(cell),
        "hyper": hyper,
        "data": {
            "shape": list(dataset.shape),
            "classes": list(dataset.classes),
            "levels": dataset.levels,
            "center": np.asarray(dataset.center).tolist(),
            "scale": np.asarray(dataset.scale).tolist(),
            "target_center": float(dataset.target_center),
            "target_scale": float(dataset.target_scale),
        },
    }


def read(run: Path) -> Trained:
    """Read the trained network in the directory `run`.

    Raises:
        ValueError: there is no run, or nothing was saved in it yet.
    """
    from mlp_jax.machine.checkpoint import Checkpoints

    memory = files.read_json(run, "model.json")
    fields = memory["cell"].pop("network")
    network = Network(**fields | {"hidden": tuple(fields["hidden"])})
    cell, hyper = Cell(network=network, **memory["cell"]), memory["hyper"]
    checkpoints = Checkpoints(run / "checkpoints")
    try:
        state, _ = checkpoints.restore(jax.eval_shape(lambda: trial.start(cell, hyper, jnp.uint32(0))))
    finally:
        checkpoints.close()
    return Trained(network, state.params, memory["data"])


def predict(
    run: Path | str,
    *,
    index: int | None = None,
    file: Path | str | None = None,
    invert: bool = False,
    data_dir: str | None = None,
) -> list[Prediction]:
    """Return what the run in the directory `run` predicts for one test example, or for the examples in a file.

    Args:
        index: number of an example in the test part of the run's data set.
        file: .npy with one example or one a row, in the data set's own units; or a PNG or JPEG image, which is
            resized to the data set's shape and taken as grey.
        invert: the image has dark strokes on a light ground, the data set light ones on a dark ground.
        data_dir: where the data set is now.

    Raises:
        ValueError: not exactly one of index and file; no run; an index or a file that does not fit.
    """
    if (index is None) == (file is None):
        raise ValueError("predict needs either an index or a file; give one of --index and --file")
    run = Path(run)
    trained = read(run)
    if file is not None:
        path = Path(file)
        x = _from_file(path, trained, invert)
        names = [str(path)] if len(x) == 1 else [f"{path}[{row}]" for row in range(len(x))]
        return [_answer(trained, name, z, None) for name, z in zip(names, _forward(trained, x), strict=True)]
    assert index is not None
    config = configs.from_dict(files.read_json(run, "config.json"))
    dataset = configs.load_data(dataclasses.replace(config, data_dir=data_dir or config.data_dir))
    count = len(dataset.test.y)
    if not 0 <= index < count:
        raise ValueError(f"index {index} is not in the test part; give a whole number from 0 to {count - 1}")
    z = _forward(trained, np.asarray(dataset.test.x[index : index + 1]))
    return [_answer(trained, f"{config.dataset} test {index}", z[0], dataset.test.y[index])]


def _from_file(path: Path, trained: Trained, invert: bool) -> np.ndarray:
    inputs = trained.network.inputs
    if path.suffix.lower() in IMAGES:
        from mlp_jax.data.images import read_image

        if not trained.data["levels"] or len(trained.data["shape"]) != 2:
            raise ValueError(f"{path} is an image, but this run's examples have {inputs} features; give a .npy file")
        return read_image(path, tuple(trained.data["shape"]), levels=trained.data["levels"], invert=invert)[None]
    if path.suffix.lower() != ".npy":
        raise ValueError(f"{path} is not a file to predict from; give .npy, .png, .jpg or .jpeg")
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} can't be read as .npy ({error}); save it with numpy.save") from error
    if x.size == 0 or x.size % inputs or (x.ndim > 1 and x.size != inputs and x[0].size != inputs):
        raise ValueError(f"{path} has shape {x.shape}; give {inputs} numbers for each example")
    if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
        raise ValueError(f"{path} holds {x.dtype} values that are not all finite numbers; give finite numbers")
    return x.reshape(-1, inputs)


def _forward(trained: Trained, x: np.ndarray) -> np.ndarray:
    center, scale = (np.asarray(trained.data[name], np.float32) for name in ("center", "scale"))
    seen = (x.astype(np.float32) - center) * scale
    return np.asarray(jax.vmap(lambda x: model.forward(trained.network, trained.params, x))(jnp.asarray(seen)))


def _answer(trained: Trained, source: str, z: np.ndarray, y: np.generic | None) -> Prediction:
    f = np.asarray(model.output(trained.network, jnp.asarray(z)))
    classes = trained.data["classes"]
    if not classes:
        unit = lambda value: float(value) * trained.data["target_scale"] + trained.data["target_center"]
        return Prediction(source, unit(f[0]), None, None if y is None else unit(y))
    if len(f) == 1:
        positive = float(f[0]) if trained.network.output == "sigmoid" else (1 + float(f[0])) / 2
        f = np.array([1 - positive, positive])
    label = classes[int(np.argmax(f))]
    shares = {name: float(share) for name, share in zip(classes, f, strict=True)}
    return Prediction(source, label, shares, None if y is None else classes[int(y)])
