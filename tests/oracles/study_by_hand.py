"""A study written by hand, job by job as the protocol asks: its valleys are known, and so is what must be found.

Log steps to target are a parabola of the log rate with noise of the seed; the bottoms lie on S = S_min + E_min/B.
"""

import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas

from mlp_jax.study import cells, plan, protocol, store
from mlp_jax.study.cells import Facts, StudyCell
from mlp_jax.study.protocol import Job
from mlp_jax.training.config import Config

SIZES, OPTIMIZERS, EXAMPLES = (1, 16, 256), ("sgd", "adam"), 1000
S_MIN, E_MIN, B_CRIT = 40.0, 4000.0, 100.0  # of sgd; adam takes half of the steps
SHARE = {"adam": 0.5, "momentum": 0.7}
RATE, BEND, SPREAD = {"adam": 0.001}, 3.0, 0.1  # best rate at B = 1, curvature per decade², deviation of log steps
DIVERGES = 8.0  # times the best rate
SLOPE, WIGGLE = 0.1, 0.01  # of the score per e-fold of steps, and up and down from look to look
SECONDS = 1e-3  # of a step
NOISE_SCALES = {"sgd": 25.0, "adam": 200.0}
FACTS = Facts("hand", EXAMPLES, "validation_accuracy")
REAL = Facts("hand", EXAMPLES, "validation_rmse")  # a regression
STUDY = plan.Study(
    workload=Config(dataset="digits", hidden=(8,), validation=0.2), optimizers=OPTIMIZERS, batch_sizes=SIZES,
    target=0.9, max_steps=100_000, evaluations=120,
)  # fmt: skip


_TABLES: dict[tuple, pandas.DataFrame] = {}


def best_steps(optimizer: str, batch_size: int) -> float:
    """The bottom of a valley."""
    return SHARE.get(optimizer, 1.0) * (S_MIN + E_MIN / batch_size)


def best_rate(optimizer: str, batch_size: int) -> float:
    """Where the bottom lies: by the square-root rule."""
    return RATE.get(optimizer, 0.02) * batch_size**0.5


def looks(cell: StudyCell) -> np.ndarray:
    """Where trials are looked at: at the start, and log-spaced over the last three decades of their steps."""
    last = cell.config.steps
    assert last is not None
    spread = np.rint(np.geomspace(max(last / 1000, 1), last, cell.config.evaluations)).astype(int)
    return np.unique(np.append(0, spread))


def wanted(job: Job, number: int) -> float:
    """The steps that a trial takes to the target, between two looks."""
    cell, seed = job.cell, job.seeds[number]
    away = np.log10(job.hyper["learning_rate"][number] / best_rate(cell.optimizer, cell.batch_size))
    luck = np.random.default_rng([cell.batch_size, seed, zlib.crc32(cell.optimizer.encode())]).normal(0, SPREAD)
    return best_steps(cell.optimizer, cell.batch_size) * float(np.exp(BEND * away**2 + luck))


def excess(step: np.ndarray, met: int, smoothing: float) -> np.ndarray:
    """How far the score is above the target at each look, its mean over the window of look `met` being 0."""
    wiggle = 0.0 if smoothing == 1 else WIGGLE  # which would cross before
    rising = SLOPE * np.log(np.maximum(step, 0.5)) + wiggle * (-1.0) ** np.arange(len(step))
    near = rising[: met + 1][step[: met + 1] > step[met] / smoothing]
    window = near if len(near) >= 5 else rising[max(0, met - 4) : met + 1]
    return rising - (rising[met] if smoothing == 1 else window.mean()) + 1e-9


def metrics(facts: Facts, target: float, above: np.ndarray) -> dict[str, np.ndarray]:
    """The scores that are so far above the target: accuracies by so much, mean squares below it by that part of it."""
    if facts.score == "validation_rmse":
        square = target**2 * np.clip(1 - above, 1e-6, None)
        return {"validation_loss": square / 2, "validation_rmse": np.sqrt(square)}
    error = np.clip(1 - target - above, 0, 1)
    return {"validation_loss": error, "validation_error": error, "validation_accuracy": 1 - error}


def diverges(job: Job, number: int) -> bool:
    return job.hyper["learning_rate"][number] > DIVERGES * best_rate(job.cell.optimizer, job.cell.batch_size)


def met_at(job: Job, number: int) -> float:
    """The first look of a trial at or after the steps that it takes; inf where there is none."""
    step = looks(job.cell)
    later = step[step >= wanted(job, number)]
    return float(later[0]) if later.size and not diverges(job, number) else np.inf


def trial(job: Job, number: int, end: float, facts: Facts, reaches: bool) -> pandas.DataFrame:
    """The rows of one trial that must be over at the step `end`; the target is never met without `reaches`."""
    config, step, met = job.cell.config, looks(job.cell), met_at(job, number) if reaches else np.inf
    assert config.stop_at is not None
    reached, status, failed = met <= end, "COMPLETE", -1
    above = np.full(len(step), -0.4)
    if reaches:
        above = excess(step, int(np.searchsorted(step, min(met, step[-1]))), config.stop_smoothing)
    kept = step <= (met if reached else end)
    if diverges(job, number):
        status, failed, kept = "INFEASIBLE", int(step[3]), step <= step[3]
        above = np.where(step < step[3], above, np.nan)
    elif not reached and end < step[-1]:
        status = "INCOMPLETE"
    made = {"step": step, "training_seconds": SECONDS * step} | metrics(facts, config.stop_at, above)
    if job.noise_scale:
        trace, scale = 1 / (1.0 + step), NOISE_SCALES[job.cell.optimizer]
        made |= {"noise_trace": trace, "noise_squared_norm": trace / scale, "noise_scale": np.full(len(step), scale)}
    ends = {"steps_to_target": met if reached else np.inf, "steps": int(step[kept][-1])}
    frame = pandas.DataFrame(made).loc[kept]
    return frame.assign(number=number, seed=job.seeds[number], status=status, failed=failed, **ends)


def rows(job: Job, facts: Facts = FACTS, reaches: bool = True) -> pandas.DataFrame:
    """What a job makes, with the columns that `study.job` gives it."""
    cell, count = job.cell, len(job.seeds)
    end = job.cutoff.at(np.array([met_at(job, number) if reaches else np.inf for number in range(count)]))
    frame = pandas.concat([trial(job, number, end, facts, reaches) for number in range(count)], ignore_index=True)
    hyper = {name: np.array(values)[frame["number"]] for name, values in job.hyper.items()}
    place = {"examples": frame["step"] * cell.batch_size, "epoch": frame["step"] * cell.batch_size / facts.examples}
    labels = {"phase": job.phase, "cell": cell.id, "optimizer": cell.optimizer, "batch_size": cell.batch_size}
    labels |= {"round": job.number, "trial": [f"{cell.id}-{job.phase}-{job.number}-{n}" for n in frame["number"]]}
    frame = frame.assign(**hyper, **place, **labels).drop(columns="number")
    tests = {"test_rmse": 60.0} if facts.score == "validation_rmse" else {"test_accuracy": 0.93}
    return frame.assign(**tests) if job.phase == "winners" else frame


def walk(
    asked: plan.Study,
    write: Callable[[Job, pandas.DataFrame], None],
    read: protocol.Read,
    *,
    facts: Facts = FACTS,
    reaches: bool = True,
    complete: int | None = None,
    jobs: int = 0,
) -> None:
    """Do what the protocol asks; all of it, or `complete` cells and `jobs` jobs of the next."""
    for number, cell in enumerate(cells.of(asked, facts)):
        most = None if complete is None or number < complete else jobs if number == complete else 0
        for job in itertools.islice(protocol.jobs(asked, cell, facts.score, read), most):
            write(job, rows(job, facts, reaches))


def table(asked: plan.Study = STUDY, *, facts: Facts = FACTS, reaches: bool = True) -> pandas.DataFrame:
    """The rows of a whole study, as they are read from the disk."""
    key = (asked.id, facts, reaches)
    if key not in _TABLES:
        parts: dict[str, pandas.DataFrame] = {}
        keep, find = lambda job, made: parts.update({job.name: made}), lambda job: parts.get(job.name)
        walk(asked, keep, find, facts=facts, reaches=reaches)
        _TABLES[key] = pandas.concat(parts.values(), ignore_index=True)
    return _TABLES[key].copy()


def study(
    directory: Path,
    asked: plan.Study = STUDY,
    *,
    facts: Facts = FACTS,
    reaches: bool = True,
    complete: int | None = None,
    jobs: int = 0,
    **environment,
) -> Path:
    """Write a study; all of it, or `complete` cells and `jobs` jobs of the next."""
    described = {"platform": "cpu", "processor": "One", "cores": 2, "x64": False, "jax": "0.10.2"} | environment
    kept = store.Store(directory, asked, facts, lambda: described)
    walk(asked, kept.write, kept.read, facts=facts, reaches=reaches, complete=complete, jobs=jobs)
    return directory
