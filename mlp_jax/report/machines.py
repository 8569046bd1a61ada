"""Machines side by side, from records of `mlp-jax bench`: how fast they train at each batch size, how they differ.

Invariant: a device has one colour and one marker in every figure; what did not fit or is not offered is stated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlp_jax import bench
from mlp_jax.report.listings import Cell, Table, of_number, of_text
from mlp_jax.report.looks import LOOKS
from mlp_jax.report.panels import batch_axes, grid, legend, log_y
from mlp_jax.study.summary import number

SAME = {  # fields of the environment that should be equal in records that are compared, by concern
    "Precision": ("x64", "matmul_precision"),
    "Software": ("python", "jax", "jaxlib", "optax", "numpy", "commit", "dirty", "xla_flags"),
}
CAPTIONS = {  # figure: title, what it shows
    "step_times": ("Time of a step", "One trial alone, as it is trained: medians, compilation left out."),
    "throughput": (
        "Examples per second",
        "Rings mark the least batch size with 90 % of the most examples per second: larger ones gain little there.",
    ),
}


class Machine(NamedTuple):
    """One record, and the name that it has in figures and tables."""

    label: str
    path: Path
    record: dict[str, Any]

    @property
    def environment(self) -> dict[str, Any]:
        """The hardware and software on which it was measured."""
        return self.record["environment"]


def read(paths: Sequence[Path]) -> list[Machine]:
    """Read the records of `mlp-jax bench`.

    Raises:
        ValueError: a file is no such record, of another version, or damaged.
    """
    found = [bench.read(path) for path in paths]
    names = labels([(path, path.stem, record["environment"]) for path, record in zip(paths, found)])
    machines = [Machine(*each) for each in zip(names, paths, found)]
    for machine in machines:
        try:
            _ = summary(machine), sentences([machine]), tables([machine])  # reads everything that the page needs
        except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
            raise ValueError(f"{machine.path} is damaged ({error!r}); measure again with mlp-jax bench") from error
    return machines


def labels(sources: Sequence[tuple[Path, str, dict[str, Any]]]) -> list[str]:
    """Name sources, given as (path, short name, environment), by name and device, or by path if names are equal."""
    names = [name for _, name, _ in sources]
    shown = (str(path) if names.count(name) > 1 else name for path, name, _ in sources)
    return [f"{name} ({device(environment)})" for name, (_, _, environment) in zip(shown, sources)]


def device(environment: dict[str, Any]) -> str:
    """Name the hardware that computed: '4 × NVIDIA H200', or a processor and its cores."""
    if environment.get("platform") == "cpu":
        return f"{environment.get('processor') or 'CPU'}, {environment.get('cores', '?')} cores"
    count = environment.get("device_count", 1)
    return f"{count} × " * (count != 1) + str(environment.get("device_kind", "unknown device"))


def differing(values: Mapping[str, Mapping[str, Any]], same: Mapping[str, Sequence[str]] = SAME) -> list[str]:
    """Return a sentence for each field of `same` in which the labelled sources differ; a missing value is 'none'."""
    said = []
    for concern, names in same.items():
        for name in names:
            each = {label: str(fields.get(name, "")) for label, fields in values.items()}
            if len(set(each.values())) > 1:
                shown = ", ".join(f"{value or 'none'} in {label}" for label, value in each.items())
                said.append(f"{concern} differs: {name.replace('_', ' ')} is {shown}.")
    return said


def cautions(machines: Sequence[Machine]) -> list[str]:
    """Return sentences about what makes these measurements hard to compare."""
    efforts = {machine.label: machine.record["effort"] for machine in machines}
    if len({str(effort) for effort in efforts.values()}) < 2:
        return []
    shown = ", ".join(f"{effort.get('rounds')} × {effort.get('seconds')} s in {at}" for at, effort in efforts.items())
    return [f"Protocol differs: the records were not measured with the same effort (rounds are {shown})."]


def draw(machines: Sequence[Machine]) -> dict[str, Figure]:
    """Draw step time and examples per second against batch size, a line for each device, a panel for each network."""
    return {
        "step_times": _against_batch_size(machines, "step_seconds", 1e6, "µs per step", False),
        "throughput": _against_batch_size(machines, "examples_per_second", 1.0, "examples per second", True),
    }


def sentences(machines: Sequence[Machine]) -> list[str]:
    """Say which device takes the most examples per second, where each stops gaining, and what did not fit."""
    said = []
    for name in _networks(machines):
        stops = {at.label: bench.gain(at.record["networks"][name]["batch"]) for at in _having(machines, name)}
        there = {label: stop for label, stop in stops.items() if stop}
        if there:
            parts = [
                f"B\u00a0=\u00a0{number(stop.batch_size)} on {label}{_open(stop)}" for label, stop in there.items()
            ]
            best = max(there, key=lambda label: there[label].best)
            text = f"The {name} network takes the most examples per second on {best}: {number(there[best].best)}."
            said.append(f"{text} A device reaches nine tenths of its own maximum from {', '.join(parts)} on.")
        for machine in _having(machines, name):
            rows = [row for row in machine.record["networks"][name]["batch"] if "error" in row]
            said += [f"On {machine.label}, B = {row['batch_size']:,} was not measured: {row['error']}" for row in rows]
    return said


def tables(machines: Sequence[Machine]) -> list[Table]:
    """Return the tables: ceilings, every batch size, precisions."""
    return [_ceilings(machines), _batches(machines), _precisions(machines)]


def summary(machine: Machine) -> dict[str, Any]:
    """Return as plain values where a device stops gaining."""
    stops = {name: bench.gain(network["batch"]) for name, network in machine.record["networks"].items()}
    gains = {name: None if stop is None else stop._asdict() for name, stop in stops.items()}
    return {"record": str(machine.path), "device": device(machine.environment), "stops_gaining": gains}


def _against_batch_size(machines: Sequence[Machine], key: str, scale: float, label: str, with_stops: bool) -> Figure:
    names = _networks(machines)
    widths = {name: _having(machines, name)[0].record["networks"][name]["widths"] for name in names}
    figure, panels = grid([f"{name}: {'-'.join(map(str, widths[name]))}" for name in names])
    sizes: set[int] = set()
    for axes, name in zip(panels, names):
        for machine, (colour, marker) in zip(machines, _looks(machines)):
            rows = machine.record["networks"].get(name, {"batch": []})["batch"]
            B, values = _column(rows, key)
            sizes |= set(B.tolist())
            axes.plot(B, values * scale, color=colour, marker=marker, markersize=4.5, linewidth=1.3)
            if with_stops and (stop := bench.gain(rows)):
                at = B.tolist().index(stop.batch_size)
                axes.plot(B[at], values[at] * scale, "o", markersize=11, markerfacecolor="none", color=colour)
    if not sizes:
        panels[0].set_ylim(1, 10)  # nothing fits: a logarithmic axis needs limits
    batch_axes(panels, sizes or {1})
    log_y(panels, label)
    looks = zip(machines, _looks(machines))
    handles = [Line2D([], [], color=c, marker=m, markersize=4.5, label=each.label) for each, (c, m) in looks]
    return legend(figure, handles, 1)


def _looks(machines: Sequence[Machine]) -> list[tuple[str, str]]:
    every = list(LOOKS.values())
    return [every[i % len(every)] for i in range(len(machines))]


def _column(rows: list[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch sizes that were measured, and the value `key` of each."""
    measured = [row for row in rows if "error" not in row]
    return np.array([row["batch_size"] for row in measured]), np.array([row[key] for row in measured], float)


def _networks(machines: Sequence[Machine]) -> list[str]:
    return list(dict.fromkeys(name for machine in machines for name in machine.record["networks"]))


def _having(machines: Sequence[Machine], name: str) -> list[Machine]:
    return [machine for machine in machines if name in machine.record["networks"]]


def _open(stop: bench.Gain) -> str:
    return " (the largest that was measured: larger ones may gain)" if stop.open else ""


def _ceilings(machines: Sequence[Machine]) -> Table:
    columns = ["device", "GFLOP/s in large products", "GB/s copied", "µs a call", "µs a turn of a loop", "precision"]
    rows = []
    for machine in machines:
        one = machine.record["ceilings"]["one_device"]
        scaled = (("flops_per_second", 1e-9), ("bytes_per_second", 1e-9), ("call_seconds", 1e6), ("turn_seconds", 1e6))
        values = [of_number(one[key] * scale) for key, scale in scaled]
        rows.append([of_text(machine.label), *values, of_text(str(machine.environment.get("matmul_precision", "–")))])
    return Table("Ceilings", "What one device does at most, as measured in the same process.", columns, rows)


def _batches(machines: Sequence[Machine]) -> Table:
    columns = ["device", "network", "B", "µs per step", "examples/s", "GFLOP/s", "GB/s", "share of ceiling", "bound by"]
    rows = []
    for machine in machines:
        for name, network in machine.record["networks"].items():
            for row in network["batch"]:
                head = [of_text(machine.label), of_text(name), of_number(row["batch_size"])]
                rows.append(head + (_unmeasured(row, len(columns) - 3) if "error" in row else _measured(row)))
    note = "The ceiling is the least time of a step under the measured ceilings: of its FLOP, its bytes or a turn."
    return Table("Every batch size", note, columns, rows)


def _measured(row: dict[str, Any]) -> list[Cell]:
    scaled = (("step_seconds", 1e6), ("examples_per_second", 1), ("flops_per_second", 1e-9), ("bytes_per_second", 1e-9))
    values = [of_number(row[key] * scale) for key, scale in scaled]
    return [*values, Cell(f"{row['share']:.0%}", row["share"]), of_text(row["bound"])]


def _unmeasured(row: dict[str, Any], columns: int) -> list[Cell]:
    return [Cell("–", float("inf"))] * (columns - 1) + [of_text(row["error"])]


def _precisions(machines: Sequence[Machine]) -> Table:
    columns = ["device", "precision", "error of a product", "GFLOP/s", "µs per step", "digits’ loss", "minus highest"]
    columns += ["what that says"]
    rows = []
    for machine in machines:
        for name, row in machine.record["precisions"].items():
            head = [of_text(machine.label), of_text(name)]
            rows.append(head + (_unmeasured(row, len(columns) - 2) if "error" in row else _exactness(name, row)))
    note = "Products of float32 matrices; the loss is the median of five seeds, its difference is paired by seed."
    return Table("Precision of the products", note, columns, rows)


def _exactness(name: str, row: dict[str, Any]) -> list[Cell]:
    seconds, other = row["step"].get("step_seconds", float("nan")), row.get("loss_minus_highest")
    values = [
        Cell(f"{row['product_error']:.1e}", row["product_error"]),
        of_number(row["product_flops_per_second"] / 1e9),
    ]
    values += [Cell(number(1e6 * seconds), seconds), Cell(f"{row['validation_loss']:.4f}", row["validation_loss"])]
    if row["same_as"] or other is None:
        alone = "the others are compared with it" if name == "highest" else "compared with none"
        says = f"bit for bit as {row['same_as']}" if row["same_as"] else alone
        return [*values, Cell("–", float("inf")), of_text(says)]
    shown = f"{number(other['value'])} [{number(other['low'])}, {number(other['high'])}]"
    return [*values, Cell(shown, other["value"]), of_text(other["verdict"])]
