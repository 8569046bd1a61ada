"""One study on every back end that this machine has, and one page about them all: what each takes, who ranks how.

    python experiments/accelerators.py            # digits: three optimizers, four batch sizes, a record of each device
    python experiments/accelerators.py --quick

Each back end (GPU, TPU, CPU) runs `mlp-jax study` and `mlp-jax bench --quick` in a process of its own; where there is
only the CPU, one CPU device is compared with one device for each core, two at least. The study is repeated six times,
each time with another seed and the back ends in turn, so that seconds have their noise beside them: the median and,
from the least to the most, what holds it with 97 %. The figure and the page are of the first repeat. Stopped, it goes
on with the same command.

Measured on 2 cores of a shared AMD EPYC machine, jax 0.10.2, median [least, most] of 6 repeats: with two CPU devices
tuning takes 0.45 [0.31, 0.47] times as long as with one, and all training 0.58 [0.47, 0.67] times. Seconds to the
target, each optimizer at its best batch size, are the same, as they must be, since a trial alone has one device: 1.02
[1.00, 1.10] times for sgd, 1.01 [0.96, 1.10] for momentum, 1.03 [1.01, 1.05] for rmsprop. In none of the repeats does
the order of two optimizers change beyond the intervals. 6 minutes.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from mlp_jax import tables
from mlp_jax.checks import Count
from mlp_jax.cli import experiment, signals
from mlp_jax.cli.experiment import script
from mlp_jax.drawing import canvas
from mlp_jax.machine import devices
from mlp_jax.report import figures, joined, page
from mlp_jax.study import Findings, findings, read_plan, read_study
from mlp_jax.study.evidence import where
from mlp_jax.study.summary import interval

STUDY = "--optimizers sgd momentum rmsprop --batch-sizes 8 64 512 full --rounds 2"
QUICK = "--hidden 8 --optimizers sgd momentum --batch-sizes 64 full --rounds 1 --max-steps 60 --target 0.5"
FIND = """
import jax
for name in ("gpu", "tpu", "cpu"):
    try:
        print(name, len(jax.devices(name)))
    except RuntimeError:
        pass
"""


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    dataset: str = "digits"
    """A name from `mlp-jax data list`, or a path."""
    data_dir: str | None = None
    """Folder with the data set's IDX files, or the folder above it."""
    repeats: Count = 6
    """How often each back end runs the study, with another seed each time."""
    figure: Path = Path("figures/accelerators.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Two optimizers, two batch sizes, a few steps, two repeats, and no records of the machines."""


def main(options: Options) -> None:
    """Run the study on every back end, print what each takes and how the optimizers rank, write page and figure."""
    out, ends = options.out / "accelerators", back_ends()
    repeats = range(2 if options.quick else options.repeats)
    folders = [{name: out / f"{name}-seed-{seed}" for name in ends} for seed in repeats]
    for seed, of in enumerate(folders):
        for name in list(of)[:: (-1) ** seed]:  # back and forth: a machine that grows slow is so for all
            study(options, ends[name], seed, of[name])
    records = [] if options.quick else [record(ends[name], out / f"bench-{name}.json") for name in ends]
    found = [{name: findings(read_study(at), read_plan(at)) for name, at in of.items()} for of in folders]
    canvas.save(figures.seconds({called(name): each for name, each in found[0].items()}), options.figure)
    costs = {name: [cost(of[name], each[name]) for of, each in zip(folders, found)] for name in ends}
    turned = sum(bool(joined.changes(each)) for each in found)
    said = (
        f"In {turned} of {len(repeats)} repeats the order of two optimizers in seconds to the target changes with the "
        "back end beyond the intervals."
    )
    text = f"{table(costs)}\n\nmedian [least, most] of {len(repeats)} repeats\n{said}\n\n"
    text += f"report: {page.write([*folders[0].values(), *records], out / 'report.html')}\nfigure: {options.figure}"
    quick = "two optimizers, two batch sizes, a few steps, two repeats" if options.quick else None
    result = {"seconds": costs, "changes": turned, "repeats": len(repeats), "figure": str(options.figure)}
    experiment.show(options, result, text, quick)


def study(options: Options, environment: dict[str, str], seed: int, out: Path) -> None:
    """Run the study on one back end, as far as it is not there."""
    print(out.name, file=sys.stderr, flush=True)
    arguments = ["--dataset", options.dataset, *(QUICK if options.quick else STUDY).split(), "--seed", str(seed)]
    arguments += ["--data-dir", options.data_dir] if options.data_dir else []
    run(environment, "study", *arguments, "--out", str(out))


def record(environment: dict[str, str], path: Path) -> Path:
    """Measure one back end, unless it has been, and return its record."""
    if not path.exists():
        run(environment, "bench", "--quick", "--out", str(path))
    return path


def cost(folder: Path, found: Findings) -> dict[str, float]:
    """Return the seconds of one study: of its training, and of each optimizer to the target at its best batch size."""
    spent = joined.spent(read_study(folder))
    best = {name: where(found.cells, optimizer=name)["seconds"].to_numpy(float).min() for name in found.scaling}
    return {"tuning": spent.tuning, "winners": spent.winners, "all training": spent.total} | {
        f"{name} to the target": float(least) for name, least in best.items()
    }


def table(costs: dict[str, list[dict[str, float]]]) -> str:
    """Return the seconds of every back end, and how many times those of the first they are, paired by repeat."""
    first, *others = costs
    of = lambda name, what: np.array([each[what] for each in costs[name]])
    rows = []
    for what in costs[first][0]:
        ratios = (interval(experiment.spread(of(name, what) / of(first, what))) for name in others)
        rows.append((what, *(interval(experiment.spread(of(name, what))) for name in costs), *ratios))
    ratios = (f"{called(name)} / {called(first)}" for name in others)
    return tables.text(("seconds", *map(called, costs), *ratios), rows)


def called(name: str) -> str:
    """Return a back end's name as a reader sees it: cpu-2-devices is CPU 2 devices."""
    kind, *rest = name.split("-")
    return " ".join([kind.upper(), *rest])


def back_ends() -> dict[str, dict[str, str]]:
    """Return the environment in which JAX starts each back end, by name; a process of its own looks for them."""
    looked = subprocess.run([sys.executable, "-c", FIND], capture_output=True, text=True, check=True)
    there = [line.split()[0] for line in looked.stdout.splitlines()]
    if there != ["cpu"]:
        return {name: {"JAX_PLATFORMS": name} for name in there}
    counts = (1, max(2, devices.cores()))
    return {
        f"cpu-{count}-device{'s' * (count > 1)}": {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(count)}
        for count in counts
    }


def run(environment: dict[str, str], *arguments: str) -> None:
    """Run mlp-jax in an environment; its progress goes to stderr, its results are read from disk, Ctrl-C goes to it.

    Raises:
        SystemExit: it was interrupted, and has said what is kept.
        ValueError: it failed; it has said why.
    """
    command = [sys.executable, "-m", "mlp_jax", *arguments]
    with signals.interrupts() as interrupted:
        child = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL, process_group=0)
        code, told = None, False
        while code is None:
            if interrupted() and not told:
                child.terminate()  # which is not ignored where it was started in the background
                told = True
            sys.stderr.write("")  # the child speaks there
            try:
                code = child.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    if code == 130:
        raise SystemExit(code)
    if code:
        raise ValueError(f"{' '.join(command[2:5])} … ended with exit code {code}; what it says stands above")


if __name__ == "__main__":
    script(main, Options)
