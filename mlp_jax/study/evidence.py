"""What a study has found: tables computed from its rows, with intervals.

Invariant: a finding depends only on the rows, the Study and a definition of steps to target; an interval holds the luck
of tuning and of seeds; what is missing or was missed is stated, not left out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.analysis import bootstrap, critical_batch_size, family, noise, power_law, response
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.critical_batch_size import Fit, Range
from mlp_jax.analysis.crossing import Definition
from mlp_jax.analysis.family import Pair
from mlp_jax.analysis.power_law import Exponent
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.study import best as bests
from mlp_jax.study.best import Best
from mlp_jax.study.histories import Histories, Piece, piece, where
from mlp_jax.study.plan import Study
from mlp_jax.training.config import less_is_better
from mlp_jax.training.trials import Status

if TYPE_CHECKING:
    import pandas

RESAMPLES = 1000
COSTS = ("steps", "examples", "seconds")
COMPARED = ("steps", "examples")  # at the largest and at the smallest batch size, fixed beforehand
UNMEASURED = Estimate(math.nan, math.nan, math.nan)


class Scaling(NamedTuple):
    """How one optimizer's steps to target fall with the batch size, and how its best learning rate grows with it."""

    fit: Fit
    perfect: Range
    exponent: Exponent


class Findings(NamedTuple):
    """What a study has found, with intervals: a row in `cells` for each optimizer and batch size, and comparisons.

    `winners` has a row for each fresh seed of each winner. `best` holds what the rows of `cells` come from.
    `differences` compares all pairs of optimizers in one family: in steps at the largest batch size, in examples at the
    smallest. `definition` is the definition of steps to target.
    """

    winners: "pandas.DataFrame"
    cells: "pandas.DataFrame"
    best: dict[tuple[str, int], Best]
    scaling: dict[str, Scaling]
    differences: list[Pair]
    definition: Definition


def findings(
    rows: "pandas.DataFrame | Histories",
    study: Study,
    definition: Definition | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Findings:
    """Return what a study has found: its cells, critical batch sizes and differences, each with its interval.

    >>> from pathlib import Path
    >>> from mlp_jax.study import read_plan, read_study
    >>> found = findings(read_study("runs/mine"), read_plan(Path("runs/mine")))
    >>> list(found.scaling), [pair.quantity for pair in found.differences]
    (['sgd', 'momentum'], ['steps at B = 96', 'examples at B = 8'])

    Args:
        rows: the rows of `read_study`, or the Histories of `read_histories`.
        definition: the definition of steps to target (default: the study's own); another one is applied to the trials'
            histories.

    Raises:
        ValueError: no winner has been run yet, or the histories are too short for the definition.
    """
    histories = histories_of(rows, study)
    if histories.winners.empty:
        raise ValueError("the study has no winner yet; let it run on")
    own = definition_of(study, histories.trials)
    trials = histories.trials if definition in (None, own) else _read(histories, own, definition)
    best = bests.of(trials, study, resamples)
    crossed = trials if own.smoothing == 1 else histories.read((definition or own)._replace(smoothing=1.0))
    crossings = bests.of(crossed, study, 0)
    names = list(dict.fromkeys(name for name, _ in best))
    scaling = {name: _scaling({size: each for (of, size), each in best.items() if of == name}) for name in names}
    winners = _winners(trials)
    cells = _cells(trials, winners, best, crossings, _noise_scales(histories.winners))
    return Findings(winners, cells, best, scaling, _differences(best), definition or own)


def histories_of(rows: "pandas.DataFrame | Histories", study: Study) -> Histories:
    """Return the histories of rows of `read_study`."""
    return rows if isinstance(rows, Histories) else Histories([kept(rows, study)] if len(rows) else [])


def kept(rows: "pandas.DataFrame", study: Study) -> Piece:
    """Return what findings need of rows that hold whole trials, such as a part."""
    return piece(rows, score_of(study, rows))


def criticals(
    rows: "pandas.DataFrame | Histories", study: Study, asked: Mapping[Definition, int], optimizers: Sequence[str] = ()
) -> list[dict[str, Fit]]:
    """Return each optimizer's line for each definition of steps to target; `asked` has the number of resamples of each.

    Without resamples all intervals are open. If `optimizers` are given, only these are read.
    """
    histories, found = histories_of(rows, study), []
    own = definition_of(study, histories.trials)
    for definition, resamples in asked.items():
        trials = _read(histories, own, definition)
        if optimizers:
            trials = trials.loc[trials["optimizer"].isin(optimizers)]
        of: dict[str, dict[int, Best]] = {}
        for (name, size), best in bests.of(trials, study, resamples).items():
            of.setdefault(name, {})[size] = best
        found.append({name: _scaling(best).fit for name, best in of.items()})
    return found


def score_of(study: Study, rows: "pandas.DataFrame") -> str:
    """Return the column that the study's target is about."""
    usual = "rmse" if "validation_rmse" in rows else "accuracy"
    return f"validation_{usual if study.target_metric == 'auto' else study.target_metric}"


def definition_of(study: Study, rows: "pandas.DataFrame") -> Definition:
    """Return the definition of steps to target by which the study's trials were stopped."""
    return Definition(study.target, less_is_better(score_of(study, rows)), study.smoothing)


def redefined(rows: "pandas.DataFrame | Histories", study: Study, definition: Definition) -> Histories:
    """Return the histories with steps to target by another definition; raise a ValueError as `findings` does."""
    histories = histories_of(rows, study)
    return histories.with_trials(_read(histories, definition_of(study, histories.trials), definition))


def _read(histories: Histories, own: Definition, definition: Definition) -> "pandas.DataFrame":
    """Return the trials, which were stopped by the definition `own`, with steps to target by another definition."""
    easier = definition.target > own.target if own.less_is_better else definition.target < own.target
    looser = definition == own or (definition.target == own.target and definition.smoothing < own.smoothing)
    if not (easier or looser):
        asked, ended = map(_words, (definition, own))
        raise ValueError(
            f"a target of {asked} can't be read from trials that ended at {ended}; give one that is met sooner, or run "
            "a study of it"
        )
    return histories.read(definition)


def _words(definition: Definition) -> str:
    looks = "" if definition.every == 1 else f", every {definition.every} evaluations"
    return f"{definition.target:g} (smoothing {definition.smoothing:g}{looks})"


def best_batch_sizes(cells: "pandas.DataFrame", optimizer: str) -> dict[str, int | None]:
    """Return an optimizer's batch sizes with the least steps, examples and seconds to target; None if none met it."""
    own = where(cells, optimizer=optimizer)
    return {cost: _least(own["batch_size"].to_numpy(), own[cost].to_numpy(float)) for cost in COSTS}


def noise_scales(cells: "pandas.DataFrame") -> dict[str, float]:
    """Return the median noise scale over the batch sizes, for each optimizer that has any."""
    known = cells.loc[cells["noise_scale"].notna()]
    medians = {name: where(known, optimizer=name)["noise_scale"].to_numpy(float) for name in known["optimizer"]}
    return {name: float(np.median(values)) for name, values in medians.items()}


def seconds_apart(found: Findings) -> list[Pair]:
    """Compare all pairs of optimizers in seconds to target at each batch size, in one family."""
    measured: dict[str, dict[str, Any]] = {}
    for row in found.cells.to_dict("records"):
        name, size = row["optimizer"], row["batch_size"]
        best = found.best[name, size]
        of_size = measured.setdefault(f"seconds at B = {size:,}", {})
        of_size[name] = best.steps * row["step_seconds"], best.samples * row["step_seconds"]
    return family.compare({what: of for what, of in measured.items() if len(of) > 1})


def _winners(trials: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the winners' trials in order, with their training seconds per step."""
    won = where(trials, phase="winners")
    each, place = won["training_seconds"] / np.maximum(won["step"], 1), won["optimizer"].map(list(OPTIMIZERS).index)
    made = won.assign(step_seconds=each, place=place)
    return made.sort_values(["place", "batch_size", "seed"], kind="stable", ignore_index=True).drop(columns="place")


def ordered(names: Iterable[str]) -> list[str]:
    """Return the optimizers' names, each once, in the order of the table of optimizers."""
    return sorted(set(names), key=list(OPTIMIZERS).index)


def _cells(
    trials: "pandas.DataFrame",
    winners: "pandas.DataFrame",
    best: Mapping[tuple[str, int], Best],
    crossings: Mapping[tuple[str, int], Best],
    noise_scales: Mapping[tuple[str, int], Estimate],
) -> "pandas.DataFrame":
    import pandas

    tests, made = [name for name in winners if name.startswith("test_")], []
    ends = where(trials, phase="tuning")
    for (optimizer, batch_size), found in best.items():
        own, tried = (where(some, optimizer=optimizer, batch_size=batch_size) for some in (winners, ends))
        each, steps = float(np.median(own["step_seconds"])), response.interval(found.steps, found.samples)
        row: dict[str, Any] = {"optimizer": optimizer, "batch_size": batch_size, "step_seconds": each}
        for cost, factor in (("steps", 1), ("examples", batch_size), ("seconds", each)):
            row |= {cost: factor * steps.value, f"{cost}_low": factor * steps.low, f"{cost}_high": factor * steps.high}
        rate = Estimate(found.rate, *map(float, bootstrap.percentiles(found.rate_samples, 0.95, (0.0, np.inf))))
        row |= {"learning_rate": rate.value if math.isfinite(rate.value) else float(own["learning_rate"].iloc[0])}
        row |= {"learning_rate_low": rate.low, "learning_rate_high": rate.high}
        row |= {"first_crossing": crossings[optimizer, batch_size].steps}
        row |= {"at_end": found.valley.fit.at_end if found.valley is not None else ""}
        scale = noise_scales.get((optimizer, batch_size), UNMEASURED)
        row |= dict(zip(("noise_scale", "noise_scale_low", "noise_scale_high"), scale))
        row |= {name: float(np.median(own[name].to_numpy(float))) for name in tests}
        row |= {"trials": len(tried), "infeasible": len(where(tried, status=Status.INFEASIBLE))}
        made.append(row | {"reached": int(np.isfinite(tried["steps_to_target"].to_numpy(float)).sum())})
    return pandas.DataFrame(made)


def _noise_scales(winners: "pandas.DataFrame") -> dict[tuple[str, int], Estimate]:
    """Return the noise scale of each cell's runs, weighted by progress along a run, with its interval."""
    if "noise_trace" not in winners:
        return {}
    averages: dict[tuple[str, int], list[float]] = {}
    measured = winners.loc[winners["noise_trace"].notna()]
    for key, own in measured.groupby(["optimizer", "batch_size", "trial"], sort=False):
        name, size, _ = key  # pyright: ignore[reportGeneralTypeIssues]
        step, trace, square = (own[column].to_numpy(float) for column in ("step", "noise_trace", "noise_squared_norm"))
        average = noise.progress_average(step, trace, square, float(size))
        averages.setdefault((str(name), int(size)), []).append(average)
    return {cell: noise.over_seeds(each) for cell, each in averages.items()}


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
    """Compare all pairs of optimizers: in steps at the study's largest batch size, in examples at its smallest."""
    names, measured = {name for name, _ in best}, {}
    for quantity, (cost, size) in compared_at(best).items():
        factor = 1 if cost == "steps" else size
        of_size = {name: best[name, size] for name in ordered(names) if (name, size) in best}
        measured[quantity] = {k: (factor * b.steps, factor * b.samples) for k, b in of_size.items()}
    return family.compare(measured)


def compared_at(best: Iterable[tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Return the quantities in which optimizers are compared, each with its cost and batch size.

    If there is only one batch size, steps and examples would be the same comparison, so it is made once.
    """
    sizes = {size for _, size in best}
    ends = zip(COMPARED, dict.fromkeys((max(sizes), min(sizes))))
    return {f"{cost} at B = {size:,}": (cost, size) for cost, size in ends}


def _least(sizes: np.ndarray, costs: np.ndarray) -> int | None:
    """Return the batch size with the least cost, of equals the largest; None if no cost is finite."""
    least = costs.min()
    return int(sizes[costs == least].max()) if math.isfinite(least) else None
