"""Four optimizers at equal tuning, over their learning rates alone and over all they have: does the ranking change?

    python experiments/optimizers.py --data-dir PATH/TO/mnist

Two studies of 784-64-10 on MNIST at batch size 128, to 96 % validation accuracy. Each optimizer has the same 24 points
(Halton) with 3 seeds in both; its best point is run again alone with 5 fresh seeds. The narrow spaces hold the learning
rate; the inclusive ones (Choi et al. 2019) hold every hyper-parameter, so momentum can become sgd, and rmsprop
momentum. The figure has the median best of k points: what a smaller tuning budget would have found.

Measured under protocol 1 (first crossing, fewer evaluations) and not run again since (steps, median of 5 fresh seeds;
differences paired by seed, 95 % intervals):

|           | sgd   | momentum | adagrad | rmsprop |
|---|---|---|---|---|
| narrow    | 1,046 | 828      | 1,046   | 930     |
| inclusive | 1,046 | 930      | 1,322   | 930     |

Over learning rates alone no difference is sure. Over all hyper-parameters momentum is sure to take fewer steps than sgd
(by 194 [116, 310]) and adagrad, and rmsprop fewer than adagrad. So the order of the medians hardly changes, and no sure
order is reversed. A larger space found nothing better with as many points: adagrad lost by it, and of its 24 points
fewer reach the target (12 of 72 trials instead of 20). Test accuracy is 96.4 to 96.7 % everywhere. 8 minutes on 2 cores
of a shared AMD EPYC machine.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mlp_jax import Config, study, tables
from mlp_jax.analysis import comparison, targets
from mlp_jax.cli import studies
from mlp_jax.cli.entry import script
from mlp_jax.machine import devices
from mlp_jax.report import canvas, figures
from mlp_jax.report.panels import grid, legend, log_y
from mlp_jax.study import Findings, Space, Study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import compared

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
    workload=Config(dataset="mnist", hidden=(64,)),
    optimizers=tuple(RATES),
    batch_sizes=(128,),
    max_steps=3000,
    target=0.96,
    spaces={name: {"learning_rate": rate} for name, rate in RATES.items()},
    method="halton",
    points=24,
)
INCLUSIVE = dataclasses.replace(
    NARROW, spaces={name: {"learning_rate": rate} | MORE[name] for name, rate in RATES.items()}
)


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    data_dir: str | None = None
    """Folder with MNIST's IDX files, or the folder above it."""
    out: Path = Path("runs/optimizers")
    """Where the two studies go, with a page each."""
    figure: Path = Path("figures/optimizers.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Digits instead of MNIST, fewer points and seeds."""


def main(options: Options) -> None:
    """Run both studies, print both rankings and what is sure of them, and draw the figure."""
    devices.start_cpu_devices()
    plans = {name: configure(plan, options) for name, plan in (("narrow", NARROW), ("inclusive", INCLUSIVE))}
    places = {name: options.out / f"{plan.workload.dataset}-{plan.id}" for name, plan in plans.items()}
    found = {}
    for name, plan in plans.items():
        whole = studies.find(plan, places[name])
        found[name] = whole.findings  # nothing interrupts it
        print(f"report: {whole.page}", flush=True)
    for name, findings in found.items():
        print_ranking(name, findings)
    draw(plans, places, options.figure)
    print(f"figure: {options.figure}")


def configure(plan: Study, options: Options) -> Study:
    """Return what is run: the study, on the data that the options name."""
    if not options.quick:
        return study.changed(plan, {"data_dir": options.data_dir}, {})
    fields = {"target": 0.9, "points": 5, "seeds": 1, "max_steps": 400}
    return study.changed(plan, {"dataset": "digits", "validation": 0.2}, fields)


def print_ranking(name: str, found: Findings) -> None:
    """Print the optimizers from the fewest steps to the most, and what may be said of each two."""
    rows = []
    for row in found.cells.sort_values("steps").to_dict("records"):
        spread = f"{row['steps_low']:,.0f} to {row['steps_high']:,.0f}"
        trials = f"{row['reached']} of {row['trials']} trials"
        rows.append((row["optimizer"], f"{row['steps']:,.0f}", spread, trials, f"{row['test_accuracy']:.2%}"))
    heads = (f"{name} spaces", "steps", "95 %", "points that reached it", "test accuracy")
    print("\n" + tables.text(heads, rows))
    for pair in found.differences:
        print(f"  {compared(pair)}")


def draw(plans: dict[str, Study], places: dict[str, Path], path: Path) -> None:
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
        axes.set_xlabel("points tried, k", size=9)
    log_y(panels, "steps to target, best of k")
    canvas.save(legend(figure, panels[0].get_legend_handles_labels()[0], 4), path)


if __name__ == "__main__":
    script(main, Options)
