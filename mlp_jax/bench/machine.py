"""Measure this machine: what it can do at most, and how much of that training reaches at each batch size.

Invariant: every time is a median of rounds that have enough steps to be timed, are awaited, and follow a first use.
Where a device can't do something (a batch does not fit, a precision is not offered), the record says so in its place.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from mlp_jax.bench import ceilings, precisions, roofline, training, workloads
from mlp_jax.bench.effort import FULL, NETWORKS, Effort
from mlp_jax.bench.record import KIND, VERSION
from mlp_jax.bench.roofline import Ceilings, Roofline
from mlp_jax.machine import devices, environment
from mlp_jax.machine.clocks import Clock, median_seconds
from mlp_jax.model import Network, parameter_count

ROWS = 70_000
Say = Callable[[str], None]


def measure(effort: Effort = FULL, say: Say = lambda _: None) -> dict[str, Any]:
    """Return the record of this machine; `say` is told what comes next.

    Raises:
        ValueError: even the smallest measurement does not fit into the machine's memory.
    """
    clock, mesh = Clock(), devices.mesh()
    one = Mesh(mesh.devices.flatten()[:1], ("trial",))
    with _no_cache():
        say("ceilings")
        orientation = roofline.fastest(one, effort)
        alone = roofline.measured(one, effort, orientation)
        together = alone if mesh.size == 1 else roofline.measured(mesh, effort, orientation)
        networks = {name: _network(name, network, alone, one, effort, say) for name, network in NETWORKS.items()}
        exactness = precisions.measured(one, effort, say)
    record = {
        "kind": KIND,
        "version": VERSION,
        "environment": environment.describe() | {"date": datetime.date.today().isoformat()},
        "effort": dataclasses.asdict(effort),
        "seconds": clock.seconds["total"],
        "ceilings": {"one_device": alone._asdict(), "all_devices": together._asdict()},
        "networks": networks,
        "precisions": exactness,
    }
    return rounded(record)


def _network(name: str, network: Network, limits: Ceilings, one: Mesh, effort: Effort, say: Say) -> dict[str, Any]:
    """Return the part of the record about one network."""
    data = workloads.held(*workloads.noise(network, max(ROWS, *effort.batch_sizes)))
    numbers = 2 * parameter_count(network)
    state_rate = 8 * numbers / median_seconds(ceilings.update(one, numbers), effort.seconds, effort.rounds)
    batch, trials = [], []
    for batch_size in effort.batch_sizes:
        say(f"{name} network, batch size {batch_size:,}")
        need = roofline.need(network, batch_size, limits, state_rate)
        row = training.or_memory(partial(training.step, network, batch_size, data, effort))
        batch.append({"batch_size": batch_size} | row | _reached(row, need))
    for count in effort.trials:
        say(f"{name} network, {count} trials together")
        row = training.or_memory(partial(training.together, network, count, data, effort))
        trials.append({"trials": count} | row)
    size = {"widths": list(network.widths), "parameters": parameter_count(network), "optimizer": "momentum"}
    return size | {"state_bytes_per_second": state_rate, "batch": batch, "population": trials}


def _reached(row: dict[str, Any], need: Roofline) -> dict[str, Any]:
    """Return a timed step with how near it comes to the roofline."""
    if "error" in row:
        return {}
    seconds = row["step_seconds"]
    rates = {"flops_per_second": need.flops / seconds, "bytes_per_second": need.bytes / seconds}
    return rates | {"roofline_seconds": need.seconds, "bound": need.bound, "share": need.seconds / seconds}


@contextlib.contextmanager
def _no_cache() -> Iterator[None]:
    """Compile everything anew, even if it is cached on disk, to measure what a first run takes."""
    before = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def rounded(value: Any) -> Any:
    """Return a record with its numbers rounded to four digits, which is more than its times are exact to."""
    if isinstance(value, dict):
        return {key: item if key == "environment" else rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
