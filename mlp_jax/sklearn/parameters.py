"""Turn an estimator's parameters and data into the plan of a fit, its rules, hyper-parameters and constants.

Invariant: defaults and allowed values are those of `mlp_jax.Config`, except for those set here.
"""

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from mlp_jax import losses
from mlp_jax.checks import choose
from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.sklearn.fitting import Plan, Rules
from mlp_jax.training import budget, task
from mlp_jax.training import config as configs
from mlp_jax.training.config import Config
from mlp_jax.trial import Cell

PADDED = 2**13  # up to here numbers of rows are rounded up to powers of two, so that fewer programs are needed
NAMES = {"beta_1": "beta1", "beta_2": "beta2"}  # scikit-learn's names, and those of mlp_jax
ACTIVATIONS = {"logistic": "sigmoid"}
LOSSES = {"squared_error": "squared", "absolute_error": "absolute"}
SCALINGS = ("standard", "none")


class Asked(NamedTuple):
    """What a fit has to do: `plan` and `hyper` decide its numbers, `rules` its end."""

    plan: Plan
    hyper: dict[str, float]
    rules: Rules


class Constants(NamedTuple):
    """The network gets `(X − center) · scale`, and y is `output · target_scale + target_center`."""

    center: np.ndarray
    scale: np.ndarray
    target_center: np.ndarray
    target_scale: np.ndarray

    def seen(self, x: np.ndarray) -> np.ndarray:
        """Return X as a network gets it, in 64 bits."""
        return (x.astype(np.float64) - self.center) * self.scale

    def target(self, y: np.ndarray) -> np.ndarray:
        """Return y as a network learns it, in 64 bits."""
        return (y - self.target_center) / self.target_scale

    def of_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Return the y that a network's outputs mean, in its own unit and in 64 bits."""
        return outputs * self.target_scale + self.target_center


def constants(scaling: str, x: np.ndarray, y: np.ndarray | None, weight: np.ndarray | None) -> Constants:
    """Return the constants computed from the training examples; y is None for classes."""
    choose("scaling", scaling, SCALINGS)
    center, scale = _moments(x, weight) if scaling == "standard" else (np.zeros(x.shape[1]), np.ones(x.shape[1]))
    if y is None or scaling == "none":
        return Constants(center, scale, np.zeros(()), np.ones(()))
    middle, per_spread = _moments(y, weight)
    return Constants(center, scale, middle, 1 / per_spread)


def config(given: dict[str, Any], regression: bool) -> Config:
    """Return the Config for an estimator's parameters, without its budget, regularisation and batch size.

    Raises:
        ValueError: a value is not allowed.
    """
    widths = given["hidden_layer_sizes"]
    own = {NAMES.get(name, name): given[name] for name in ("momentum", "beta_1", "beta_2", "epsilon")}
    given_more = dict(given["hyper"] or {})
    more: dict[str, Any] = {name: given_more.pop(name) for name in configs.HYPER if name in given_more}
    more["hyper"] = given_more
    loss = {"loss": LOSSES[choose("loss", given["loss"], LOSSES)]} if regression else {}
    smoothing = {} if regression else {"label_smoothing": given["label_smoothing"]}
    rest: dict[str, Any] = {name: value for name, value in own.items() if value is not None} | smoothing | loss | more
    return Config(
        hidden=tuple(np.atleast_1d(np.asarray(widths, int)).tolist()) if np.size(widths) else (),
        activation=ACTIVATIONS.get(name := str(given["activation"]), name),
        output=given["output"] if regression else "auto",
        init=given["init"],
        optimizer=given["solver"],
        schedule=given["schedule"],
        learning_rate=given["learning_rate_init"],
        **rest,
    )


def network_of(asked: Config, x: np.ndarray, y: np.ndarray, classes: int) -> Cell:
    """Return the cell for a batch size of 1; `classes` is 0 for numbers, where y has one column for each output."""
    kind = "regression" if not classes else "binary" if classes == 2 else "multiclass"
    names = tuple(map(str, range(classes)))
    split = Split(np.zeros((1, x.shape[1]), np.float32), y[:1, 0] if y.ndim > 1 else y[:1])
    nothing = np.zeros(())
    held: dict[str, Any] = {"train": split, "validation": split, "test": split, "center": nothing, "scale": nothing}
    data = Dataset(name="the data", task=kind, shape=x.shape[1:], classes=names, levels=0, **held)
    cell = task.make_cell(dataclasses.replace(asked, batch_size=1), data)
    outputs = y.shape[1] if not classes else cell.network.outputs
    start = float(np.maximum(y, 0).mean()) if cell.network.output == "relu" else 0.0
    network = dataclasses.replace(cell.network, outputs=outputs, output_start=start)
    return dataclasses.replace(cell, network=network)


def asked(
    given: dict[str, Any],
    config: Config,
    cell: Cell,
    n: int,
    rows: int,
    *,
    each: float = 1.0,
    stream: bool = False,
) -> Asked:
    """Return what a fit has to do on `n` examples, padded to `rows` rows, that have the average weight `each`.

    A `stream` has no end, and its learning rate is constant.
    """
    size = batch_size(given["batch_size"], n)
    steps = -(-n // size)
    kind = "regression" if losses.is_regression(cell.loss) else "multiclass"
    epochs = given["max_iter"] or math.ceil(budget.default_steps(n, size, kind) / steps)
    schedule = "constant" if stream else config.resolved_schedule
    cell = dataclasses.replace(cell, batch_size=rows if size == n else size, schedule=schedule)
    decay = {"l2": given["alpha"] / (size * each)} if given["alpha"] else {}
    hyper = configs.make_hyper(config, cell, epochs * steps, **decay)
    early = bool(given["early_stopping"])
    falls = schedule != "constant" and not early
    patience = math.inf if falls or stream else float(given["n_iter_no_change"])
    plan = Plan(cell=cell, shuffled=bool(given["shuffle"]), early=early, room=1 << (int(epochs) - 1).bit_length())
    return Asked(plan, hyper, Rules(int(epochs), float(given["tol"]), patience))


def batch_size(given: int | str, n: int) -> int:
    """Return how many of `n` examples a step takes: auto is 32, or all if there are fewer, and full is all.

    Raises:
        ValueError: `given` is neither of these words, nor a whole number of at least 1.
    """
    if isinstance(given, str):
        return min(task.DEFAULT_BATCH_SIZE, n) if choose("batch_size", given, ("auto", "full")) == "auto" else n
    if given < 1 or given != int(given):
        raise ValueError(f"batch_size {given!r} is not allowed; give a whole number of at least 1, auto or full")
    if given > n:
        warnings.warn(f"batch_size {given} is more than the {n} examples that train; all are taken", stacklevel=3)
    return min(int(given), n)


def padded(array: np.ndarray, rows: int) -> np.ndarray:
    """Return `array` filled up with zeros to `rows` rows."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


def rows_for(n: int) -> int:
    """Return the number of rows to which `n` examples are padded."""
    return 1 << (n - 1).bit_length() if n <= PADDED else n


@np.errstate(over="ignore", invalid="ignore")  # what is not finite then is refused where it is used
def _moments(values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return, in 64 bits, the mean of each column and 1 / its standard deviation (1 if the deviation is 0)."""
    values = values.astype(np.float64)
    center = np.average(values, axis=0, weights=weight)
    spread = np.sqrt(np.average((values - center) ** 2, axis=0, weights=weight))
    constant = spread <= 4 * np.finfo(np.float64).eps * abs(center)
    return center, 1 / np.where(constant | (spread == 0), 1.0, spread)
