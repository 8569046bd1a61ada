"""The configuration of one run: every choice of data, network, loss, optimizer and budget as a validated field.

Invariant: the Config alone decides a run; equal Configs give the same numbers on the same machine.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mlp_jax import checks, losses, model, optimizers, sampling, trial
from mlp_jax.checks import Count, Domain, Positive, Seed, Steps, choose
from mlp_jax.data import Dataset, load
from mlp_jax.data.options import Options, check_separator
from mlp_jax.model import Network
from mlp_jax.trial import Cell

SPLITS = ("train", "validation", "test")
SPACINGS = ("linear", "log")
LATER = {"hyper": {}, "class_weight": "none"}  # fields that were added later, with the values that earlier runs had
LISTS = ("hidden", "evaluate_on", "drop")
SAFE_CLIP = 1.0  # for real targets, where the learning rate is a default
PART = Domain(
    lambda v: 0 <= v < 1 or (v < math.inf and v >= 1 and v == int(v)),
    "a fraction from 0 to below 1, or a count of examples",
)
Part = Annotated[float | int, PART]
Metric = Annotated[float, Domain(lambda v: not math.isnan(v), "the metric to stop at")]
Smoothing = Annotated[float, Domain(lambda v: 1 <= v < math.inf, "a number of at least 1, such as 1.25")]


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """The configuration of one training run.

    A value of `None` or `auto` is filled in from the data set or from the optimizer's table; a value that is not
    allowed raises a ValueError.

    >>> Config(dataset="wine", hidden=(32,), optimizer="adam").resolved_schedule
    'cosine'
    """

    dataset: str = "digits"
    """A name from `mlp-jax data list`, or a path: file.npz, file.csv, a folder with IDX files."""
    data_dir: str | None = None
    """Folder with the data set's IDX files, or the folder above it (default: $MLP_JAX_DATA_DIR)."""
    validation: Part = 0.1
    """How many training examples are held out for validation: a fraction below 1, or a number of examples."""
    test: Part = 0.2
    """The same for testing, where the data set has no test part of its own."""
    split_seed: Seed = 0
    """Seed that decides which examples are held out."""
    stratify: bool = False
    """Give each part its share of every class. This is also done if a class would have no training example."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced: all classes count the same in training, however few examples they have. Metrics do not change."""
    scaling: Literal["auto", "unit", "standard", "none"] = "auto"
    """Give features values from 0 to 1 (unit) or mean 0, spread 1 (standard). auto: unit for images, else standard."""

    hidden: tuple[Count, ...] = (128,)
    """Widths of the hidden layers, the first one first. Without a width the network is the softmax classifier."""
    activation: str = "relu"
    """Activation function of the hidden layers: relu, tanh, sigmoid, identity or gelu."""
    output: str = "auto"
    """Function of the output layer: softmax, sigmoid, tanh, identity or relu. auto: the one that fits the labels."""
    bias: str = "all"
    """all: a bias b in every layer; ones: a feature that is always 1 instead, as in the slides; none: neither."""
    init: str = "auto"
    """How the weights start: he, glorot, lecun, truncated_normal or zeros. auto: he for pixels, otherwise glorot."""
    init_std: Positive = 0.03
    """Standard deviation of the weights at the start, for init truncated_normal."""
    loss: str = "auto"
    """Loss to minimise: cross_entropy, binary_cross_entropy, squared or absolute. auto: what fits the output."""
    l2: float | None = None
    """Add ½·l2·‖W‖² to the loss (default: no such term)."""
    label_smoothing: float | None = None
    """Share of each label that is spread evenly over all classes, from 0 to below 1 (default: 0)."""

    optimizer: str = "momentum"
    """Name of the optimizer: sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamax, nadam, amsgrad,
    adamw, nadamw, lion, lars, lamb, adafactor, adabelief, radam, yogi, novograd, sign_sgd, adan, ademamix,
    muon, schedule_free_sgd, schedule_free_adamw or prodigy; or one of your own, as my_package.my_module:NAME."""
    learning_rate: float | None = None
    """Learning rate α, above 0 (default: the optimizer's own)."""
    momentum: float | None = None
    """Momentum β, from 0 to below 1, for momentum, nesterov, rmsprop, lars and muon (default: the optimizer's own)."""
    decay: float | None = None
    """Share of the running mean that is kept at each step, for rmsprop and adadelta (default: the optimizer's own)."""
    beta1: float | None = None
    """Share of the mean gradient kept at each step, for adam and optimizers like it (default: the optimizer's own)."""
    beta2: float | None = None
    """The same for the mean squared gradient (default: the optimizer's own)."""
    epsilon: float | None = None
    """Number that keeps a divisor from 0, for adagrad, rmsprop, adam and others (default: the optimizer's own)."""
    initial_accumulator: float | None = None
    """Start of the sum of squared gradients, for adagrad and yogi (default: the optimizer's own)."""
    hyper: Mapping[str, float] = field(default_factory=dict)
    """Values of hyper-parameters that have no option of their own, such as rho=0.04."""
    weight_decay: float | None = None
    """Decoupled weight decay, for the weights W alone (default: the optimizer's own; most have none)."""
    clip: float | None = None
    """Shorten longer gradients to this norm (default: 1 for real targets if no learning rate is given, else never)."""
    schedule: str = "auto"
    """How the learning rate falls: constant, linear, cosine, exponential or step. auto: cosine to the end of the
    budget, but constant if the budget is in seconds or the optimizer is schedule-free."""
    warmup_steps: float | None = None
    """Number of steps in which the learning rate rises to its full value (default: 0)."""
    final_factor: float | None = None
    """Share of the learning rate that is left at the end of a schedule (default: 0.01)."""
    stages: float | None = None
    """Number of levels of the schedule step (default: 3)."""

    batch_size: Count | Literal["full", "auto"] = "auto"
    """Number of examples in each step. full: all of them; auto: 32, or all if there are fewer."""
    sampling: str = "epochs"
    """epochs: each example once in an epoch; replacement: each drawn at random, as in the slides."""
    seed: Seed = 0
    """Seed that decides the weights at the start and the order of the examples."""

    epochs: Positive | None = None
    """Budget in passes over the data (default: 20, or 2,000 steps at least; for real targets 30, or 200 steps)."""
    steps: Steps | None = None
    """Budget in steps; of several budgets the first to run out ends the run (default: no limit)."""
    seconds: Positive | None = None
    """Budget in seconds of training (default: no limit)."""
    stop_at: Metric | None = None
    """Stop at this validation accuracy, or for a regression at this RMSE (default: when the budget is used)."""
    stop_metric: Literal["auto", "accuracy", "rmse", "loss"] = "auto"
    """What `stop_at` is compared with. auto: the accuracy, or the RMSE of a regression."""
    stop_smoothing: Smoothing = 1.0
    """With 1, the evaluation at step k alone must meet `stop_at`; with more, all since step k/smoothing together."""
    evaluations: Count = 20
    """Number of evaluations during training, besides the one at the start."""
    spacing: str = "linear"
    """How evaluations are spread over the steps: linear (evenly) or log (more of them early)."""
    evaluate_on: tuple[Literal["train", "validation", "test"], ...] = ("validation",)
    """Splits that are evaluated during training; all splits are evaluated at the end."""
    noise_scale: bool = False
    """Measure the gradient noise scale at every evaluation, over all training examples."""

    def __post_init__(self) -> None:
        checks.fields(self, hidden="hidden width", batch_size="batch size", evaluate_on="split", drop="column to drop")
        check_separator(self.separator)
        choose("activation", self.activation, model.ACTIVATIONS)
        choose("output", self.output, ("auto", *model.OUTPUTS))
        choose("loss", self.loss, ("auto", *losses.LOSSES))
        choose("sampling", self.sampling, sampling.SAMPLINGS)
        choose("spacing", self.spacing, SPACINGS)
        choose("init", self.init, ("auto", *model.INITIALIZERS))
        Network(inputs=1, outputs=1, hidden=self.hidden, bias=self.bias, init_std=self.init_std)
        _check_hyper(self.hyper)
        schedule_steps = 0.0 if (schedule := self.resolved_schedule) != "constant" else None
        optimizers.complete(self.optimizer, schedule, **_hyper(self), schedule_steps=schedule_steps)
        trial.check_regularizers(_regularizers(self))

    @property
    def resolved_schedule(self) -> str:
        """The schedule that `auto` stands for."""
        if self.schedule != "auto":
            return self.schedule
        in_seconds = self.seconds is not None and self.epochs is None and self.steps is None
        return "constant" if in_seconds else optimizers.find(self.optimizer).schedule


def load_data(config: Config) -> Dataset:
    """Load the data set that `config` names; if its `task` is auto, the output or the loss may decide the task.

    Real targets are standardised; for a ReLU output they are only divided by their spread, so that they stay positive.
    """
    asked = dataclasses.asdict(options(config))
    return load(
        config.dataset,
        data_dir=config.data_dir,
        validation=config.validation,
        test=config.test,
        split_seed=config.split_seed,
        stratify=config.stratify,
        class_weight=config.class_weight,
        scaling=config.scaling,
        target_scaling="scale" if config.output == "relu" else "standard",
        **asked | {"task": _task(config)},
    )


def options(config: Config) -> Options:
    """Return the options of `config` for reading tables and archives."""
    return Options(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Options)})


def _task(config: Config) -> str:
    """Return the task that `config` asks for, by name or by an output or a loss that only this task has."""
    if config.task != "auto":
        return config.task
    regression = [name for name, fitting in losses.FITTING.items() if losses.is_regression(fitting[0])]
    if config.output != "auto":
        return "regression" if config.output in regression else "classification"
    if config.loss != "auto":
        return "regression" if losses.is_regression(config.loss) else "classification"
    return "auto"


def make_hyper(config: Config, cell: Cell, steps: int | None, **changes: float) -> dict[str, float]:
    """Return all hyper-parameters of this run, with `changes` in place of its own; a schedule ends with the run.

    For real targets the gradient is clipped unless a learning rate or a clip is given, since the default learning rates
    diverge on some of them.

    Raises:
        ValueError: as `trial.complete`, or a schedule has no end because the budget is in seconds.
    """
    given = _regularizers(config) | _hyper(config) | changes
    if losses.is_regression(cell.loss) and given["learning_rate"] is None and given["clip"] is None:
        given["clip"] = SAFE_CLIP
    if cell.schedule == "constant":
        return trial.complete(cell, **given)
    if steps is None:
        raise ValueError(f"schedule {cell.schedule!r} needs to know its end; give a budget in steps or epochs")
    return trial.complete(cell, **{"schedule_steps": float(steps)} | given)


def monitored(dataset: Dataset) -> str:
    """Return the split that decides when a trial ends and which is best: validation, or train if that is empty."""
    return "validation" if len(dataset.validation.y) else "train"


def score(config: Config, dataset: Dataset) -> str:
    """Return the metric that `stop_at` is about: monitored accuracy (more is better), RMSE or loss (less is better)."""
    metric = usual_metric(dataset) if config.stop_metric == "auto" else config.stop_metric
    return f"{monitored(dataset)}_{metric}"


def less_is_better(score: str) -> bool:
    """Tell whether a score is an error, of which less is better."""
    return not score.endswith("_accuracy")


def usual_metric(dataset: Dataset) -> str:
    """Return the metric of a data set besides the loss: rmse or accuracy."""
    return "rmse" if dataset.task == "regression" else "accuracy"


def to_dict(config: Config) -> dict:
    """Return `config` as plain values for JSON.

    A field of LATER is left out if it has its earlier value, so that older runs and studies keep their names.
    """
    plain = dataclasses.asdict(config) | {name: list(getattr(config, name)) for name in LISTS}
    return {name: value for name, value in plain.items() if name not in LATER or value != LATER[name]}


def from_dict(fields: Mapping[str, Any]) -> Config:
    """Return the Config of which `to_dict` made these values.

    Raises:
        ValueError: a field is unknown, or its value is not allowed.
    """
    return checks.build(Config, "the configuration", fields, key="field")


HYPER = tuple(field.name for field in dataclasses.fields(Config) if field.name in optimizers.NAMES)
"""The fields that are hyper-parameters of an optimizer or of its schedule; all others are in `hyper`."""


def _hyper(config: Config) -> dict[str, float | None]:
    return {name: getattr(config, name) for name in HYPER} | dict(config.hyper)


def _check_hyper(given: Mapping[str, float]) -> None:
    """Raise a ValueError if a value in `hyper` has an option of its own, so that no value is given twice."""
    taken = {*HYPER, *optimizers.REGULARIZERS} & given.keys()
    if taken:
        name = sorted(taken)[0]
        raise ValueError(f"hyper {name!r} has an option of its own; give {name} there")
    if "schedule_steps" in given:
        raise ValueError("hyper 'schedule_steps' follows from the budget; leave it out")


def _regularizers(config: Config) -> dict[str, float | None]:
    return {name: getattr(config, name) for name in optimizers.REGULARIZERS}
