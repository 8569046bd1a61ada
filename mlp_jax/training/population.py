"""Many trials of one cell, trained by one compiled program on all devices.

Invariant: a trial's numbers do not depend on its neighbours, on the number of devices or on how trials are placed,
within the rounding of the products.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mlp_jax.data import Dataset
from mlp_jax.machine import devices
from mlp_jax.machine.clocks import Clock
from mlp_jax.rows import place
from mlp_jax.training import config as configs
from mlp_jax.training import meshes
from mlp_jax.training.config import Config
from mlp_jax.training.engine import Programs, block, fitting
from mlp_jax.training.group import INCOMPLETE, RUNNING, Book, Group, Progress, Rules, Table
from mlp_jax.trial import Cell

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, kw_only=True)
class Population:
    """Trained trials: trial i has `hyper[name][i]` and `seeds[i]`.

    `status` is COMPLETE (budget used or `stop_at` met), INCOMPLETE (out of the race, or interrupted) or INFEASIBLE (a
    loss was not finite, at step `failed`; −1 for the others). `metrics` are those of each trial's last evaluation,
    which is its end unless it failed: `validation_loss`, …, on the splits of `config.evaluate_on` alone.
    `steps_to_target` is inf for a miss. `history` has a row per trial and evaluation. `params` is None unless asked
    for. `compilations` counts the training programs that were compiled.
    """

    config: Config
    cell: Cell
    hyper: dict[str, np.ndarray]
    seeds: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    failed: np.ndarray
    steps_to_target: np.ndarray
    metrics: dict[str, np.ndarray] = field(repr=False)
    history: dict[str, np.ndarray] = field(repr=False)
    params: Any = field(repr=False)
    seconds: dict[str, float]
    compilations: int

    def frame(self) -> "pandas.DataFrame":
        """Return a row per trial: hyper-parameters, seed, status, steps, metrics."""
        import pandas

        columns = {"trial": np.arange(len(self.seeds)), **self.hyper, "seed": self.seeds, "status": self.status}
        ends = {"steps": self.steps, "failed": self.failed, "steps_to_target": self.steps_to_target}
        return pandas.DataFrame(columns | ends | self.metrics)

    def history_frame(self) -> "pandas.DataFrame":
        """Return a row per trial and evaluation: hyper-parameters, seed, step, metrics."""
        import pandas

        return self.frame()[["trial", *self.hyper, "seed"]].merge(pandas.DataFrame(self.history), on="trial")


def train(
    config: Config,
    hyper: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    seeds: Sequence[int] | np.ndarray = (0,),
    *,
    dataset: Dataset | None = None,
    placement: str | int = "auto",
    mesh: tuple[int, int] | None = None,
    racing: int | None = None,
    evaluation_share: float = 0.2,
    trials_at_once: int | None = None,
    keep_params: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Population:
    """Train one trial for each entry of `hyper` and `seeds`, arrays of one length; all else is as `config` says.

    Args:
        hyper: hyper-parameters of the optimizer, its schedule and the regularisation, by name.
        seeds: of the weights and of the order of the examples; `config.seed` is not used.
        dataset: what `config` names, when it is loaded already.
        placement: map (a device takes its trials one after another), vmap (all at once), a number (so many at once),
            or auto: map on CPU, where a trial's weights stay in the cache, vmap elsewhere.
        mesh: how many devices lie along the trial axis, which divides the trials, and along the data axis, which
            divides the rows of each mini-batch; by default as `meshes.choose` says.
        racing: keep the best of every `racing` trials at each rung of successive halving (Jamieson & Talwalkar 2016),
            by the loss that is monitored; the rungs are the evaluations nearest to budget/racingᵏ.
        evaluation_share: largest part of the time that evaluations on the way may take; those that would exceed it
            are left out. With 1 none is, and what is evaluated when does not depend on the machine's speed.
        trials_at_once: at most so many on the devices together; by default as many as fit into memory.
        keep_params: return the trained parameters, stacked, on the host.
        progress: called about once a second.
        interrupted: asked as often; once it is true the trials that have not ended are INCOMPLETE.

    Raises:
        ValueError: arrays are empty or differ in length, a hyper-parameter is unknown or a value not allowed, the
            budget is not in steps or epochs, the noise scale is asked for, `mesh` does not multiply to the devices, or
            not even one trial fits into memory.
    """
    _check_options(racing, evaluation_share, trials_at_once)
    if config.noise_scale:
        raise ValueError("a population does not measure its noise scale; leave noise_scale out, or use mlp_jax.train")
    clock = Clock()
    with clock("io"):
        dataset = dataset or configs.load_data(config)
        cell = configs.make_cell(config, dataset)
        total = configs.total_steps(config, len(dataset.train.y), cell.batch_size)
        table = _table(config, cell, total, hyper or {}, np.asarray(seeds))
        count = min(table.size, trials_at_once or table.size)
        over = devices.mesh(mesh or meshes.choose(jax.local_device_count(), count, cell.batch_size))
        engine = Programs(cell, over, block(placement, over))
        splits = {name: split for name in configs.SPLITS if len((split := getattr(dataset, name)).y)}
        fits = fitting(engine, table.hyper, sum(s.x.nbytes + s.y.nbytes for s in splits.values()))
        data = {name: engine.put_everywhere(place(cell.network, dataset, split)) for name, split in splits.items()}
    assert total is not None
    rules = Rules(config, cell, dataset, total, racing, evaluation_share, keep_params)
    book, before = Book(table), engine.compilations
    size = min(count, fits)
    while len(waiting := book.waiting()) and not interrupted():
        rows = waiting[:size]
        try:
            Group(rules, engine, data, book, rows, size, clock).run(progress, interrupted)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if size == 1:
                raise ValueError(f"one trial does not fit into memory: {str(error).splitlines()[0]}") from error
            book.forget(rows)
            size = -(-size // 2)
    return _closed(rules, book, clock, engine.compilations - before)


def _table(config: Config, cell: Cell, total: int | None, hyper: Mapping, seeds: np.ndarray) -> Table:
    """Return the checked columns, every hyper-parameter of the cell among them."""
    if total is None:
        raise ValueError("a population needs a budget in steps or epochs; seconds bind a trial that runs alone")
    columns = {name: np.atleast_1d(np.asarray(values, float)) for name, values in hyper.items()}
    _check_lengths({"seeds": np.atleast_1d(seeds)} | columns)
    if not np.issubdtype(seeds.dtype, np.integer) or seeds.min() < 0 or seeds.max() >= 2**32:
        raise ValueError(f"seeds {seeds.tolist()!r:.40} are not allowed; give whole numbers from 0 to 2**32 - 1")
    values = zip(*(column.tolist() for column in columns.values()))
    rows = [configs.make_hyper(config, cell, total, **dict(zip(columns, row))) for row in values]
    rows = rows or [configs.make_hyper(config, cell, total)] * seeds.size
    return Table({name: np.array([row[name] for row in rows]) for name in rows[0]}, np.atleast_1d(seeds))


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


def _closed(rules: Rules, book: Book, clock: Clock, compilations: int) -> Population:
    book.status[book.status == RUNNING] = INCOMPLETE
    params = [book.params[row] for row in sorted(book.params)]
    names = book.history[0] if book.history else ()
    return Population(
        config=rules.config,
        cell=rules.cell,
        hyper=book.table.hyper,
        seeds=book.table.seeds,
        status=book.status,
        steps=book.steps,
        failed=book.failed,
        steps_to_target=book.steps_to_target,
        metrics=book.metrics,
        history={name: np.concatenate([part[name] for part in book.history]) for name in names},
        params=jax.tree.map(lambda *leaves: np.stack(leaves), *params) if params else None,
        seconds=clock.seconds,
        compilations=compilations,
    )
