"""Time one training step of one trial against PyTorch and scikit-learn, all in one process, in alternation.

    python benchmarks/single_trial.py            # a table, and a record in benchmarks/results/
    python benchmarks/single_trial.py --json     # one JSON object on stdout

Every contender trains 784-256-128-10, ReLU, cross-entropy, momentum 0.9, float32, on the same 60,000 rows of uint8
noise and from the same weights; a step draws its mini-batch, goes forward and backward, and updates. PyTorch uses
every core and its fused SGD; `torch_compile` compiles the whole step, optimizer included. scikit-learn is given
float32 rows that are scaled already.

Measured on 2 cores of a shared AMD EPYC machine, jax 0.10.2, PyTorch 2.13.0: µs per step, and how many times faster
than eager PyTorch, compiled PyTorch and scikit-learn:

    B = 1         64     7.4×   4.3×  11.2×
    B = 32       403     2.3×   1.7×   2.2×
    B = 128      963     1.5×   1.2×   1.6×
    B = 1024   6,215     1.4×   1.2×   1.5×

At B = 1024 a step is 1.03 GFLOP, so this is 166 GFLOP/s where the largest products reach 197 and PyTorch 122: no
program can be 1.7 times faster than PyTorch here. Tried without gain: weights stored (in, out), gradients through a
materialised transpose (1.05 to 1.1 times slower at B = 32 and 128, 0.96 at 1024), other sizes of the pieces that are
differentiated at once, one batch split over two devices, XLA's flags for vector width and threads.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial

import contenders
import jax
import jax.numpy as jnp
import numpy as np
import records
import turns
from contenders import LEARNING_RATE, MOMENTUM, NETWORK, Weights
from turns import Contender

from mlp_jax import tables, trial
from mlp_jax.bench import workloads
from mlp_jax.model import Layer

BATCH_SIZES = (1, 32, 128, 1024)


def ours(x: np.ndarray, y: np.ndarray, trials: Sequence[Weights], batch_size: int) -> Contender:
    """Return `trial.advance`, one call for all the steps of a turn; the only trial's weights are left whole."""
    cell = trial.Cell(network=NETWORK, batch_size=batch_size)
    hyper = trial.complete(cell, learning_rate=LEARNING_RATE, momentum=MOMENTUM)
    data, params = workloads.held(x, y), tuple(Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in trials[0])
    trained = workloads.Alone(cell, hyper, data, params)
    first = jnp.arange(batch_size)
    loss = jax.jit(lambda params: trial.gradient(cell, hyper, data, params, first)[0])
    return Contender(lambda: float(loss(params)), trained.run)


CONTENDERS = {
    "us": ours,
    "torch_eager": contenders.torch_eager,
    "torch_compile": contenders.torch_compile,
    "sklearn": contenders.sklearn,
}


def prepare(names: list[str], batch_size: int, x: np.ndarray, y: np.ndarray) -> dict[str, Contender]:
    """Return the contenders of `names` that this machine has, all with the same weights.

    Raises:
        ValueError: a contender's loss is not ours.
    """
    params = trial.start(trial.Cell(network=NETWORK), {"learning_rate": 0.01, "momentum": 0.9}, jnp.uint32(0)).params
    return turns.prepare({name: partial(CONTENDERS[name], x, y, [params], batch_size) for name in names}, batch_size)


def measure(batch_sizes: tuple[int, ...], names: list[str], rounds: int, seconds: float) -> dict:
    """Return the record: µs per step of every contender (None where it is missing), our speed-up over each, where."""
    x, y = contenders.noise()
    batch = {}
    for batch_size in batch_sizes:
        medians = turns.compare(turns.runs(prepare(names, batch_size, x, y)), rounds, seconds)
        row = {name: round(medians[name], 2) if name in medians else None for name in CONTENDERS}
        ratios = {name: round(us / medians["us"], 2) for name, us in medians.items() if name != "us"}
        batch[str(batch_size)] = row | {"ratio": ratios}
    return {"batch": batch, "environment": records.environment()}


def table(record: dict) -> str:
    """Return the record as lines to read: µs per step, and in brackets how many times faster we are."""
    rows = []
    for batch_size, row in record["batch"].items():
        cells = (
            "–" if row[name] is None else f"{row[name]:,.1f}" + (f" ({row['ratio'][name]}×)" if name != "us" else "")
            for name in CONTENDERS
        )
        rows.append((f"B = {batch_size}", *cells))
    return tables.text(("µs per step", *CONTENDERS), rows)


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="few short rounds, no record: a check, not a measurement")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write benchmarks/results/")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--without", nargs="+", default=[], choices=[name for name in CONTENDERS if name != "us"])
    options = parser.parse_args()
    if jax.default_backend() != "cpu":  # full float32 on both sides, never TF32
        jax.config.update("jax_default_matmul_precision", "highest")
    names = [name for name in CONTENDERS if name not in options.without]
    try:
        record = measure(tuple(options.batch_sizes), names, *((3, 0.03) if options.quick else (11, 0.4)))
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(record, ensure_ascii=False) if options.json else table(record))
    if not options.quick if options.record is None else options.record:
        print(f"record: {records.write('single_trial', record)}", file=sys.stderr)


if __name__ == "__main__":
    main()
