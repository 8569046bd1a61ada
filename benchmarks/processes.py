"""Time a compute-bound study on one process and on two, each of them on a core of its own.

    python benchmarks/processes.py              # both, twice in turn: 17 minutes
    python benchmarks/processes.py --quick      # a study of seconds, once: shows only that it runs

The processes are `mlp-jax study`, pinned to cores 0 and 1 with taskset; two of them join on the loopback address. The
time is the whole command's, from its start until its report is written. Both begin with empty caches, and the tables
must be equal.

Measured on 2 cores of a shared AMD EPYC machine: 328 and 326 s on one process, 176 and 179 s on two, 1.85 times the
throughput. Some 6 s of each (start and report) are one process' alone: with budgets of 60,000 steps it was 1.78.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pandas.testing import assert_frame_equal

from mlp_jax import study as studies
from mlp_jax.training.config import Config

STUDY = studies.Study(
    workload=Config(hidden=(64,), validation=0.2),
    batch_sizes=(32, 128),
    points=4,
    seeds=2,
    fresh_seeds=2,
    max_steps=120_000,
    max_epochs=100_000.0,
    target=2.0,  # never met: every trial uses its whole budget
    evaluations=5,
)


def run(study: studies.Study, count: int, folder: Path) -> float:
    """Return the seconds that `count` processes take for `study` in `folder`."""
    folder.mkdir()
    (folder / "study.toml").write_text(studies.to_toml(study), encoding="utf-8")
    command = [sys.executable, "-m", "mlp_jax", "study", str(folder / "study.toml"), "--out", str(folder / "out")]
    if count > 1:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        command += ["--distributed", "--coordinator", address, "--num-processes", str(count)]
    begin = time.perf_counter()
    processes = [
        subprocess.Popen(
            ["taskset", "-c", str(number), *command, *(["--process-id", str(number)] if count > 1 else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"MLP_JAX_CACHE_DIR": str(folder / f"cache-{number}")},
        )
        for number in range(count)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"the processes ended with {codes}; run the study by hand to see why")
    return time.perf_counter() - begin


def table(folder: Path):
    """Return what a study has found, but its clock, in one order."""
    rows = studies.read_study(folder / "out").drop(columns="training_seconds")
    return rows.sort_values(["trial", "step"], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is timed")
    parser.add_argument("--quick", action="store_true", help="a study of seconds, once")
    asked = parser.parse_args()
    study = studies.changed(STUDY, {}, {"max_steps": 200, "optimizers": ("sgd", "adam")}) if asked.quick else STUDY
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1 if asked.quick else asked.rounds):
            for count, times in seconds.items():
                times.append(run(study, count, Path(folder) / f"{number}-{count}"))
                print(f"round {number + 1}, {count} process(es): {times[-1]:.1f} s", flush=True)
            one, two = (table(Path(folder) / f"{number}-{count}") for count in seconds)
            assert_frame_equal(one, two, rtol=1e-6)
    gain = statistics.median(seconds[1]) / statistics.median(seconds[2])
    print(f"throughput of two processes over that of one: {gain:.2f}")


if __name__ == "__main__":
    main()
