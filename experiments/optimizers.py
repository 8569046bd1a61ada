"""Four optimizers at equal tuning, over their learning rates alone and over all they have: does the ranking change?

    python experiments/optimizers.py --data-dir PATH/TO/mnist

Two studies of 784-64-10 on MNIST (58,000 training examples, 2,000 for validation) at batch size 128, to 95 % validation
accuracy. Each optimizer has the same 16 points (Halton) with 3 seeds in both; its best point is run again alone with 12
fresh seeds. The narrow spaces hold the learning rate; the inclusive ones (Choi et al. 2019) hold every hyper-parameter,
so momentum can become sgd, and rmsprop momentum. An interval holds the luck of the fresh seeds: it is about the points
that were found, not about the best there are. The figure has the median best of k points: what a smaller tuning budget
would have found.

Measured on 2 cores of a shared AMD EPYC machine, jax 0.10.2, median steps [95 %] of the fresh seeds:

                 narrow spaces     inclusive spaces
    rmsprop      398 [359, 454]    446 [398, 493]
    momentum     446 [409, 472]    553 [522, 630]
    sgd          586 [530, 658]    586 [530, 658]
    adagrad      595 [570, 658]    621 [586, 718]

Over learning rates alone sgd and adagrad take more steps than momentum and than rmsprop (1.09 to 1.81 times as many);
over all hyper-parameters the others take more than rmsprop (1.02 to 1.69 times), and momentum is not told apart from
sgd: 16 points in two dimensions find a worse momentum than 16 rates at 0.9. No pair is told apart in opposite orders.
5.5 minutes.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlp_jax import Config, study, tables
from mlp_jax.analysis import comparison, targets
from mlp_jax.analysis.bootstrap import Estimate
from mlp_jax.analysis.family import FIRST_LESS, SECOND_LESS
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.drawing import canvas
from mlp_jax.machine import devices
from mlp_jax.report import figures
from mlp_jax.report.panels import grid, legend, log_y, name_x
from mlp_jax.study import Findings, Space, Study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import compared, interval

SURE = {FIRST_LESS, SECOND_LESS}
RATES = {
    "sgd": Space(low=0.01, high=10), "momentum": Space(low=1e-3, high=1), "adagrad": Space(low=1e-3, high=1),
    "rmsprop": Space(low=1e-4, high=0.1),
}  # fmt: skip
MORE = {
    "sgd": {},
    "momentum": {"momentum": Space(low=0, high=0.99, scale="log_complement")},
    "adagrad": {"initial_accumulator": Space(low=1e-6, high=1), "epsilon": Space(low=1e-10, high=1e-2)},
    "rmsprop": {
        "momentum": Space(low=0, high=0.99, scale="log_complement"),
        "decay": Space(low=0.5, high=0.999, scale="log_complement"),
        "epsilon": Space(low=1e-10, high=1e-2),
    },
}
NARROW = Study(
    workload=Config(dataset="mnist", hidden=(64,), validation=2000),
    optimizers=tuple(RATES),
    batch_sizes=(128,),
    max_steps=1500,
    target=0.95,
    spaces={name: {"learning_rate": rate} for name, rate in RATES.items()},
    method="halton",
    points=16,
    fresh_seeds=12,
)
INCLUSIVE = dataclasses.replace(
    NARROW, spaces={name: {"learning_rate": rate} | MORE[name] for name, rate in RATES.items()}
)


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    figure: Path = Path("figures/optimizers.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, fewer points and seeds."""


def main(options: Options) -> None:
    """Run both studies, print both rankings and what is sure of them, and draw the figure."""
    devices.start_cpu_devices()
    plans = {name: configure(plan, options) for name, plan in (("narrow", NARROW), ("inclusive", INCLUSIVE))}
    found, pages = {}, {}
    for name, plan in plans.items():
        found[name], pages[name] = experiment.found(options, "optimizers", plan)
    canvas.save(draw(plans, {name: page.parent for name, page in pages.items()}), options.figure)
    said = [reversals(found["narrow"], found["inclusive"])]
    text = "\n\n".join([*(ranking(name, each) for name, each in found.items()), *said])
    text += "".join(f"\nreport: {page}" for page in pages.values()) + f"\nfigure: {options.figure}"
    result: dict[str, Any] = {name: study.to_json(each) for name, each in found.items()}
    quick = "digits, five points, one seed of each" if options.quick else None
    experiment.show(options, result | {"sentences": said, "figure": str(options.figure)}, text, quick)


def configure(plan: Study, options: Options) -> Study:
    """Return what is run: the study, on the data that the options name."""
    if not options.quick:
        return study.changed(plan, {"data_dir": options.data_dir}, {})
    fields = {"target": 0.9, "points": 5, "seeds": 1, "max_steps": 400, "fresh_seeds": 3}
    return study.changed(plan, {"dataset": "digits", "validation": 0.2}, fields)


def ranking(name: str, found: Findings) -> str:
    """Return the optimizers from the fewest steps to the most, and what may be said of each two."""
    rows = []
    for row in found.cells.sort_values("steps").to_dict("records"):
        steps = interval(Estimate(row["steps"], row["steps_low"], row["steps_high"]))
        rows.append(
            (row["optimizer"], steps, f"{row['reached']} of {row['trials']}", f"{100 * row['test_accuracy']:.2f}")
        )
    heads = (f"{name} spaces", "steps [95 %]", "trials that reached it", "test accuracy, %")
    return "\n".join([tables.text(heads, rows), *(f"  {compared(pair)}" for pair in found.differences)])


def reversals(narrow: Findings, inclusive: Findings) -> str:
    """Say how many pairs are told apart in each kind of space, and which of them in opposite orders."""
    verdicts = [{(p.first, p.second): p.verdict for p in each.differences} for each in (narrow, inclusive)]
    counts = [sum(verdict in SURE for verdict in of.values()) for of in verdicts]
    turned = [pair for pair, verdict in verdicts[0].items() if {verdict, verdicts[1].get(pair)} == SURE]
    names = ", ".join(" and ".join(pair) for pair in turned) or "none"
    return (
        f"Of {len(verdicts[0])} pairs {counts[0]} are told apart over the narrow spaces and {counts[1]} over the "
        f"inclusive ones, in opposite orders: {names}."
    )


def draw(plans: dict[str, Study], places: dict[str, Path]) -> Figure:
    """Draw the median best of k points against k, a panel for each kind of space and a line for each optimizer."""
    figure, panels = grid([f"{name} spaces" for name in plans])
    for axes, (name, plan) in zip(panels, plans.items()):
        trials = where(study.read_study(places[name]), phase="tuning").drop_duplicates("trial")
        for optimizer in plan.optimizers:
            own, (colour, marker) = where(trials, optimizer=optimizer), figures.LOOKS[optimizer]
            steps, settings = own["steps_to_target"].to_numpy(float), own[list(plan.spaces[optimizer])].to_numpy(float)
            _, point = np.unique(settings, axis=0, return_inverse=True)
            curve = comparison.best_of_k(targets.medians(steps, point.reshape(-1), int(point.max()) + 1))
            median = np.where(np.isfinite(curve.median), curve.median, np.nan)
            axes.plot(curve.k, median, marker=marker, markersize=3, color=colour, label=optimizer)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        name_x(axes, "points tried, k", panels)
    log_y(panels, "steps to target, best of k")
    return legend(figure, panels[0].get_legend_handles_labels()[0], 4)


if __name__ == "__main__":
    script(main, Options)
