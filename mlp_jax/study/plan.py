"""The plan of a study: the dataclass Study, its checks, its form as plain values, and changed copies of it.

Invariant: the Study alone decides a study.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mlp_jax import checks, optimizers
from mlp_jax.checks import Count, Domain, Positive, Steps, choose, whole
from mlp_jax.optimizers import Hyperparameter
from mlp_jax.study import spaces
from mlp_jax.study.spaces import Space
from mlp_jax.training.config import HYPER, Config, Smoothing
from mlp_jax.training.config import from_dict as config_from_dict
from mlp_jax.training.config import to_dict as config_to_dict

MOST = 1_000_000  # the most points, seeds or evaluations; winners' seeds are numbered from here
PROTOCOL = "2.0"  # results can be compared within one MAJOR.MINOR
ROUNDS, CONSTANT = "rounds", "constant"
BATCH_SIZES = (1, 8, 64, 512, "full")  # by default, as far as the data go
ACCURACY = 0.95  # the default target; a regression has none
Metric = Annotated[float, Domain(math.isfinite, "the metric to reach")]
OWNED = (  # fields of Config that the study fills in
    "optimizer", "schedule", "batch_size", "seed", "epochs", "steps", "seconds", "stop_at", "stop_metric",
    "stop_smoothing", "evaluations", "spacing", "evaluate_on", "noise_scale", "hyper",
    *(name for name in HYPER if name not in optimizers.LINKS),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Study:
    """Batch sizes × optimizers on one workload, each cell tuned with the same number of trials.

    `workload` says data, network, loss and regularisation; fields that the study itself decides (see OWNED) must keep
    their defaults. `max_steps` and `max_epochs`, whichever ends first, are the budget in which a trial must first meet
    the target; after that, other trials have four times the steps that it took.

    >>> study = Study(optimizers=("sgd", "adam"), batch_sizes=(8, 64), rounds={"sgd": 3, "adam": 5})
    >>> study.rounds_of("adam"), study.max_steps_at(64), study.target
    (5, 40000, 0.95)

    Raises:
        ValueError: a value is not allowed.
    """

    workload: Config = field(default_factory=lambda: Config(hidden=(64,), validation=0.2))
    optimizers: tuple[str, ...] = ("sgd", "momentum", "adagrad", "rmsprop")
    batch_sizes: tuple[Count | Literal["full"], ...] = BATCH_SIZES
    spaces: Mapping[str, Mapping[str, Space]] = field(default_factory=dict)
    """Search space of each optimizer; by default its learning rate alone, which 3 rounds settle. A learning rate with a
    momentum takes 7; for other spaces the best point that was found is reported, and its interval holds the luck of its
    seeds, not that of tuning."""
    schedule: str = CONSTANT
    """How the learning rate falls by the end of a cell's budget: constant, linear, cosine, exponential or step; the
    spaces may include warmup_share and final_factor."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """For each optimizer that is not built in, the hash of its module, which decides its results; filled in."""
    method: str = "rounds"
    """rounds: each trial has a point and a seed of its own, and each round is closer to the best; or a search (halton,
    sobol, grid) of `points`, each with the same `seeds`."""
    rounds: Count | Mapping[str, Count] = 3
    """Number of rounds of 6 trials after the first 10, for all optimizers or for each: {"sgd": 3, "adam": 5}."""
    points: Count = 8
    """Number of points of each cell, for a search."""
    seeds: Count = 3
    """Number of seeds of each point, for a search."""
    fresh_seeds: Count = 5
    """Number of seeds with which the winner of each cell is run, for seconds, test results and curves."""
    max_steps: Steps | Mapping[str, Steps] = 40_000
    """Budget of a trial in steps, for all batch sizes or for each: {"1": 150_000, "full": 400}."""
    max_epochs: Positive = 300.0
    target: Metric = ACCURACY
    """The value to reach on the validation examples; a regression must give one."""
    target_metric: Literal["auto", "accuracy", "rmse", "loss"] = "auto"
    """The metric of the target; auto: the accuracy, or the RMSE of a regression."""
    smoothing: Smoothing = 1.25
    """The target is met at step k if all evaluations since step k/smoothing, at least five, meet it together; with 1,
    if the evaluation at step k does (first crossing)."""
    evaluations: Count = 240
    """Number of evaluations of each trial, log-spaced over the last three decades of its steps."""
    noise_scale: bool = False
    """Measure the gradient noise scale too, in the winners' runs."""
    racing: Annotated[int, whole(2)] | None = None
    """Keep the best of every so many points of a search at each rung."""
    seed: Annotated[int, whole(0)] = 0
    """Seed of everything random in the study: rates, and every trial's weights and order of examples."""
    protocol: str = PROTOCOL

    def __post_init__(self) -> None:
        checks.fields(self, batch_sizes="batch size", max_steps="max_steps of batch size", spaces="the space of")
        for name in ("points", "seeds", "fresh_seeds", "evaluations"):
            if getattr(self, name) > MOST:
                raise ValueError(f"{name} {getattr(self, name)!r} is not allowed; give at most {MOST:,}")
        for name in ("optimizers", "batch_sizes"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        self._check_workload()
        self._check_each("max_steps", "the batch sizes", self.batch_sizes)
        self._check_each("rounds", "the optimizers", self.optimizers)
        check_protocol(self.protocol, "the study")
        if not self.optimizers or not self.batch_sizes:
            raise ValueError("a study needs optimizers and batch sizes; give at least one of each")
        choose("method", self.method, (ROUNDS, *spaces.METHODS))
        if self.racing is not None and self.method == ROUNDS:
            raise ValueError("racing is for a search of points; choose method halton, sobol or grid, or leave it out")
        if unknown := sorted(set(self.spaces) - set(self.optimizers)):
            raise ValueError(
                f"there is a space for {unknown[0]!r}, which is not among the optimizers; drop it or add it"
            )
        object.__setattr__(self, "spaces", {name: self._space(name) for name in self.optimizers})
        versions = {name: self.versions.get(name) or optimizers.version(name) for name in self.optimizers}
        object.__setattr__(self, "versions", {name: version for name, version in versions.items() if version})

    @property
    def id(self) -> str:
        """A hash of everything that decides the results, except the content of the data."""
        return digest(identity(self))

    def max_steps_at(self, batch_size: int | str) -> int:
        """Return the budget of a trial, in steps, at one of the study's batch sizes."""
        return self.max_steps if isinstance(self.max_steps, int) else self.max_steps[str(batch_size)]

    def rounds_of(self, optimizer: str) -> int:
        """Return the number of rounds of one of the study's optimizers."""
        return self.rounds if isinstance(self.rounds, int) else self.rounds[optimizer]

    def _check_each(self, name: str, what: str, keys: tuple) -> None:
        """Raise a ValueError unless one number is given for all, or one for each."""
        given = getattr(self, name)
        if isinstance(given, Mapping) and (odd := sorted(set(given) ^ set(map(str, keys)))):
            raise ValueError(f"{name} and {what} differ in {', '.join(odd)}; give one number, or one for each")

    def _check_workload(self) -> None:
        default = Config()
        for name in OWNED:
            if getattr(self.workload, name) != getattr(default, name):
                raise ValueError(f"{name} is decided by the study; leave it out of the workload")

    def _space(self, optimizer: str) -> dict[str, Space]:
        """Return the search space of an optimizer, checked, or the default if none is given."""
        known = optimizers.table(optimizer, self.schedule)
        given = dict(self.spaces.get(optimizer) or {"learning_rate": default_space(known["learning_rate"])})
        for name, space in given.items():
            if name == "schedule_steps":
                raise ValueError("schedule_steps is the budget of a cell; leave it out of the spaces")
            if name not in known:
                raise ValueError(f"optimizer {optimizer!r} has no hyper-parameter {name!r}; it has {', '.join(known)}")
            for value in space.choices or space.ends:
                optimizers.check_value(name, value, known[name])
        return given


def default_space(row: Hyperparameter) -> Space:
    """Return the search space from the table of hyper-parameters; `row` must have one."""
    assert row.search is not None
    return Space(**row.search._asdict())


def check_protocol(protocol: str, what: str) -> None:
    """Raise a ValueError unless results of `what`, made under `protocol`, can be compared with results made here."""
    if protocol.split(".")[:2] != PROTOCOL.split(".")[:2]:
        raise ValueError(
            f"{what} is of protocol {protocol}, and this is protocol {PROTOCOL}: their results do not compare; "
            "start another, or use the version of mlp_jax that made it"
        )


def to_dict(study: Study) -> dict[str, Any]:
    """Return `study` as plain values, with only those of the workload that differ from the defaults."""
    default = config_to_dict(Config())
    workload = {k: v for k, v in config_to_dict(study.workload).items() if k not in default or v != default[k]}
    fields = {f.name: getattr(study, f.name) for f in dataclasses.fields(study)}
    given = {name: {key: _space_dict(space) for key, space in study.spaces[name].items()} for name in study.optimizers}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    plain |= {"workload": workload, "spaces": given}
    usual = {"schedule": CONSTANT, "versions": {}}  # the values of studies made before these fields existed
    return {name: value for name, value in plain.items() if name not in usual or value != usual[name]}


def identity(study: Study) -> dict[str, Any]:
    """Return `to_dict` without the folder of the data, on which no result depends."""
    plain = to_dict(study)
    return plain | {"workload": {k: v for k, v in plain["workload"].items() if k != "data_dir"}}


def from_dict(fields: Mapping[str, Any]) -> Study:
    """Return the Study of which `to_dict` made these values.

    Raises:
        ValueError: a key is unknown, or a value is not allowed.
    """
    values = dict(fields)
    if "workload" in values:
        values["workload"] = config_from_dict(checks.value("workload", values["workload"], Mapping[str, Any]))
    if "spaces" in values:
        given = checks.value("spaces", values["spaces"], Mapping[str, Mapping[str, Mapping[str, Any]]], "the space of")
        values["spaces"] = {
            optimizer: {name: _space(f"{optimizer}.{name}", fields) for name, fields in of_optimizer.items()}
            for optimizer, of_optimizer in given.items()
        }
    return checks.build(Study, "the study", values)


def changed(study: Study, workload: Mapping[str, Any], fields: Mapping[str, Any]) -> Study:
    """Return a study with some values replaced; a value of None leaves the old one.

    >>> study = changed(Study(), {"dataset": "wine"}, {"optimizers": ("adam",), "target": None})
    >>> study.workload.dataset, study.optimizers, study.target
    ('wine', ('adam',), 0.95)

    Raises:
        ValueError: a value is not allowed.
    """
    given = {name: value for name, value in workload.items() if value is not None}
    new = {name: value for name, value in fields.items() if value is not None}
    spaces = {**study.spaces, **new.get("spaces", {})}
    kept = {name: space for name, space in spaces.items() if name in new.get("optimizers", study.optimizers)}
    if isinstance(study.rounds, Mapping) and "optimizers" in new:
        new.setdefault("rounds", max(study.rounds.values()))
    new |= {"workload": dataclasses.replace(study.workload, **given), "spaces": kept}
    return dataclasses.replace(study, **new)


def _space(name: str, given: Mapping[str, Any]) -> Space:
    try:
        return checks.build(Space, f"the space of {name}", given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _space_dict(space: Space) -> dict[str, Any]:
    if space.choices:
        return {"choices": list(space.choices)}
    return {"low": space.low, "high": space.high, "scale": space.scale}


def digest(value: Any) -> str:
    """Return a short hash of plain values; equal values have equal hashes, even if one is 300 and the other 300.0."""
    return hashlib.sha256(json.dumps(_canonical(value), sort_keys=True).encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """Return `value` with 300 in place of 300.0, so that equal values have equal hashes."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
