"""Check predicted seconds to target: a study on one setting of this machine, its times on others, and studies there.

    python benchmarks/predictions.py            # three settings, nine cells, 3 minutes
    python benchmarks/predictions.py --quick    # two settings, two cells: shows only that it runs

Each setting runs `mlp-jax study` and `mlp-jax bench --study` in processes of its own. Predicted are the steps of the
first setting's study times the step of each setting's record; measured is what that setting's own study says. The
record holds every cell's error, and where intervals contradict what was predicted of two optimizers' order.

Measured on 2 cores of a shared AMD EPYC machine, jax 0.10.2: steps to target agree (median error 0), rankings are the
same and no interval contradicts. Seconds are off by a median of 3 % with two devices, 2 % with one and 5 % without wide
vectors (90th percentile 11, 4 and 8 %). In a run beside a little other work the medians were 1, 2 and 6 %, but the 90th
percentiles 35, 5 and 26 %: steps at B = 512 use both cores and suffer from whatever else does.

Before a trial was timed while no other thread compiles, cells were measured at up to 2.8 times their time, and the
medians were 6, 19 and 16 %. Studies whose trials take longer than 2 to 30 ms were not checked.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import records

from mlp_jax import study as studies
from mlp_jax.bench import timings
from mlp_jax.report import joined, predicted
from mlp_jax.training.config import Config

SETTINGS = {  # the first is where the study is taken from
    "two CPU devices": {"JAX_NUM_CPU_DEVICES": "2"},
    "one CPU device": {"JAX_NUM_CPU_DEVICES": "1"},
    "one CPU device, one thread, no wide vectors": {
        "JAX_NUM_CPU_DEVICES": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_cpu_max_isa=AVX",
    },
}
STUDY = studies.Study(
    workload=Config(hidden=(64,), validation=0.2),
    optimizers=("sgd", "momentum", "rmsprop"),
    batch_sizes=(8, 64, 512),
    rounds=1,
    target=0.93,
)
QUICK = studies.changed(
    STUDY, {"hidden": (8,)}, {"optimizers": ("sgd", "momentum"), "batch_sizes": (512,), "rounds": 1, "target": 0.5}
)


def run(environment: dict[str, str], *words: str) -> None:
    """Run `mlp-jax` in an environment.

    Raises:
        CalledProcessError: it failed; it has said why.
    """
    command = [sys.executable, "-m", "mlp_jax", *words]
    subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)


def compare(study: studies.Study, folder: Path, settings: dict[str, dict[str, str]], quick: bool) -> dict[str, Any]:
    """Run the study and measure its steps on every setting, and return each cell's predicted and measured seconds."""
    toml = folder / "study.toml"
    toml.write_text(studies.to_toml(study))
    found, times = {}, {}
    for number, (name, environment) in enumerate(settings.items()):
        print(name, file=sys.stderr)
        out, record = folder / f"study-{number}", folder / f"times-{number}.json"
        run(environment, "study", str(toml), "--out", str(out))
        run(environment, "bench", "--study", str(out), "--out", str(record), *["--quick"] * quick)
        found[name], times[name] = studies.findings(studies.read_study(out), study), (record, timings.read(record))
    name, rows = next(iter(settings)), studies.read_study(folder / "study-0")
    on = predicted.devices(name, study, found[name], rows, {}, list(times.values()))[1:]
    return {name: _setting(each.found, found[name]) for name, each in zip(settings, on)}


def _setting(said: studies.Findings, measured: studies.Findings) -> dict[str, Any]:
    """Return the errors of the prediction, of seconds to target and of the time of a step alone."""
    rows = []
    for there, here in zip(said.cells.to_dict("records"), measured.cells.to_dict("records")):
        ratios = {f"{name}_ratio": there[name] / here[name] for name in ("seconds", "step_seconds", "steps")}
        rows.append({key: here[key] for key in ("optimizer", "batch_size")} | {
            "predicted": there["seconds"], "measured": here["seconds"],
            "measured_interval": [here["seconds_low"], here["seconds_high"]], **ratios,
        })  # fmt: skip
    summary = {name: _errors([row[f"{name}_ratio"] for row in rows]) for name in ("seconds", "step_seconds", "steps")}
    contradicted = joined.changes({"predicted": said, "measured": measured})
    rankings = {"predicted": joined.ranking(said), "measured": joined.ranking(measured)}
    return {"errors": summary, "rankings": rankings, "contradicted": contradicted, "cells": rows}


def _errors(ratios: list[float]) -> dict[str, float]:
    errors = [abs(ratio - 1) for ratio in ratios]
    return {"median": statistics.median(errors), "percentile_90": float(np.percentile(errors, 90))}


def main(arguments: list[str] | None = None) -> None:
    """Compare, print the errors, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two settings, two cells; no record")
    quick = parser.parse_args(arguments).quick
    settings = dict(list(SETTINGS.items())[: 2 if quick else None])
    with tempfile.TemporaryDirectory() as folder:
        made = compare(QUICK if quick else STUDY, Path(folder), settings, quick)
    for name, each in made.items():
        shown = {what: [f"{100 * value:.1f} %" for value in of.values()] for what, of in each["errors"].items()}
        print(f"{name}: median and 90th percentile of the error: {json.dumps(shown)}; {each['rankings']}")
    if not quick:
        print(records.write("predictions", {"environment": records.environment(), "settings": made}))


if __name__ == "__main__":
    main()
