"""Many trials of one cell, trained by one compiled program on all devices.

Invariant: a trial's numbers do not depend on its neighbours, on the number of devices or on how trials are placed,
within the rounding of the products.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.rows import shape
from mlp_jax.training import meshes, task
from mlp_jax.training.config import Config
from mlp_jax.training.directory import Directory
from mlp_jax.training.engine import Engine
from mlp_jax.training.loop import Loop, Options
from mlp_jax.training.placement import block
from mlp_jax.training.task import Task
from mlp_jax.training.trials import NEVER, Cutoff, Evaluation, Progress, Trials


def train_many(
    config: Config,
    hyper: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    seeds: Sequence[int] | np.ndarray = (0,),
    *,
    dataset: Dataset | None = None,
    placement: str | int = "auto",
    mesh: tuple[int, int] | None = None,
    racing: int | None = None,
    cutoff: Cutoff = NEVER,
    evaluation_share: float = 0.2,
    trials_at_once: int | None = None,
    keep_params: bool = False,
    timed: bool = False,
    lanes: int = 1,
    out: Path | str | None = None,
    resume: bool = False,
    work: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    callback: Callable[[Evaluation], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Trials:
    """Train many networks in one program: one trial for each entry of `hyper` and `seeds`, which have the same length.

    `config` decides everything else, for all trials.

    >>> config = Config(dataset="iris", hidden=(16,), epochs=10)
    >>> trained = train_many(config, {"learning_rate": [0.001, 0.1]}, seeds=[0, 0])
    >>> table = trained.frame().set_index("learning_rate")
    >>> bool(table.loc[0.1, "validation_accuracy"] > table.loc[0.001, "validation_accuracy"])
    True

    Args:
        hyper: hyper-parameters of the optimizer, its schedule and the regularisation, by name.
        seeds: seeds of the weights and of the order of the examples; `config.seed` is not used.
        dataset: the data set that `config` names, if it is loaded already.
        placement: map (a device runs its trials one after another), vmap (all at once), a number (so many at once), or
            auto: map on CPU, where a trial's weights stay in the cache, vmap elsewhere, and on a TPU as many at once as
            fit into its chip's memory.
        mesh: how many devices lie along the trial axis, which divides the trials, and along the data axis, which
            divides the rows of each mini-batch (default: chosen by `meshes.choose`).
        racing: at each rung of successive halving (Jamieson & Talwalkar 2016), keep only the best of every `racing`
            points (a point is all trials that differ only in the seed), by the median over the seeds of the monitored
            loss; the rungs are the evaluations nearest to budget/racingᵏ.
        cutoff: the step at which trials that have not met the target end. Steps beyond it are not in the result, so the
            result does not depend on when the end was noticed.
        evaluation_share: the largest share of the time that evaluations during training may take; those that would
            exceed it are left out. With 1 none is left out, and evaluations do not depend on the machine's speed.
        trials_at_once: the most trials on the devices together (default: as many as fit into memory).
        keep_params: return the trained parameters, stacked, on the host.
        timed: evaluate each trial on the test part at its end, then train it once more, alone on its device and without
            evaluations, so that the seconds of training in its history are its own.
        lanes: use the program for a population of this size, if trials run one after another, where it costs no time.
        out: directory for configuration, environment, metrics and checkpoints; None saves nothing.
        resume: continue from the newest checkpoint in `out`; the numbers are those of an uninterrupted population.
        work: a directory for checkpoints during training, from which training goes on if it was interrupted; the caller
            must remove what is left in it.
        progress: a function that is called about once a second.
        callback: a function that gets each evaluation of each trial once, soon after it was made; see
            `mlp_jax/training/README.md`.
        interrupted: a function that is called as often; once it returns true, the trials end as INCOMPLETE.

    Raises:
        ValueError: arrays are empty or differ in length, a hyper-parameter is unknown or a value not allowed, `mesh`
            does not multiply to the devices, `out` holds other training, or not even one trial fits into memory.
        OSError: `out` can't be written.
    """
    _check_options(racing, evaluation_share, trials_at_once)
    if resume and out is None:
        raise ValueError("resume needs the directory of the trials to go on with; give out too")
    clock = Clock()
    with clock("io"):
        asked = task.resolve(config, dataset)
        trials = _trials(asked, hyper or {}, np.asarray(seeds))
        trials.kept = keep_params
        count = max(lanes, min(trials.size, trials_at_once or trials.size))
        over = devices.mesh(mesh or meshes.choose(jax.local_device_count(), count, asked.cell.batch_size))
        directory = None if out is None else Directory(Path(out), trials, resume)
        if out is None and work is not None:
            directory = Directory(work, trials, resume=True, transient=True)
    try:
        if directory is not None:
            directory.open(trials, clock)
        options = Options(
            placement=placement,
            timed=timed,
            lanes=lanes,
            at_once=trials_at_once,
            racing=racing,
            cutoff=cutoff,
            evaluation_share=evaluation_share,
            ends=tuple(split for split in asked.splits if split == "test") if timed else (),
        )
        return Loop(asked, trials, over, options, clock, directory).run(progress, interrupted, callback)
    finally:
        if directory is not None:
            directory.close()


train = train_many


def compile_ahead(
    config: Config,
    hyper: Iterable[str],
    lanes: int,
    dataset: Dataset,
    mesh: tuple[int, int] | None = None,
    there: Sequence[Any] | None = None,
) -> tuple[Engine, Any]:
    """Compile the program with which `train_many` will train so many trials; this may run in a thread.

    If the trials turn out not to fit into memory together, the program is not used. Returns the engine and the compiled
    program.

    Args:
        hyper: the names of the hyper-parameters in which the trials differ.
        there: other devices than those of this process; they need not be here.
    """
    asked = task.resolve(config, dataset)
    there = jax.local_devices() if there is None else there
    over = devices.mesh(mesh or meshes.choose(len(there), lanes, asked.cell.batch_size), there)
    engine = Engine(asked.cell, over, block("auto", over, asked.cell, lanes), asked.watched, asked.by_loss)
    names = {**asked.hyper(), **dict.fromkeys(hyper)}
    shapes = {name: shape(asked.cell.network, dataset, getattr(dataset, name)) for name in asked.splits}
    return engine, engine.compile(Clock(), shapes, names, engine.lanes(lanes), asked.room)


def _trials(asked: Task, hyper: Mapping, seeds: np.ndarray) -> Trials:
    """Check the columns, add all other hyper-parameters of the cell, and return the trials."""
    columns = {name: np.atleast_1d(np.asarray(values, float)) for name, values in hyper.items()}
    _check_lengths({"seeds": np.atleast_1d(seeds)} | columns)
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min() < 0 or seeds.max() >= 2**32:
        raise ValueError(f"seeds {seeds.tolist()!r:.40} are not allowed; give whole numbers from 0 to 2**32 - 1")
    values = zip(*(column.tolist() for column in columns.values()))
    rows = [asked.hyper(**dict(zip(columns, row))) for row in values]
    rows = rows or [asked.hyper()] * seeds.size
    return Trials(asked, {name: np.array([row[name] for row in rows]) for name in rows[0]}, np.atleast_1d(seeds))


def _check_lengths(columns: Mapping[str, np.ndarray]) -> None:
    for name, values in columns.items():
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"{name} has shape {values.shape}; give an array with one entry for each trial")
    if len({len(values) for values in columns.values()}) > 1:
        given = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise ValueError(f"the arrays have different lengths ({given}); give one entry for each trial in all of them")


def _check_options(racing: int | None, evaluation_share: float, trials_at_once: int | None) -> None:
    if racing is not None and racing < 2:
        raise ValueError(f"racing {racing!r} is not allowed; give a whole number of at least 2, or None")
    if not 0 < evaluation_share <= 1:
        raise ValueError(f"evaluation_share {evaluation_share!r} is not allowed; give a number above 0 and at most 1")
    if trials_at_once is not None and trials_at_once < 1:
        raise ValueError(
            f"trials_at_once {trials_at_once!r} is not allowed; give a whole number of at least 1, or None"
        )
