"""Which optimizer makes large batches pay? Every one of fourteen, tuned at each batch size up to the full gradient.

    python experiments/large_batch.py --data-dir PATH/TO/mnist

A study of 784-32-10 on 12,000 examples of MNIST (2,000 of them for validation), to 92 % validation accuracy, from 64
examples a step to all 10,000. Each optimizer has the same 22 trials at each batch size, over its learning rate and its
own main constant (sgd and sign_sgd have none), and its best point is run again with 5 fresh seeds. The figure has
the examples to the target as a multiple of the fewest, and the table up to which batch size they are within 1.5 times
these: the range of perfect scaling.

Measured on 2 cores of a shared AMD EPYC machine, jax 0.10.2; the intervals of B_crit hold the luck of the fresh seeds,
for sgd and sign_sgd that of tuning too; – where the steps miss the line by more than 15 %:

                       B_crit              steps at B = 64   steps at B = 10,000
    lars               658 [539, 1,231]    619               58
    muon               412 [346, 456]      129               21
    adam               380 [275, 539]      183               31
    momentum           349 [240, 408]      327               55
    nesterov           280 [230, 358]      291               49
    adamw              222 [185, 393]      183               44
    lamb               216 [185, 268]      327               70
    rmsprop            155 [97, 186]       309               88
    sgd                107 [60, 159]       306               116
    schedule_free_sgd  88 [26, 192]        245               99
    adan               –                   183               31
    nadamw             –                   163               35
    lion               –                   327               111
    sign_sgd           –                   1,480             201

lars has the largest B_crit, from twice the steps of sgd; its interval lies above all others but that of adam, which it
touches. muon needs the fewest steps at both ends, at B = 10,000 fewer than each of the others (Holm, 95 %).
Within 1.5 times the fewest examples momentum, nesterov, adamw, lars and lamb stay up to B = 256, the others, sign_sgd
apart, at B = 64 alone. Another search of each space may find better points, which the intervals do not hold. It took
20 minutes, of which the full gradient had 9.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

from mlp_jax import Config, optimizers, study, tables
from mlp_jax.analysis import power_law
from mlp_jax.analysis.critical_batch_size import Range
from mlp_jax.analysis.family import FIRST_LESS, SECOND_LESS
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import Asked, script, show
from mlp_jax.drawing import canvas
from mlp_jax.drawing.canvas import GREY
from mlp_jax.machine import devices
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import batch_axes, legend, log_y, name_x, sheet
from mlp_jax.study import Findings, Space, Study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import interval

EXAMPLES = 12_000
NEAR_ONE = Space(low=0.5, high=0.99, scale="log_complement")
SECOND = Space(low=0.9, high=0.9999, scale="log_complement")
CONSTANTS: dict[str, dict[str, Space]] = {  # beside the learning rate, whose range is the table's
    "sgd": {},
    "momentum": {"momentum": NEAR_ONE},
    "nesterov": {"momentum": NEAR_ONE},
    "rmsprop": {"decay": SECOND},
    "adam": {"beta1": NEAR_ONE},
    "adamw": {"weight_decay": Space(low=1e-5, high=1e-1)},
    "nadamw": {"beta1": NEAR_ONE},
    "lion": {"beta1": NEAR_ONE},
    "lars": {"momentum": NEAR_ONE},
    "lamb": {"beta1": NEAR_ONE},
    "adan": {"beta1": NEAR_ONE},
    "sign_sgd": {},
    "muon": {"momentum": NEAR_ONE},
    "schedule_free_sgd": {"beta1": NEAR_ONE},
}
BUDGETS = {"64": 6000, "256": 3000, "1024": 1500, "4096": 800, "full": 600}


@dataclass(frozen=True, kw_only=True)
class Options(Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/large_batch.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, three optimizers, three batch sizes, fewer trials."""


def main(options: Options) -> None:
    """Run the study, print how far each optimizer scales perfectly, and draw the steps of all."""
    devices.start_cpu_devices()
    asked = quick() if options.quick else full(options)
    found, page = experiment.found(options, "large_batch", asked)
    canvas.save(draw(found), options.figure)
    rows = [row(found, name) for name in found.scaling]
    rows.sort(key=lambda each: -each["perfect_to"])
    heads = ("optimizer", "perfect scaling to B =", "B_crit", "steps at the largest B", "best rate ∝ B^")
    text = f"{tables.text(heads, [cells(each) for each in rows])}\n\n{sentence(found, rows)}"
    text += f"\n\nreport: {page}\nfigure: {options.figure}"
    result = {"optimizers": rows, "sentence": sentence(found, rows), "study": study.to_json(found)}
    show(options, result, text, "digits, three optimizers, three batch sizes" if options.quick else None)


def full(options: Options) -> Study:
    """Return the study of the first examples of MNIST."""
    path = experiment.first_examples(options, "mnist", EXAMPLES)
    return Study(
        workload=Config(dataset=str(path), hidden=(32,), validation=2000),
        optimizers=tuple(CONSTANTS),
        batch_sizes=(64, 256, 1024, 4096, "full"),
        spaces={name: space(name) for name in CONSTANTS},
        rounds=2,
        max_steps=BUDGETS,
        max_epochs=2000.0,
        target=0.92,
        evaluations=120,
    )


def quick() -> Study:
    """Return a small study of the digits."""
    names = ("sgd", "lars", "schedule_free_sgd")
    return Study(
        workload=Config(hidden=(16,), validation=0.2), optimizers=names, batch_sizes=(16, 128, "full"), rounds=1,
        spaces={name: space(name) for name in names}, fresh_seeds=2, max_steps=800, evaluations=60, target=0.85,
    )  # fmt: skip


def space(name: str) -> dict[str, Space]:
    """Return the space of an optimizer: its learning rate over the table's range, and its own main constant."""
    search = optimizers.table(name)["learning_rate"].search
    assert search is not None
    return {"learning_rate": Space(low=search.low, high=search.high)} | CONSTANTS[name]


def perfect_to(perfect: Range, smallest: float) -> float:
    """Return the batch size that perfect scaling goes to from the smallest; 0 where that is not in it.

    An optimizer that meets the target at one large batch size alone would else seem to scale furthest.
    """
    return float(perfect.high) if perfect.low == smallest else 0.0


def row(found: Findings, name: str) -> dict:
    """Return what the table says of one optimizer."""
    scaling, own = found.scaling[name], where(found.cells, optimizer=name).sort_values("batch_size")
    steps, rates = own["steps"].to_numpy(float), own["learning_rate"].to_numpy(float)
    met, sizes = np.isfinite(steps), own["batch_size"].to_numpy()
    rate = power_law.fit(sizes[met], rates[met]).exponent if met.sum() > 2 else math.nan
    b_crit = scaling.fit.b_crit
    return {
        "optimizer": name,
        "perfect_to": perfect_to(scaling.perfect, sizes[0]),
        "b_crit": {"value": b_crit.value, "low": b_crit.low, "high": b_crit.high, "said": interval(b_crit)},
        "steps": float(steps[-1]),
        "rate_exponent": float(rate),
    }


def cells(each: dict) -> tuple[str, ...]:
    """Return one row of the table as text."""
    steps = f"{each['steps']:,.0f}" if math.isfinite(each["steps"]) else "not reached"
    return (
        each["optimizer"],
        f"{each['perfect_to']:,.0f}",
        each["b_crit"]["said"],
        steps,
        f"{each['rate_exponent']:.2f}",
    )


def sentence(found: Findings, rows: list[dict]) -> str:
    """Say which optimizer extends perfect scaling furthest, and what that does not say."""
    furthest, largest = rows[0]["perfect_to"], max(found.cells["batch_size"])
    names = ", ".join(each["optimizer"] for each in rows if each["perfect_to"] == furthest)
    apart = [pair for pair in found.differences if pair.verdict in (FIRST_LESS, SECOND_LESS)]
    return (
        f"Perfect scaling goes furthest, to B = {furthest:,.0f}, with {names}; in steps at B = {largest:,} and in "
        f"examples at the smallest batch size {len(apart)} of {len(found.differences)} comparisons tell two optimizers "
        "apart. A batch size is one of a few that were tried, so two optimizers a step apart may scale alike; where a "
        "second constant is tuned, the intervals hold the luck of the seeds alone; and all of it is of one small "
        "network and data set."
    )


def draw(found: Findings) -> Figure:
    """Draw how many times the fewest examples each optimizer takes at each batch size: level is perfect scaling."""
    figure, axes = sheet(3.6)
    for name in found.scaling:
        own, (colour, marker) = where(found.cells, optimizer=name).sort_values("batch_size"), LOOKS[name]
        examples = own["examples"].to_numpy(float)
        met = np.isfinite(examples)
        if met.any():
            ratio = examples[met] / examples[met].min()
            axes.plot(own["batch_size"][met], ratio, color=colour, marker=marker, markersize=5, linewidth=1, label=name)
    axes.axhline(1.5, color=GREY, linestyle=":", zorder=0)
    batch_axes([axes], found.cells["batch_size"])
    log_y([axes], "examples to target / its fewest")
    name_x(axes, "batch size", [axes])
    handles, _ = axes.get_legend_handles_labels()
    return legend(figure, handles, 4)


if __name__ == "__main__":
    script(main, Options)
