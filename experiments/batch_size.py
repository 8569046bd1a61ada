"""The slides' table, measured: what an iteration costs and how many it takes, from one example to the full gradient.

    python experiments/batch_size.py --data-dir PATH/TO/mnist

Two studies on MNIST: an MLP 784-64-10 to 94 % validation accuracy, and the convex softmax classifier to 91 %; sgd
(and momentum, for the MLP) at batch sizes from 1 to the full gradient, each tuned at each
batch size. A second start of the same command reads what is there.

Measured under protocol 1 (first crossing, fewer evaluations) and not run again since (sgd, medians of 5 seeds; ms an
iteration, iterations to the target, seconds):

|                     | one example          | 64 examples       | full gradient, 54,000 |
|---|---|---|---|
| softmax classifier  | 0.003, 74,303, 0.31  | 0.11, 1,091, 0.13 | 24, 185, 4.7          |
| MLP                 | 0.012, 26,192, 0.32  | 0.36, 582, 0.24   | 87, 204, 18           |

The full gradient needs the fewest iterations and by far the most time, on the convex problem as on the MLP: beyond the
critical batch size an iteration only costs more. On the MLP sgd's steps fall as B^-0.94 up to B = 16, are flat from
1,024 on, and have B_crit = 135 [118, 152] beside a run-averaged gradient noise scale of 93 to 154; momentum scales
perfectly to 256 where sgd does to 64, has B_crit = 462 [401, 549] (noise scale 60 to 177), and takes a third of sgd's
steps at the full gradient, but no fewer up to B = 16. Neither end of the slides' table is the soonest, but 64 to 256
are. That the full gradient "doesn't work" on an MLP was not seen: it works, at seventy times the cost. 8 minutes on 2
cores of a shared AMD EPYC machine.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mlp_jax import Config, study, tables
from mlp_jax.analysis import power_law
from mlp_jax.cli import studies
from mlp_jax.cli.entry import script
from mlp_jax.machine import devices
from mlp_jax.report import canvas, figures
from mlp_jax.study import Findings, Space, Study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import interval

SMALL = 16  # batch sizes up to here are far below the critical one
RATES = {"sgd": Space(low=0.003, high=1.5), "momentum": Space(low=7e-4, high=1.4)}
BUDGETS = {
    "1": 120_000, "4": 40_000, "16": 10_000, "64": 3000, "256": 1200, "1024": 700, "4096": 450, "full": 300
}  # fmt: skip
MLP = Study(
    workload=Config(dataset="mnist", hidden=(64,)),
    optimizers=tuple(RATES),
    batch_sizes=(1, 4, 16, 64, 256, 1024, 4096, "full"),
    max_steps=BUDGETS,
    max_epochs=300.0,
    target=0.94,
    spaces={name: {"learning_rate": rate} for name, rate in RATES.items()},
    noise_scale=True,
)
SOFTMAX = dataclasses.replace(
    MLP,
    workload=Config(dataset="mnist", hidden=()),
    optimizers=("sgd",),
    batch_sizes=(1, 64, "full"),
    max_steps={"1": 150_000, "64": 5000, "full": 300},
    target=0.91,
    spaces={"sgd": {"learning_rate": RATES["sgd"]}},
)


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    out: Path = Path("runs/batch_size")
    """Where the two studies go, with a page each."""
    figure: Path = Path("figures/batch_size.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, fewer batch sizes and points."""


def main(options: Options) -> None:
    """Run both studies, print the slides' table and what the batch size changes, and draw the figure."""
    devices.start_cpu_devices()
    plans = {"softmax classifier": configure(SOFTMAX, options), "MLP": configure(MLP, options)}
    found = {}
    for name, plan in plans.items():
        whole = studies.find(plan, options.out / f"{plan.workload.dataset}-{plan.id}")
        found[name] = whole.findings  # nothing interrupts it
        print(f"report: {whole.page}", flush=True)
    heads = ("", "B", "ms an iteration", "iterations", "examples", "seconds", "iterations to target")
    print(tables.text(heads, [row for name, each in found.items() for row in rows(name, each)]))
    print_scaling(found["MLP"])
    canvas.save(figures.steps(found["MLP"]), options.figure)
    print(f"figure: {options.figure}")


def configure(plan: Study, options: Options) -> Study:
    """Return what is run: the study, on the data that the options name."""
    if not options.quick:
        return study.changed(plan, {"data_dir": options.data_dir}, {})
    sizes, budgets = (1, 8, 64, "full"), {"1": 8000, "8": 2000, "64": 800, "full": 300}
    fields = {"batch_sizes": sizes, "max_steps": budgets, "target": 0.9, "rounds": 1}
    return study.changed(plan, {"dataset": "digits", "validation": 0.2}, fields)


def rows(name: str, found: Findings) -> Iterator[tuple[str, ...]]:
    """Yield a row for each batch size of sgd, with the cost of an iteration and the least and most iterations."""
    runs, cells = found.winners.query("optimizer == 'sgd'"), found.cells.query("optimizer == 'sgd'")
    cost = runs.groupby("batch_size")["step_seconds"].median()
    for row in cells.sort_values("batch_size").to_dict("records"):
        size = row["batch_size"]
        spent = f"{row['steps']:,.0f}", f"{row['examples']:,.0f}", f"{row['seconds']:.2f}"
        spread = f"{row['steps_low']:,.0f} to {row['steps_high']:,.0f}"
        yield f"{name}, sgd", str(size), f"{1000 * cost[size]:.3g}", *spent, spread


def print_scaling(found: Findings) -> None:
    """Print for each optimizer the slope at small batches, how far examples stay few, B_crit and the noise scale."""
    for name, scaling in found.scaling.items():
        cells = where(found.cells, optimizer=name)
        sizes, steps = cells["batch_size"].to_numpy(), cells["steps"].to_numpy(float)
        slope = power_law.fit(sizes[sizes <= SMALL], steps[sizes <= SMALL]).exponent
        noise, misfit = cells["noise_scale"].to_numpy(float), 100 * scaling.fit.misfit
        print(f"{name}: steps ∝ B^{slope:.2f} up to B = {SMALL}; examples within 1.5 times the fewest up to "
              f"B = {scaling.perfect.high:,.0f}; B_crit {interval(scaling.fit.b_crit)}, misfit {misfit:.0f} %; "
              f"noise scale weighed by progress {np.nanmin(noise):.0f} to {np.nanmax(noise):.0f}")  # fmt: skip


if __name__ == "__main__":
    script(main, Options)
