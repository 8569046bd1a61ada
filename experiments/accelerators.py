"""One study on every back end that this machine has, and one page about them all: who finishes first, who ranks how.

    python experiments/accelerators.py            # digits: three optimizers, four batch sizes, a record of each device
    python experiments/accelerators.py --quick

Each back end (GPU, TPU, CPU) runs `mlp-jax study` and `mlp-jax bench --quick` in a process of its own; where there is
only the CPU, one CPU device is compared with one device for each core, two at least. Stopped, it goes on with the same
command.

Measured under protocol 1 and not run again since, on 2 cores of a shared AMD EPYC machine, 1 minute 38 s: two CPU
devices finish first with 4.0 s of training (2.5 tuning, 1.5 winners), one takes 5.2 s (3.7 and 1.5): two tune 1.44
times as fast, and a winner, which trains alone, takes the same. Seconds to target agree, and the optimizers rank
alike (sgd, rmsprop, momentum)."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mlp_jax.cli.entry import script
from mlp_jax.machine import devices
from mlp_jax.report import canvas, figures, joined, page
from mlp_jax.study import findings, read_plan, read_study

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


@dataclass(frozen=True)
class Options:
    """What this experiment may be asked."""

    dataset: str = "digits"
    """A name from `mlp-jax data list`, or a path."""
    data_dir: str | None = None
    """Folder with the data set's IDX files, or the folder above it."""
    out: Path = Path("runs/accelerators")
    """Folder for the studies, the records of the machines and the page."""
    figure: Path = Path("figures/accelerators.png")
    """Where the figure goes: .svg, .png or .pdf."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Two optimizers, two batch sizes, a few steps, and no records of the machines."""


def main(options: Options) -> None:
    """Run the study on every back end, print who finishes first and how the optimizers rank, write page and figure."""
    sources = []
    for name, environment in back_ends().items():
        print(f"{name}", file=sys.stderr)
        arguments = ["--dataset", options.dataset, *(QUICK if options.quick else STUDY).split()]
        arguments += ["--data-dir", options.data_dir] if options.data_dir else []
        run(environment, "study", *arguments, "--out", str(options.out / name))
        sources.append(options.out / name)
        if not options.quick:
            record = options.out / f"bench-{name}.json"
            if not record.exists():
                run(environment, "bench", "--quick", "--out", str(record))
            sources.append(record)
    rows = {each.name: read_study(each) for each in sources if each.is_dir()}
    found = {name: findings(table, read_plan(options.out / name)) for name, table in rows.items()}
    spent = {name: joined.spent(table) for name, table in rows.items()}
    print("\n".join(joined.sentences(found, spent, asks_same=True)))
    print(f"report: {page.write(sources, options.out / 'report.html')}")
    canvas.save(figures.seconds(found), options.figure)
    print(f"figure: {options.figure}")


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
    """Run mlp-jax in an environment; its results go to stderr with its progress.

    Raises:
        ValueError: it failed; it has said why.
    """
    command = [sys.executable, "-m", "mlp_jax", *arguments]
    code = subprocess.run(command, env=os.environ | environment, stdout=sys.stderr).returncode
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise ValueError(f"{' '.join(command[2:5])} … ended with exit code {code}; what it says stands above")


if __name__ == "__main__":
    script(main, Options)
