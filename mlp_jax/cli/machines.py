"""The commands about machines: `bench` measures the one that is here, `compile` looks at one that need not be."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro

from mlp_jax import study as studies
from mlp_jax.cli import entry
from mlp_jax.machine import accelerators, devices

NETWORK_TRIALS, EXAMPLES = 256, 54_000


def bench(
    *,
    study: Path | None = None,
    quick: tyro.conf.FlagCreatePairsOff[bool] = False,
    out: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Measure how much of this machine training uses at each batch size.

    The result is shown beside what the machine's matrix products and memory allow, and is kept as a record.

      mlp-jax bench --quick
      mlp-jax bench --study runs/study-0123456789abcdef

    Args:
        study: A study.toml, or a directory that `mlp-jax study` wrote: measure the time of a step of each of its cells
            instead, from which `mlp-jax report` predicts its seconds to target on this machine.
        quick: Take few and short measurements, in about 20 seconds.
        out: File for the record (default: bench-DEVICE-DATE.json, in benchmarks/results/ where that folder exists).
        json: Print one JSON object on stdout, the record.
    """
    from mlp_jax import bench as benches
    from mlp_jax.bench import timings

    if out:
        benches.prepare(out)
    asked = _study(study) if study else None
    devices.start_cpu_devices()
    if asked is None:
        record, text = benches.measure(benches.QUICK if quick else benches.FULL, _say), benches.table
    else:
        record, text = timings.measure(asked, timings.QUICK if quick else timings.FULL, _say), timings.table
    path = out or benches.default_path(record, quick, "bench-study" if study else "bench")
    benches.write(record, path)
    entry.show(record if json else f"{text(record)}\n\nrecord: {path}")
    return 0


def compile(
    study: Path | None = None,
    /,
    *,
    device: Annotated[str | None, tyro.conf.arg(name="for")] = None,
    widths: tuple[int, ...] | None = None,
    optimizers: tuple[str, ...] | None = None,
    batch_sizes: tuple[int | Literal["full"], ...] | None = None,
    trials: int | None = None,
    examples: int | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """Compile training for a GPU or TPU that need not be here, and say how it would run.

    It says whether the training fits into memory and with how many trials at once, how many kernels a step launches,
    how many bytes it moves, and by an estimate what limits it.

      mlp-jax compile --for h100
      mlp-jax compile --for tpu-v5e --widths 784 256 128 10 --batch-sizes 32 1024

    Args:
        study: A study.toml, or a directory that `mlp-jax study` wrote (default: the default study).
        device: h100, tpu-v5e, tpu-v5p, tpu-v6e or tpu-7x (default: the device that is here).
        widths: Compile this network instead of a study: inputs, hidden layers, outputs, such as 784 256 128 10.
        optimizers: Optimizers to compile (default: the study's, or momentum).
        batch_sizes: Batch sizes to compile (default: the study's, or 32).
        trials: How many trials train together (default: as many as the first round of a study has, or 256).
        examples: How many examples the network is trained on (default: 54000).
        json: Print one JSON object on stdout.
    """
    from mlp_jax.bench import compiled

    there = list(accelerators.absent(device) if device else jax.devices())
    known = accelerators.ACCELERATORS[device] if device else accelerators.of(there[0])
    one = compiled.On(there[0], known, _say)
    if widths is None:
        if examples is not None:
            raise ValueError("--examples are for a network; give --widths too, or leave them out")
        asked = studies.changed(_study(study), {}, {"optimizers": optimizers, "batch_sizes": batch_sizes})
        made = compiled.of_study(one, asked, trials)
    else:
        if study is not None:
            raise ValueError(f"--widths are of another network than {study}'s; leave one of them out")
        sizes, names = batch_sizes or (32,), optimizers or ("momentum",)
        counts = (NETWORK_TRIALS if trials is None else trials, EXAMPLES if examples is None else examples)
        made = compiled.of_network(one, widths, names, sizes, *counts)
    name = known.kind if known else there[0].device_kind
    if json:
        entry.show(
            {
                "device": device or there[0].device_kind,
                "kind": name,
                "programs": [compiled.to_json(each) for each in made],
            }
        )
    else:
        entry.show(compiled.table(made, f"compiled for one {name}{'' if known else ', of which no data are known'}"))
    return 0


def _study(path: Path | None) -> studies.Study:
    """Return the study of a study.toml or of a directory, or the default study if no path is given."""
    if path is None:
        return studies.Study()
    return studies.read_plan(path) if path.is_dir() else studies.from_file(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
