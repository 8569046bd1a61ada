"""The slides' table, measured: what an iteration costs and how many it takes, from one example to the full gradient.

    python experiments/batch_size.py --data-dir PATH/TO/mnist

Two studies on the first 12,000 examples of MNIST, of which 2,000 are for validation: an MLP 784-32-10 to 92 %
validation accuracy, and the convex softmax classifier to 88 %; sgd (and momentum, for the MLP) at batch sizes from 1 to
the full gradient of 10,000, each tuned at each batch size with 28 trials of different seeds, and run again with 5 fresh
seeds. Steps to the target are those at the bottom of the tuning curve, with a 95 % interval that holds the luck of
tuning and of seeds; seconds are steps times those of an iteration, from the least of the 5 runs to the most. A second
start of the same command reads what is there.

Measured (sgd; iterations with their interval, the others from the least to the most):

    softmax, B =      1  rate 0.016  0.0049 [0.0046, 0.0056] ms   3,634 [3,229, 4,295]    0.018 [0.015, 0.024] s
                     64       0.57   0.076 [0.066, 0.190]          84.7 [76.7, 94.0]     0.0065 [0.0051, 0.018]
                 10,000        248    15.4 [13.4, 16.0]            26.8 [22.6, 33.1]       0.41 [0.30, 0.53]
    MLP,     B =      1  rate 0.014  0.0137 [0.0131, 0.0151] ms  11,629 [11,068, 14,179]  0.159 [0.145, 0.214] s
                     64       0.32     0.43 [0.37, 0.49]            314 [254, 371]        0.136 [0.093, 0.180]
                 10,000       0.63     28.5 [23.9, 32.0]            114 [99, 126]          3.24 [2.37, 4.03]

The full gradient needs the fewest iterations and by far the most time: 13 to 43 times as long as B = 64 on the MLP, 17
to 104 times on the convex problem, whose best rate there lies at the end of what was tried. Of the sizes from 1 to 256
none can be told from the soonest, on either. (These seconds were measured while other programs compiled beside them,
which trials are kept apart from now.) So the slides' "full gradient doesn't work" for a neural network is too
strong, as in full_gradient.py: it works, and it is dear. On the MLP sgd's steps fall as B^-0.91 [-0.98, -0.86] up to
B = 16 and momentum's as B^-1.02 [-1.07, -0.91]; momentum's examples stay within 1.5 times the fewest up to 256, sgd's
up to 16; B_crit is 113 [102, 134] for sgd and 364 [320, 400] for momentum (the line misses the steps by 7 and 9 %),
beside noise scales, over the batch sizes, of 129 to 595 and 125 to 889. At the full gradient sgd takes 2.1 to 3.1 times
as many steps as momentum; with one example momentum takes 1.03 to 1.65 times as many examples as sgd. 26 minutes on 2
cores of a shared AMD EPYC machine with much other work, which the spread of the seconds shows.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from mlp_jax import Config, study, tables
from mlp_jax.analysis import bootstrap, power_law
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.drawing import canvas
from mlp_jax.machine import devices
from mlp_jax.report import figures
from mlp_jax.study import Findings, Space, Study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import interval, number

EXAMPLES = 12_000
SMALL = 16  # batch sizes up to here are far below the critical one
RATES = {"sgd": Space(low=0.003, high=3), "momentum": Space(low=3e-4, high=1)}
BUDGETS = {
    "1": 60_000, "4": 20_000, "16": 6000, "64": 2000, "256": 800, "1024": 400, "4096": 300, "full": 250
}  # fmt: skip
MLP = Study(
    workload=Config(hidden=(32,), validation=2000),
    optimizers=tuple(RATES),
    batch_sizes=(1, 4, 16, 64, 256, 1024, 4096, "full"),
    max_steps=BUDGETS,
    target=0.92,
    spaces={name: {"learning_rate": rate} for name, rate in RATES.items()},
    noise_scale=True,
)
SOFTMAX = dataclasses.replace(
    MLP,
    workload=Config(hidden=(), validation=2000),
    optimizers=("sgd",),
    batch_sizes=(1, 16, 64, 256, "full"),
    max_steps={size: BUDGETS[size] for size in ("1", "16", "64", "256", "full")},
    target=0.88,
    spaces={"sgd": {"learning_rate": RATES["sgd"]}},
)


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/batch_size.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, fewer batch sizes and trials."""


def main(options: Options) -> None:
    """Run both studies, print the slides' table and what the batch size changes, and draw the figure."""
    devices.start_cpu_devices()
    plans = {"softmax classifier": configure(SOFTMAX, options), "MLP": configure(MLP, options)}
    found, pages = {}, []
    for name, plan in plans.items():
        found[name], page = experiment.found(options, "batch_size", plan)
        pages.append(f"report: {page}")
    canvas.save(figures.steps(found["MLP"]), options.figure)
    table = {name: list(rows(each)) for name, each in found.items()}
    heads = ("sgd", "B", "learning rate", "ms an iteration", "iterations", "examples", "seconds")
    lines = [(name, *cells(row)) for name, of in table.items() for row in of]
    said = [sentence(name, of) for name, of in table.items()] + list(scalings(found["MLP"]))
    ends = "↑ ↓: the best lies at an end of the rates that were tried"
    text = "\n".join([tables.text(heads, lines), ends, "", *said, "", *pages, f"figure: {options.figure}"])
    result: dict[str, Any] = {"table": table, "sentences": said, "figure": str(options.figure)}
    result |= {"studies": {name: study.to_json(each) for name, each in found.items()}}
    quick = "digits, four batch sizes, one round of tuning" if options.quick else None
    experiment.show(options, result, text, quick)


def configure(plan: Study, options: Options) -> Study:
    """Return what is run: the study, on the data that the options name."""
    if not options.quick:
        return study.changed(plan, {"dataset": str(experiment.first_examples(options, "mnist", EXAMPLES))}, {})
    sizes, budgets = (1, 4, 16, "full"), {"1": 8000, "4": 3000, "16": 1500, "full": 300}
    fields = {"batch_sizes": sizes, "max_steps": budgets, "rounds": 1, "target": 0.9, "fresh_seeds": 3}
    return study.changed(plan, {"dataset": "digits", "validation": 0.2}, fields)


def rows(found: Findings) -> Iterator[dict[str, Any]]:
    """Yield for each batch size of sgd what an iteration and all of them cost, each with its interval."""
    runs = where(found.winners, optimizer="sgd")
    for row in where(found.cells, optimizer="sgd").sort_values("batch_size").to_dict("records"):
        each = where(runs, batch_size=row["batch_size"])["step_seconds"].to_numpy(float)
        least, most = float(each.min()), float(each.max())
        seconds = Estimate(row["seconds"], row["steps_low"] * least, row["steps_high"] * most)
        of = {cost: [row[cost], row[f"{cost}_low"], row[f"{cost}_high"]] for cost in ("steps", "examples")}
        step = [1000 * value for value in (row["step_seconds"], least, most)]
        rate = {"learning_rate": row["learning_rate"], "at_end": row["at_end"]}
        yield {"batch_size": row["batch_size"], **rate, "step_ms": step, **of, "seconds": list(seconds)}


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return one row of the table as text."""
    costs = (interval(Estimate(*row[name])) for name in ("step_ms", "steps", "examples", "seconds"))
    end = {"low": " ↓", "high": " ↑"}.get(row["at_end"], "")
    return f"{row['batch_size']:,}", number(row["learning_rate"]) + end, *costs


def sentence(name: str, table: list[dict[str, Any]]) -> str:
    """Say which batch sizes are the soonest, as far as can be told, and how much longer the two ends take."""
    soonest = min(table, key=lambda row: row["seconds"][0])
    _, low, high = soonest["seconds"]
    equal = [f"{row['batch_size']:,}" for row in table if row["seconds"][1] <= high]
    ends = []
    for row in (table[0], table[-1]):
        _, least, most = row["seconds"]
        ends.append(f"B = {row['batch_size']:,} takes {number(least / high)} to {number(most / low)} times as long")
    among = f"B = {equal[0]}" if len(equal) == 1 else f"among B = {', '.join(equal)}, which can't be told apart"
    return f"{name}, sgd: the soonest is {among}; {', and '.join(ends)} as B = {soonest['batch_size']:,}"


def scalings(found: Findings) -> Iterable[str]:
    """Say for each optimizer the slope at small batches, how far examples stay few, B_crit and the noise scale."""
    for name, scaling in found.scaling.items():
        own = where(found.cells, optimizer=name)
        sizes, steps = own["batch_size"].to_numpy(), own["steps"].to_numpy(float)
        samples = bootstrap.joined([found.best[name, int(size)].samples for size in sizes])
        slope = power_law.fit_samples(sizes, steps, samples, SMALL).estimate
        noise, misfit = own["noise_scale"].to_numpy(float), 100 * scaling.fit.misfit
        critical = interval(scaling.fit.b_crit) if math.isfinite(scaling.fit.b_crit.value) else scaling.fit.verdict
        yield (
            f"MLP, {name}: steps ∝ B^{interval(slope)} up to B = {SMALL}; examples within 1.5 times the fewest up to "
            f"B = {scaling.perfect.high:,.0f}; B_crit {critical}, misfit {misfit:.0f} %; "
            f"noise scale weighed by progress {number(np.nanmin(noise))} to {number(np.nanmax(noise))}"
        )


if __name__ == "__main__":
    script(main, Options)
