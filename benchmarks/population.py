"""Time a trial-step of many trials against the best that PyTorch and scikit-learn do, and against the machine's limit.

    python benchmarks/population.py              # a table, and a record in benchmarks/results/
    python benchmarks/population.py --json       # one JSON object on stdout
    python benchmarks/population.py --trials 64

Every contender trains K independent trials of 784-256-128-10, ReLU, cross-entropy, momentum 0.9, float32, on the same
60,000 rows of uint8 noise and from the same weights; the unit is µs per trial-step, wall / (K · steps). `us` is the
engine of `mlp_jax.population`. `torch_eager` is one process with every core; `…_processes` and `sklearn` are one
process per core with one thread each; `torch_compile` compiles the whole step, optimizer included; `torch_ensemble`
stacks the trials and takes `vmap` of the gradient. On an accelerator PyTorch uses it too, from one process. The limit
is what XLA needs for a step's matrix products, each in its best orientation, for one pass over weights and momenta and
for the gather of a mini-batch, measured in the same rounds on all devices at once; `share` is limit / us.

Measured on 2 cores of a shared AMD EPYC machine, K = 8, jax 0.10.2, PyTorch 2.13.0: µs per trial-step, share of the
limit, and how many times faster than eager PyTorch with a process per core, than the best of all PyTorch variants (the
compiled ensemble up to B = 128, compiled steps in processes at 1024) and than scikit-learn:

    B = 1         29    89 %   7.4×   3.1×   12.4×
    B = 32       217    96 %   2.0×   1.5×    2.1×
    B = 128      739    89 %   1.7×   1.4×    1.7×
    B = 1024   5,817    91 %   1.2×   1.1×    1.3×

The limit decides what is left: at 100 % of it we would be 2.1, 1.9 and 1.4 times faster than eager PyTorch at B = 32,
128 and 1024, whose products run about as fast as XLA's here. Ours at B = 32, by optimizer: sgd 205, momentum 217,
nesterov 223, adamax 231, adagrad 241, rmsprop 255, adam 268, amsgrad 269, nadam 292, adadelta 303.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import contenders
import jax
import jax.numpy as jnp
import numpy as np
import records
import turns
from contenders import LEARNING_RATE, MOMENTUM, NETWORK, Weights
from fleet import Fleet
from turns import Contender

from mlp_jax import optimizers, tables, trial
from mlp_jax.bench import ceilings, workloads
from mlp_jax.machine import devices
from mlp_jax.model import Params
from mlp_jax.training.engine import on_cpu

BATCH_SIZES, QUICK_BATCH_SIZES = (1, 32, 128, 1024), (32,)
OPTIMIZER_BATCH_SIZE = 32
TRIALS = 8
ALONE: dict[str, Callable[..., Contender]] = {
    "torch_eager": contenders.torch_eager,
    "torch_ensemble": contenders.torch_ensemble,
    "torch_ensemble_compiled": contenders.torch_ensemble_compiled,
}
ALONE_ON_ACCELERATOR: dict[str, Callable[..., Contender]] = {
    "torch_compile": contenders.torch_compile,
    "torch_ensemble_graphs": contenders.torch_ensemble_graphs,
}
IN_PROCESSES = {
    "torch_eager_processes": "torch_eager",
    "torch_compile_processes": "torch_compile",
    "sklearn": "sklearn",
}
RIVALS = (
    "torch_eager",
    "torch_eager_processes",
    "torch_compile_processes",
    "torch_ensemble",
    "torch_ensemble_compiled",
    *ALONE_ON_ACCELERATOR,
    "sklearn",
)


class Workload(NamedTuple):
    """What is trained: the rows and labels, how many trials, and where our engine places them."""

    x: np.ndarray
    y: np.ndarray
    trials: int
    place: str | int


class Effort(NamedTuple):
    """How long is measured: how often each contender has its turn, and of how many seconds."""

    rounds: int
    seconds: float


def ours(work: Workload, batch_size: int, optimizer: str = "momentum") -> Contender:
    """Return the engine: one call of `advance` for all the steps of a turn; trial i has seed i."""
    cell = trial.Cell(network=NETWORK, batch_size=batch_size, optimizer=optimizer)
    values = trial.complete(cell, learning_rate=LEARNING_RATE, momentum=MOMENTUM if optimizer == "momentum" else None)
    data = workloads.held(work.x, work.y)
    trained = workloads.Together(cell, values, data, work.trials, work.place)

    def loss() -> float:
        params = jax.tree.map(lambda leaf: leaf[: work.trials], trained.params)
        return _mean_loss(cell, values, data, params)

    return Contender(loss, trained.run)


@cache
def weights(trials: int) -> list[Weights]:
    """Return what trials 0, 1, … start from."""
    cell = trial.Cell(network=NETWORK)
    start = partial(trial.start, cell, trial.complete(cell))
    stacked = jax.jit(jax.vmap(lambda seed: start(seed).params))(jnp.arange(trials, dtype=jnp.uint32))
    return [[(np.array(W[i]), np.array(b[i])) for W, b in stacked] for i in range(trials)]


def rivals() -> list[str]:
    """Return the names of the rivals on this back end."""
    return [name for name in RIVALS if _on_accelerator() or name not in ALONE_ON_ACCELERATOR]


def makers(work: Workload, batch_size: int, fleet: Fleet) -> Mapping[str, Callable[[], Contender]]:
    """Return what makes us and each rival; several processes would be in each other's way on an accelerator."""
    start = weights(work.trials)
    alone = ALONE | (ALONE_ON_ACCELERATOR if _on_accelerator() else {})
    shared = {} if _on_accelerator() else IN_PROCESSES
    return (
        {"us": partial(ours, work, batch_size)}
        | {name: partial(make, work.x, work.y, start, batch_size) for name, make in alone.items()}
        | {name: partial(fleet.contender, factory, start, batch_size) for name, factory in shared.items()}
    )


def measure(
    work: Workload, batch_sizes: Sequence[int], without: Sequence[str], effort: Effort, with_optimizers: bool
) -> dict:
    """Return the record: µs per trial-step of every contender (None where it is missing), the limit, where.

    Raises:
        ValueError: a contender's loss is not ours, or a trial of ours fails.
    """
    batch = {}
    with Fleet(min(devices.cores(), work.trials)) as fleet:
        for batch_size in batch_sizes:
            made = {name: make for name, make in makers(work, batch_size, fleet).items() if name not in without}
            batch[str(batch_size)] = compare(work, batch_size, turns.prepare(made, batch_size), effort)
    mesh = devices.mesh()
    large = turns.compare({"large": ceilings.large(mesh, ceilings.LARGE)}, *effort)["large"] / mesh.size
    return {
        "trials": work.trials,
        "batch": batch,
        "optimizers": compare_optimizers(work, effort) if with_optimizers else {},
        "gemm_gflops_large": round(2 * ceilings.LARGE**3 / large / 1e3, 1),
        "environment": records.environment(),
    }


def compare(work: Workload, batch_size: int, prepared: dict[str, Contender], effort: Effort) -> dict:
    """Return one batch size's row of the record."""
    mesh = devices.mesh()
    together = 1 if on_cpu(mesh) else -(-work.trials // mesh.size)
    parts = ceilings.parts(mesh, NETWORK, work.x, batch_size, together)
    medians = turns.compare(turns.runs(prepared) | parts, *effort)
    least = {name: medians.pop(name) / (mesh.size * together) for name in parts}
    return row({name: us / work.trials for name, us in medians.items()}, least, batch_size)


def row(medians: Mapping[str, float], least: Mapping[str, float], batch_size: int) -> dict:
    """Return the row of these µs per trial-step, of the contenders and of the parts of the limit."""
    us, total = medians["us"], sum(least.values())
    rate = ceilings.flops(ceilings.products(NETWORK, batch_size)) / least["products"] / 1e3
    torch = {name: median for name, median in medians.items() if name.startswith("torch")}
    best = min(torch, key=lambda name: torch[name], default=None)
    return {
        "us": round(us, 2),
        "limit": round(total, 2),
        "share": round(total / us, 3),
        "gemm_gflops": round(rate, 1),
        **{name: round(medians[name], 2) if name in medians else None for name in rivals()},
        "torch_best": None if best is None else round(torch[best], 2),
        "torch_best_name": best,
        "ratio": {name: round(median / us, 2) for name, median in medians.items() if name != "us"},
    }


def compare_optimizers(work: Workload, effort: Effort) -> dict[str, float]:
    """Return our µs per trial-step with each optimizer."""
    each = {name: ours(work, OPTIMIZER_BATCH_SIZE, name) for name in optimizers.CLASSICAL}
    return {name: round(us / work.trials, 2) for name, us in turns.compare(turns.runs(each), *effort).items()}


def table(record: dict) -> str:
    """Return the record as lines to read: a column per batch size, and in brackets how many times faster we are."""
    columns = list(record["batch"].items())
    heads = (f"µs, K = {record['trials']}", *(f"B = {batch_size}" for batch_size, _ in columns))
    rows = [(name, *(_time(row, name) for _, row in columns)) for name in ("us", "limit", *rivals())]
    large = record["gemm_gflops_large"]
    shares = (f"{_flops(batch_size) / row['us'] / 1e3 / large:.0%}" for batch_size, row in columns)
    rates = (f"{row['gemm_gflops'] / large:.0%}" for _, row in columns)
    rows.append(("us, share of limit", *(f"{row['share']:.0%}" for _, row in columns)))
    rows += [("us, share of large GEMM", *shares), ("GEMM of these shapes", *rates)]
    each = tables.text((), [(name, f"{us:,.1f}") for name, us in record["optimizers"].items()])
    return "\n".join([tables.text(heads, rows), f"large GEMM: {large:,.0f} GFLOP/s", each])


def _time(row: dict, name: str) -> str:
    if row[name] is None:
        return "–"
    return f"{row[name]:,.1f}" + (f" ({row['ratio'][name]}×)" if name in row["ratio"] else "")


def _flops(batch_size: str) -> int:
    return ceilings.flops(ceilings.products(NETWORK, int(batch_size)))


def _mean_loss(cell: trial.Cell, values: dict, data: trial.Data, params: Params) -> float:
    """The mean over trials, whose parameters are stacked, of the loss of the first batch_size rows."""
    first = jnp.arange(cell.batch_size)
    of_one = lambda params: trial.gradient(cell, values, data, params, first)[0]
    return float(jax.jit(lambda params: jnp.mean(jax.lax.map(of_one, params)))(params))


def _on_accelerator() -> bool:
    return jax.default_backend() != "cpu"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="few short rounds, no record: a check, not a measurement")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write benchmarks/results/")
    parser.add_argument("--batch-sizes", type=int, nargs="+", help=f"by default {BATCH_SIZES}")
    parser.add_argument("--trials", type=int, default=TRIALS, help="K")
    parser.add_argument("--placement", default="auto", help="map, vmap, a number of trials at once, or auto")
    parser.add_argument("--optimizers", action=argparse.BooleanOptionalAction, help="time ours with each, at B = 32")
    parser.add_argument("--without", nargs="+", default=[], choices=RIVALS)
    options = parser.parse_args()
    options.batch_sizes = options.batch_sizes or (QUICK_BATCH_SIZES if options.quick else BATCH_SIZES)
    options.record = not options.quick if options.record is None else options.record
    options.optimizers = not options.quick if options.optimizers is None else options.optimizers
    return options


def _check(options: argparse.Namespace) -> None:
    """Raise a ValueError for numbers that can't be measured."""
    if options.trials < 1:
        raise ValueError(f"--trials {options.trials} is not allowed; give a whole number of at least 1")
    for batch_size in options.batch_sizes:
        if not 1 <= batch_size <= contenders.ROWS:
            raise ValueError(f"--batch-sizes {batch_size} is not allowed; give numbers from 1 to {contenders.ROWS:,}")


def main() -> None:
    """Parse the command line, measure, and print."""
    options = _options()
    devices.start_cpu_devices()
    contenders.quiet()
    if _on_accelerator():  # full float32 on both sides, never TF32
        jax.config.update("jax_default_matmul_precision", "highest")
    place = int(options.placement) if options.placement.isdigit() else options.placement
    try:
        _check(options)
        work = Workload(*contenders.noise(), options.trials, place)
        effort = Effort(3, 0.03) if options.quick else Effort(11, 0.4)
        with contenders.settled_torch(devices.cores()):
            record = measure(work, options.batch_sizes, options.without, effort, options.optimizers)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(record, ensure_ascii=False) if options.json else table(record))
    if options.record:
        print(f"record: {records.write(f'population-{options.trials}', record)}", file=sys.stderr)


if __name__ == "__main__":
    main()
