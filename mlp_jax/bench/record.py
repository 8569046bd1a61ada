"""The record of a machine: one JSON file, named by device and date, which can be compared with those of other machines.

Invariant: a file is read as a record only if `mlp-jax bench` of this version wrote it and it is complete.
"""

import itertools
import re
from pathlib import Path
from typing import Any, NamedTuple

from mlp_jax import tables
from mlp_jax.machine import files

KIND = "mlp_jax bench"
VERSION = "1.1"  # records compare within one MAJOR.MINOR
NEEDED = ("environment", "effort", "ceilings", "networks", "precisions")
RESULTS = Path("benchmarks/results")  # in a checkout
ENOUGH = 0.9  # of the most examples per second: reaching more is not worth a larger batch


class Gain(NamedTuple):
    """Where a device stops gaining: the least batch size that reaches ENOUGH of its most examples per second.

    `best` is the most examples per second. `open` is true if this batch size is the largest that was measured, so that
    larger ones may gain more.
    """

    batch_size: int
    best: float
    open: bool


def default_path(record: dict[str, Any], quick: bool = False, name: str = "bench") -> Path:
    """Return where a record goes: into benchmarks/results/ in a checkout, otherwise into the current directory."""
    folder = RESULTS if RESULTS.is_dir() else Path()
    return free_path(folder, f"{name}-quick" if quick else name, record["environment"])


def free_path(folder: Path, name: str, environment: dict[str, Any]) -> Path:
    """Return an unused path in `folder`: `name`, device and date, with -2, -3, … appended if that is taken."""
    device = re.sub(r"[^a-z0-9]+", "-", environment["device_kind"].lower()).strip("-")
    path = folder / f"{name}-{device}-{environment['date']}.json"
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not each.exists())


def prepare(path: Path) -> None:
    """Make the folder for a record before anything is measured, so that no time is lost if it can't be made.

    Raises:
        ValueError: `path` is a folder.
        OSError: its folder can't be made.
    """
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder; name a file")
    files.make_folder(path.parent)


def write(record: dict[str, Any], path: Path) -> None:
    """Write the record.

    Raises:
        OSError: it can't be written.
    """
    prepare(path)
    files.write_json(path, record, ascii=False)


def read(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        ValueError: the file is no record of `mlp-jax bench`, or of another version of it.
        OSError: it can't be read.
    """
    found = load(path, KIND, VERSION, "mlp-jax bench")
    try:
        return _checked(found)
    except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); measure again with mlp-jax bench") from error


def load(path: Path, kind: str, version: str, made_by: str) -> dict[str, Any]:
    """Return what a file of this `kind` holds; only kind and version are checked.

    Args:
        made_by: the command that writes such files, for messages.

    Raises:
        ValueError: the file is of another kind or version.
        OSError: it can't be read.
    """
    found = _json(path, made_by)
    if found.get("kind") != kind:
        raise ValueError(f"{path} is not a record of {made_by}; name a file that it wrote")
    if found.get("version") != version:
        raise ValueError(
            f"{path} has version {found.get('version')!r}, and this is {version}: they do not compare; "
            f"measure again with {made_by}"
        )
    return found


def kind_of(path: Path) -> str:
    """Return the kind that a file says it is of.

    Raises:
        ValueError, OSError: as `load`.
    """
    return str(_json(path, "mlp-jax bench").get("kind"))


def _json(path: Path, made_by: str) -> dict[str, Any]:
    try:
        return files.parsed_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a record of {made_by} ({error}); name a file that it wrote") from error


def gain(rows: list[dict[str, Any]]) -> Gain | None:
    """Return where a device stops gaining, from the `batch` rows of a network; None if no batch fits the device."""
    measured = sorted((row["batch_size"], row["examples_per_second"]) for row in rows if "error" not in row)
    if not measured:
        return None
    best = max(rate for _, rate in measured)
    size = next(size for size, rate in measured if rate >= ENOUGH * best)
    return Gain(size, best, size == measured[-1][0])


def table(record: dict[str, Any]) -> str:
    """Return the record as text: ceilings, then what training reaches at each batch size."""
    where, one = record["environment"], record["ceilings"]["one_device"]
    lines = [
        f"{where['device_count']} × {where['device_kind']} ({where['processor'] or where['machine']}, "
        f"{where['cores']} cores), jax {where['jax']}, products at precision {where['matmul_precision']}",
        f"ceilings of one device: {one['flops_per_second'] / 1e9:,.0f} GFLOP/s in a large product, "
        f"{one['bytes_per_second'] / 1e9:,.1f} GB/s copied, {one['call_seconds'] * 1e6:,.1f} µs a call, "
        f"{one['turn_seconds'] * 1e9:,.1f} ns a turn of a loop",
    ]
    for name, network in record["networks"].items():
        lines += ["", *_network(name, network)]
    heads = ("precision", "error", "GFLOP/s", "µs per step", "digits' loss", "minus highest")
    rows = [_precision(*item) for item in record["precisions"].items()]
    return "\n".join([*lines, "", tables.text(heads, rows)])


def _network(name: str, network: dict[str, Any]) -> list[str]:
    lines = [f"{name} network, {'-'.join(map(str, network['widths']))}, {network['optimizer']}"]
    heads = ("B", "µs per step", "examples/s", "GFLOP/s", "GB/s", "share of ceiling", "bound by", "compile s")
    lines.append(tables.text(heads, map(_step, network["batch"])))
    if stop := gain(network["batch"]):
        beyond = "; larger ones may gain" if stop.open else ""
        lines.append(f"{ENOUGH:.0%} of the most examples/s from B = {stop.batch_size:,} on{beyond}")
    heads = ("trials", "trial-steps/s", "GFLOP/s", "compile s")
    return [*lines, tables.text(heads, map(_trials, network["population"]))]


def _step(row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return f"{row['batch_size']:,}", row["error"]
    rates = f"{row['flops_per_second'] / 1e9:,.1f}", f"{row['bytes_per_second'] / 1e9:,.2f}"
    least = f"{row['share']:.0%}", row["bound"], f"{row['compile_seconds']:.2f}"
    time = f"{row['step_seconds'] * 1e6:,.1f}", f"{row['examples_per_second']:,.0f}"
    return f"{row['batch_size']:,}", *time, *rates, *least


def _trials(row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return f"{row['trials']:,}", row["error"]
    rates = f"{row['trial_steps_per_second']:,.0f}", f"{row['flops_per_second'] / 1e9:,.1f}"
    return f"{row['trials']:,}", *rates, f"{row['compile_seconds']:.2f}"


def _precision(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return name, row["error"]
    step = row["step"]
    time = "–" if "error" in step else f"{step['step_seconds'] * 1e6:,.1f}"
    exact = f"{row['product_error']:.1e}", f"{row['product_flops_per_second'] / 1e9:,.1f}"
    if row["same_as"]:
        return name, f"bit for bit what {row['same_as']} is on this device"
    other = row.get("loss_minus_highest")
    apart = "" if other is None else f"{other['value']:+.2g} [{other['low']:+.2g}, {other['high']:+.2g}]"
    return name, *exact, time, f"{row['validation_loss']:.4f}", apart


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """Return the record after each of its parts has been read once, so that a damaged one raises an error."""
    if missing := [name for name in NEEDED if not isinstance(found.get(name), dict)]:
        raise ValueError(f"{missing[0]} is missing")
    table(found)
    return found
