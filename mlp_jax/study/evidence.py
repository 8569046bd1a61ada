"""What a study has found: tables of a store's rows, with intervals.

Invariant: a finding is a function of the rows, the Study and a definition of steps to target alone; an interval holds
the luck of the tuning and of the seeds; what is missing or was missed is said, not left out.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.analysis import bootstrap, critical_batch_size, crossing, family, noise, power_law, response
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.critical_batch_size import Fit, Range
from mlp_jax.analysis.crossing import Definition
from mlp_jax.analysis.family import Pair
from mlp_jax.analysis.power_law import Exponent
from mlp_jax.analysis.response import Response
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.study import protocol
from mlp_jax.study.plan import Study
from mlp_jax.training.config import less_is_better
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas

RESAMPLES = 1000
COSTS = ("steps", "examples", "seconds")
COMPARED = ("steps", "examples")  # at the largest and at the smallest batch size, fixed beforehand
FITTED = "tuning and seeds"
FOUND = "the seeds alone: the point is the best found, not the best there is"


class Best(NamedTuple):
    """Steps to target of one optimizer at one batch size where it is tuned best, and their samples; inf for a miss.

    `rate` is the learning rate there. `valley` is the fit that they come from, None where they are those of the best
    point that was found; `holds` says what luck the samples hold.
    """

    steps: float
    samples: np.ndarray
    rate: float
    rate_samples: np.ndarray
    valley: Response | None
    holds: str


class Scaling(NamedTuple):
    """How one optimizer's steps to target fall with the batch size, and how its best learning rate grows with it."""

    fit: Fit
    perfect: Range
    exponent: Exponent


class Findings(NamedTuple):
    """`winners`: a row per winner's fresh seed. `cells`: a row per optimizer and batch size, with intervals.

    `best` has what each cell's row comes from, by optimizer and batch size. `differences` compare all pairs of
    optimizers in one family: in steps at the largest batch size, in examples at the smallest. `definition` is that of
    steps to target.
    """

    winners: "pandas.DataFrame"
    cells: "pandas.DataFrame"
    best: dict[tuple[str, int], Best]
    scaling: dict[str, Scaling]
    differences: list[Pair]
    definition: Definition


def findings(
    rows: "pandas.DataFrame", study: Study, definition: Definition | None = None, *, resamples: int = RESAMPLES
) -> Findings:
    """Return what the rows of `read_study` say.

    Args:
        definition: of steps to target; by default the study's own. Another one is read from the trials' histories.

    Raises:
        ValueError: no winner has been run yet, or the histories can't tell what the definition asks.
    """
    if rows.empty or "winners" not in set(rows["phase"]):
        raise ValueError("the study has no winner yet; let it run on")
    own = definition_of(study, rows)
    if definition is not None and definition != own:
        rows = redefined(rows, study, definition)
    winners = _to_target(where(rows, phase="winners"))
    names = list(dict.fromkeys(winners["optimizer"]))
    best = {}
    for name in names:
        for size in dict.fromkeys(where(winners, optimizer=name)["batch_size"].tolist()):
            best[name, size] = _best(rows, winners, study, name, size, resamples)
    crossed = rows if own.smoothing == 1 else redefined(rows, study, own._replace(smoothing=1.0))
    crossings = _first_crossings(crossed, study, best)
    scaling = {name: _scaling({size: each for (of, size), each in best.items() if of == name}) for name in names}
    cells = _cells(rows, winners, best, crossings)
    return Findings(winners, cells, best, scaling, _differences(best), definition or own)


def critical(rows: "pandas.DataFrame", study: Study, definition: Definition, *, resamples: int = 1) -> dict[str, Fit]:
    """Return the line of each optimizer by another definition of steps to target; the intervals take `resamples`."""
    read = redefined(rows, study, definition)
    winners = _to_target(where(read, phase="winners"))
    of: dict[str, dict[int, Best]] = {}
    for name, size in dict.fromkeys(zip(winners["optimizer"], winners["batch_size"].tolist())):
        of.setdefault(name, {})[size] = _best(read, winners, study, name, size, resamples)
    return {name: _scaling(best).fit for name, best in of.items()}


def score_of(study: Study, rows: "pandas.DataFrame") -> str:
    """Return the column that the study's target is about."""
    usual = "rmse" if "validation_rmse" in rows else "accuracy"
    return f"validation_{usual if study.target_metric == 'auto' else study.target_metric}"


def definition_of(study: Study, rows: "pandas.DataFrame") -> Definition:
    """Return the definition of steps to target that the study's trials were stopped by."""
    return Definition(study.target, less_is_better(score_of(study, rows)), study.smoothing)


def redefined(rows: "pandas.DataFrame", study: Study, definition: Definition) -> "pandas.DataFrame":
    """Return the rows with steps to target by another definition, read from the histories.

    Raises:
        ValueError: the target is harder to meet than the study's, at which its trials ended.
    """
    own = definition_of(study, rows)
    harder = definition.target < own.target if own.less_is_better else definition.target > own.target
    if harder or (definition.smoothing > own.smoothing and definition.target == own.target):
        raise ValueError(
            f"a target of {definition.target:g} (smoothing {definition.smoothing:g}) can't be read from trials that "
            f"ended at {own.target:g} (smoothing {own.smoothing:g}); give one that is met sooner, or run a study of it"
        )
    name = score_of(study, rows)
    power = 2 if name.endswith("_rmse") else 1  # the mean of squares is what a window takes together
    asked = definition._replace(target=definition.target**power)
    ordered = rows.sort_values(["trial", "step"], kind="stable")
    step, score = ordered["step"].to_numpy(float), ordered[name].to_numpy(float) ** power
    trial = ordered["trial"].to_numpy()
    begins = np.flatnonzero(np.append(True, trial[1:] != trial[:-1]))
    ends = np.append(begins[1:], len(trial))
    met = [crossing.steps_to_target(step[a:b], score[a:b], asked) for a, b in zip(begins, ends)]
    return ordered.assign(steps_to_target=np.repeat(met, ends - begins))


def best_batch_sizes(cells: "pandas.DataFrame", optimizer: str) -> dict[str, int | None]:
    """Return the batch size of an optimizer with the least steps, examples and seconds to target; None: none met it."""
    own = where(cells, optimizer=optimizer)
    return {cost: _least(own["batch_size"].to_numpy(), own[cost].to_numpy(float)) for cost in COSTS}


def noise_scales(cells: "pandas.DataFrame") -> dict[str, float]:
    """Return the noise scale of each optimizer that has one: the median over its batch sizes."""
    known = cells.loc[cells["noise_scale"].notna()]
    medians = {name: where(known, optimizer=name)["noise_scale"].to_numpy(float) for name in known["optimizer"]}
    return {name: float(np.median(values)) for name, values in medians.items()}


def seconds_apart(found: Findings) -> list[Pair]:
    """Compare all pairs of optimizers in seconds to target at each batch size, in one family."""
    measured: dict[str, dict[str, Any]] = {}
    for row in found.cells.to_dict("records"):
        name, size = row["optimizer"], row["batch_size"]
        best = found.best[name, size]
        of_size = measured.setdefault(f"seconds at B = {size}", {})
        of_size[name] = best.steps * row["step_seconds"], best.samples * row["step_seconds"]
    return family.compare({what: of for what, of in measured.items() if len(of) > 1})


def _to_target(rows: "pandas.DataFrame") -> "pandas.DataFrame":
    """A row per trial: where it ended, its steps and examples to target, and its seconds of training for a step."""
    last = protocol.last_rows(rows)
    examples = last["steps_to_target"] * last["batch_size"]
    each = last["training_seconds"] / np.maximum(last["step"], 1)
    last = last.assign(target_steps=last["steps_to_target"], target_examples=examples, step_seconds=each)
    last = last.assign(place=last["optimizer"].map(list(OPTIMIZERS).index))
    return last.sort_values(["place", "batch_size", "seed"], kind="stable").drop(columns="place").reset_index(drop=True)


def ordered(names: Iterable[str]) -> list[str]:
    """Return the optimizers' names, each once, in the order of their table: plain ones first."""
    return sorted(set(names), key=list(OPTIMIZERS).index)


def _best(
    rows: "pandas.DataFrame", winners: "pandas.DataFrame", study: Study, optimizer: str, batch_size: int, resamples: int
) -> Best:
    """Return the best of a cell: the bottom of its valley, or else the best point found, by its fresh seeds."""
    tuned = protocol.last_rows(where(rows, phase="tuning", optimizer=optimizer, batch_size=batch_size))
    own = where(winners, optimizer=optimizer, batch_size=batch_size)
    valley = protocol.fitted(study, study.spaces[optimizer], tuned, resamples)
    rate = float(own["learning_rate"].iloc[0])
    if valley is not None and valley.name == "learning_rate":
        fit = valley.fit
        return Best(fit.steps, fit.samples_steps, fit.rate, fit.samples_rate, fit, FITTED)
    if valley is not None:
        return Best(valley.fit.steps, valley.fit.samples_steps, rate, np.full(resamples, rate), valley.fit, FITTED)
    steps = np.maximum(own["target_steps"].to_numpy(float), 1)
    samples = bootstrap.median(steps[bootstrap.draws(steps.size, resamples, study.seed)])
    return Best(float(bootstrap.median(steps)), samples, rate, np.full(resamples, rate), None, FOUND)


def _cells(
    rows: "pandas.DataFrame",
    winners: "pandas.DataFrame",
    best: Mapping[tuple[str, int], Best],
    crossings: Mapping[tuple[str, int], float],
) -> "pandas.DataFrame":
    import pandas

    tests, made = [name for name in winners if name.startswith("test_")], []
    ends = protocol.last_rows(where(rows, phase="tuning"))
    for (optimizer, batch_size), found in best.items():
        own, tried = (where(some, optimizer=optimizer, batch_size=batch_size) for some in (winners, ends))
        each, steps = float(np.median(own["step_seconds"])), response.interval(found.steps, found.samples)
        row: dict[str, Any] = {"optimizer": optimizer, "batch_size": batch_size, "step_seconds": each}
        for cost, factor in (("steps", 1), ("examples", batch_size), ("seconds", each)):
            row |= {cost: factor * steps.value, f"{cost}_low": factor * steps.low, f"{cost}_high": factor * steps.high}
        rate = Estimate(found.rate, *map(float, bootstrap.percentiles(found.rate_samples, 0.95, (0.0, np.inf))))
        row |= {"learning_rate": rate.value if math.isfinite(rate.value) else float(own["learning_rate"].iloc[0])}
        row |= {"learning_rate_low": rate.low, "learning_rate_high": rate.high}
        row |= {"first_crossing": crossings[optimizer, batch_size]}
        row |= {"at_end": found.valley.at_end if found.valley is not None else ""}
        row |= _noise_scale(where(rows, phase="winners", optimizer=optimizer, batch_size=batch_size), batch_size)
        row |= {name: float(np.median(own[name].to_numpy(float))) for name in tests}
        row |= {"trials": len(tried), "infeasible": len(where(tried, status=Status.INFEASIBLE))}
        made.append(row | {"reached": int(np.isfinite(tried["steps_to_target"].to_numpy(float)).sum())})
    return pandas.DataFrame(made)


def _first_crossings(
    rows: "pandas.DataFrame", study: Study, best: Mapping[tuple[str, int], Best]
) -> dict[tuple[str, int], float]:
    """Return the steps to target of each cell by first crossing."""
    winners = _to_target(where(rows, phase="winners"))
    return {(name, size): _best(rows, winners, study, name, size, 1).steps for name, size in best}


def _noise_scale(rows: "pandas.DataFrame", batch_size: int) -> dict[str, float]:
    """The noise scale of a cell's runs, each part of them weighed by its progress, with its interval over the seeds."""
    averages = []
    if "noise_trace" in rows:
        for _, own in rows.loc[rows["noise_trace"].notna()].groupby("trial"):
            step, trace, square = (own[name].to_numpy(float) for name in ("step", "noise_trace", "noise_squared_norm"))
            averages.append(noise.progress_average(step, trace, square, float(batch_size)))
    found = noise.over_seeds(averages) if averages else Estimate(math.nan, math.nan, math.nan)
    return {"noise_scale": found.value, "noise_scale_low": found.low, "noise_scale_high": found.high}


def _scaling(best: Mapping[int, Best]) -> Scaling:
    """Fit the line and the exponent to the cells of one optimizer."""
    sizes, each = np.array(list(best)), list(best.values())
    steps, rates = (np.array(values) for values in zip(*((one.steps, one.rate) for one in each)))
    order = bootstrap.joined([np.arange(len(each[0].samples), dtype=float)] * len(each)).astype(int)
    take = lambda columns: np.stack([column[order[:, k]] for k, column in enumerate(columns)], axis=1)
    fit = critical_batch_size.fit_samples(sizes, steps, take([one.samples for one in each]))
    perfect = critical_batch_size.perfect_scaling(sizes, steps)
    reached = np.where(np.isfinite(steps), rates, np.nan)
    exponent = power_law.fit_samples(sizes, reached, take([one.rate_samples for one in each]), fit.b_crit.value)
    return Scaling(fit, perfect, exponent)


def _differences(best: Mapping[tuple[str, int], Best]) -> list[Pair]:
    """Compare all pairs of optimizers: in steps at the largest batch size of all, in examples at the smallest."""
    names, sizes = {name for name, _ in best}, {size for _, size in best}
    measured = {}
    for cost, size in zip(COMPARED, (max(sizes), min(sizes))):
        factor = 1 if cost == "steps" else size
        of_size = {name: best[name, size] for name in ordered(names) if (name, size) in best}
        measured[f"{cost} at B = {size}"] = {k: (factor * b.steps, factor * b.samples) for k, b in of_size.items()}
    return family.compare(measured)


def _least(sizes: np.ndarray, costs: np.ndarray) -> int | None:
    """The batch size with the least cost, the largest of equals; None where none is finite."""
    least = costs.min()
    return int(sizes[costs == least].max()) if math.isfinite(least) else None


def where(rows: "pandas.DataFrame", **values: Any) -> "pandas.DataFrame":
    """The rows that have these values."""
    kept = np.ones(len(rows), bool)
    for name, value in values.items():
        kept &= rows[name].to_numpy() == value
    return rows.loc[kept]
