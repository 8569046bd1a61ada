"""Predictions of a trained run for new examples.

Invariant: for a file, the run's directory is enough; only `index` needs the data set again.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import model, trial
from mlp_jax.data import Dataset, examples
from mlp_jax.machine import files
from mlp_jax.model import Network
from mlp_jax.training import classes
from mlp_jax.training import config as configs
from mlp_jax.trial import Cell

if TYPE_CHECKING:
    import pandas

PAGE = "report.html"  # about a training that has ended
BEGUN = "begun"  # in model.json: the budget with which the training began, if it was given a larger one


class Prediction(NamedTuple):
    """One prediction: a class with the probabilities of all classes, or a value in the target's unit.

    `truth` is known for examples of the test part, and for those of a table that has the target's column.
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
    """A network with its parameters and all that predictions need to know about its data."""

    network: Network
    params: model.Params
    data: dict


def remember(cell: Cell, hyper: dict[str, Any], dataset: Dataset) -> dict:
    """Return the content of `model.json`: all that predictions need besides the parameters."""
    return {
        "cell": dataclasses.asdict(cell),
        "hyper": hyper,
        "data": examples.memory(dataset),
    }


def identity(run: Path) -> str:
    """Return a hash of config.json and model.json, which identifies the training in a directory.

    If the budget has grown, the hash uses the budget with which the training began.

    Raises:
        ValueError: one of the files is missing or damaged.
    """
    config, model = (files.read_json(run, name) for name in ("config.json", "model.json"))
    said = [config | model.pop(BEGUN, {}), model]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def check_same(run: Path, before: dict, after: dict) -> None:
    """Raise a ValueError unless `before`, the content of model.json, has the same trials and data as `after`."""
    same = lambda name: name not in before or before[name] == after[name]
    if not same("fingerprint"):
        raise ValueError(
            f"--out {run} holds a run on other data: those of {after['name']!r} have changed since; "
            "name another directory, or bring the data back"
        )
    version = lambda model: model.get("cell", {}).get("version", "")
    if version(before) != version(after):
        raise ValueError(
            f"--out {run} holds a run with another version of its optimizer {after['cell']['optimizer']!r}; "
            "name another directory, or bring its module back"
        )
    if not (same("hyper") and same("seeds")):
        raise ValueError(f"--out {run} holds other trials than these; name another directory")


def read(run: Path) -> Trained:
    """Read the trained network in the directory `run`.

    Raises:
        ValueError: there is no run, nothing was saved in it yet, or its training failed.
    """
    from mlp_jax.machine.checkpoint import Checkpoints

    memory = files.read_json(run, "model.json")
    try:
        fields = memory["cell"].pop("network")
        network = Network(**fields | {"hidden": tuple(fields["hidden"])})
        cell, hyper = Cell(network=network, **memory["cell"]), dict(memory["hyper"])
        data = {**memory["data"]}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{run / 'model.json'} does not describe a network; name another run") from error
    checkpoints = Checkpoints(run / "checkpoints", identity(run))
    try:
        state, _ = checkpoints.restore(lambda _: jax.eval_shape(lambda: trial.start(cell, hyper, jnp.uint32(0))))
    finally:
        checkpoints.close()
    if state.failed >= 0:
        raise ValueError(
            f"{run} holds no trained network: its loss was not finite at step {int(state.failed):,}; "
            "train another run with a smaller learning rate"
        )
    return Trained(network, trial.found(cell, state), data)


def predict(
    run: Path | str,
    *,
    index: int | None = None,
    file: Path | str | None = None,
    invert: bool = False,
    data_dir: str | None = None,
) -> list[Prediction]:
    """Return what the run in the directory `run` predicts for one test example, or for the examples in a file.

    >>> first = predict("runs/iris", index=0)[0]
    >>> first.truth in first.probabilities, first.label == max(first.probabilities, key=first.probabilities.get)
    (True, True)

    Args:
        index: number of an example in the test part of the run's data set.
        file: a table with the same column names as the run's, in any order; .npy with one example, or one per row, in
            the data set's own units; or a PNG or JPEG image, which is resized to the data set's shape.
        invert: invert an image with dark strokes on a light ground, for a data set with light strokes.
        data_dir: the folder in which the data set is now.

    Raises:
        ValueError: not exactly one of index and file is given; there is no run, or it failed; the index or the file
            does not fit.
    """
    if (index is None) == (file is None):
        raise ValueError("predict needs either an index or a file; give one of --index and --file")
    run = Path(run)
    trained = read(run)
    config = configs.from_dict(files.read_json(run, "config.json"))
    if file is not None:
        new = examples.read_examples(Path(file), trained.data, configs.options(config), invert)
        truths = new.truth or [None] * len(new.x)
        outputs = _forward(trained, new.x)
        return [_answer(trained, *one) for one in zip(new.names, outputs, truths, strict=True)]
    assert index is not None
    dataset = configs.load_data(dataclasses.replace(config, data_dir=data_dir or config.data_dir))
    count = len(dataset.test.y)
    if not 0 <= index < count:
        what = f"; give a whole number from 0 to {count - 1}" if count else ", which has no examples; give --file"
        raise ValueError(f"index {index} is not in the test part{what}")
    z = _forward(trained, np.asarray(dataset.test.x[index : index + 1]))
    return [_answer(trained, f"{config.dataset} test {index}", z[0], dataset.test.y[index])]


def table(predictions: list[Prediction]) -> "pandas.DataFrame":
    """Return a row for each prediction: its source, the prediction, the truth if it is known, and each probability."""
    import pandas

    columns: dict[str, list] = {"source": [one.source for one in predictions]}
    columns |= {"prediction": [one.label for one in predictions]}
    if any(one.truth is not None for one in predictions):
        columns |= {"truth": [one.truth for one in predictions]}
    names = predictions[0].probabilities or {}
    columns |= {f"probability {name}": [(one.probabilities or {})[name] for one in predictions] for name in names}
    return pandas.DataFrame(columns)


def _forward(trained: Trained, x: np.ndarray) -> np.ndarray:
    center, scale = (np.asarray(trained.data[name]) for name in ("center", "scale"))
    with np.errstate(over="ignore"):  # a row with an output that is not finite is refused later
        seen = jnp.asarray((x.astype(np.float64) - center) * scale, jnp.result_type(float))
    return np.asarray(jax.vmap(lambda x: model.forward(trained.network, trained.params, x))(seen))


def _answer(trained: Trained, source: str, z: np.ndarray, y: np.generic | str | None) -> Prediction:
    if not np.isfinite(z).all():
        raise ValueError(f"{source} makes an output that is not finite; give values like those of the training")
    names = trained.data["classes"]
    if not names:
        f = np.asarray(model.output(trained.network, jnp.asarray(z)))
        unit = lambda value: float(value) * trained.data["target_scale"] + trained.data["target_center"]
        return Prediction(
            source, unit(f[0]), None, None if y is None else _number(y) if isinstance(y, str) else unit(y)
        )
    (f,) = classes.probabilities(trained.network, z[None])
    shares = {name: float(share) for name, share in zip(names, f, strict=True)}
    truth = y if y is None or isinstance(y, str) else names[int(y)]
    return Prediction(source, names[int(classes.predicted(trained.network, z[None])[0])], shares, truth)


def _number(cell: str) -> float | str:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return cell
