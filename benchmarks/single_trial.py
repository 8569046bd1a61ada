"""Time one training step of one trial against PyTorch and scikit-learn, all in one process, in alternation.

    python benchmarks/single_trial.py            # a table, and a record in benchmarks/results/
    python benchmarks/single_trial.py --json     # one JSON object on stdout

Every contender trains 784-256-128-10, ReLU, cross-entropy, momentum 0.9, float32, on the same 60,000 rows of uint8
noise and from the same weights; a step draws its mini-batch, goes forward and backward, and updates. PyTorch uses
every core and its fused SGD; `torch_compile` compiles the whole step, optimizer included. scikit-learn is given
float32 rows that are scaled already.

Measured (provisional: a busy machine, `--without torch_compile sklearn`, 90 s on two Zen 3 cores with AVX2, jax
0.10.2, PyTorch 2.13.0), µs per step and how many times faster than eager PyTorch:
B = 1: 80 (12.6×), 32: 562 (3.1×), 128: 1,671 (1.7×), 1024: 10,868 (1.3×).
"""

import argparse
import datetime
import importlib.util
import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import devices, trial
from mlp_jax.model import Network, Params

NETWORK = Network(inputs=784, hidden=(256, 128), outputs=10)
BATCH_SIZES = (1, 32, 128, 1024)
LEARNING_RATE, MOMENTUM = 0.01, 0.9
ROWS = 60_000
TOLERANCE = 1e-5  # between the losses that the contenders compute from the same weights
REST_SECONDS = 0.2  # before each turn: the threads of the contender before stop spinning
RESULTS = Path(__file__).parent / "results"


class Contender(NamedTuple):
    """One way to train: `loss()` is that of the first batch_size rows; `run(count)` takes steps and awaits them."""

    loss: Callable[[], float]
    run: Callable[[int], None]


def noise() -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (uint8) and labels that every contender trains on."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, NETWORK.inputs), dtype=np.uint8)
    return x, rng.integers(0, NETWORK.outputs, ROWS).astype(np.int32)


def ours(x: np.ndarray, y: np.ndarray, params: Params, batch_size: int) -> Contender:
    """Return `trial.advance`, one call for all the steps of a turn; `params` is left whole."""
    cell = trial.Cell(network=NETWORK, batch_size=batch_size)
    hyper = trial.complete(cell, learning_rate=LEARNING_RATE, momentum=MOMENTUM)
    data = trial.Data(jnp.asarray(x), jnp.asarray(y), jnp.zeros(()), jnp.float32(1 / 255))
    seed = jnp.uint32(0)
    state = trial.start(cell, hyper, seed)._replace(params=jax.tree.map(jnp.copy, params))

    def run(count: int) -> None:
        nonlocal state
        state = jax.block_until_ready(trial.advance(cell, hyper, seed, data, state, jnp.int32(count)))

    first = jnp.arange(batch_size)
    loss = jax.jit(lambda params: trial.gradient(cell, hyper, data, params, first)[0])
    return Contender(lambda: float(loss(params)), run)


def torch_eager(x: np.ndarray, y: np.ndarray, params: Params, batch_size: int) -> Contender:
    """Return PyTorch as its users write it: modules, autograd, fused SGD, uint8 rows on the device."""
    import torch

    x_, y_, layers = _torch(x, y, params)
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def loss(rows):
        return torch.nn.functional.cross_entropy(network(x_[rows].float().mul_(1 / 255)), y_[rows])

    def step(rows) -> None:
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()

    return _torch_contender(loss, step, batch_size, x_.device)


def torch_compile(x: np.ndarray, y: np.ndarray, params: Params, batch_size: int) -> Contender:
    """Return PyTorch with its whole step compiled as one graph, the optimizer inside."""
    import torch

    if _torch_device().type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise ImportError("there is no C++ compiler; install g++")
    x_, y_, layers = _torch(x, y, params)
    weights = [p.detach() for layer in layers for p in (layer.weight, layer.bias)]
    velocities = [torch.zeros_like(p) for p in weights]

    def loss_of(weights, rows):
        z = x_[rows].float() * (1 / 255)
        for k in range(0, len(weights), 2):
            z = torch.nn.functional.linear(z if k == 0 else torch.relu(z), weights[k], weights[k + 1])
        return torch.nn.functional.cross_entropy(z, y_[rows])

    @torch.compile(fullgraph=True, dynamic=False)
    def step(rows) -> None:
        for p, v, g in zip(weights, velocities, torch.func.grad(loss_of)(weights, rows)):
            v.mul_(MOMENTUM).add_(g)
            p.sub_(v, alpha=LEARNING_RATE)

    return _torch_contender(lambda rows: loss_of(weights, rows), step, batch_size, x_.device)


def sklearn(x: np.ndarray, y: np.ndarray, params: Params, batch_size: int) -> Contender:
    """Return scikit-learn's MLPClassifier: each turn is one pass over as many rows as its steps need."""
    from sklearn.neural_network import MLPClassifier

    x_ = x.astype(np.float32) / 255
    network = MLPClassifier(
        NETWORK.hidden,
        solver="sgd",
        alpha=0.0,
        batch_size=batch_size,  # pyright: ignore[reportArgumentType]  # the stub knows "auto" alone
        learning_rate_init=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=0,
    )
    network.partial_fit(x_[:batch_size], y[:batch_size], classes=np.arange(NETWORK.outputs))  # makes the arrays
    for layer, W, b in zip(params, network.coefs_, network.intercepts_):
        W[:], b[:] = np.asarray(layer.W).T, np.asarray(layer.b)

    def loss() -> float:
        likelihood = np.asarray(network.predict_proba(x_[:batch_size]))[np.arange(batch_size), y[:batch_size]]
        return float(-np.mean(np.log(likelihood)))

    def run(count: int) -> None:
        while count > 0:
            rows = min(count, ROWS // batch_size) * batch_size
            network.partial_fit(x_[:rows], y[:rows])
            count -= rows // batch_size

    return Contender(loss, run)


CONTENDERS = {"us": ours, "torch_eager": torch_eager, "torch_compile": torch_compile, "sklearn": sklearn}


def _torch_device():
    import torch

    return torch.device("cuda" if torch.cuda.is_available() and jax.default_backend() != "cpu" else "cpu")


def _torch(x: np.ndarray, y: np.ndarray, params: Params):
    """Return the rows, the labels and the linear layers on PyTorch's device."""
    import torch

    device = _torch_device()
    layers = []
    for W, b in params:
        layer = torch.nn.Linear(W.shape[1], W.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(np.asarray(W)))
            layer.bias.copy_(torch.tensor(np.asarray(b)))
        layers.append(layer.to(device))
    return torch.from_numpy(x).to(device), torch.from_numpy(y).long().to(device), layers


def _torch_contender(loss: Callable, step: Callable, batch_size: int, device) -> Contender:
    """Return the contender whose steps go through a fresh order of the rows in each epoch."""
    import torch

    position, order = ROWS, torch.empty(0)

    def run(count: int) -> None:
        nonlocal position, order
        for _ in range(count):
            if position + batch_size > ROWS:
                position, order = 0, torch.randperm(ROWS, device=device)
            step(order[position : position + batch_size])
            position += batch_size
        if device.type == "cuda":
            torch.cuda.synchronize()

    return Contender(lambda: loss(torch.arange(batch_size, device=device)).item(), run)


def prepare(names: list[str], batch_size: int, x: np.ndarray, y: np.ndarray) -> dict[str, Contender]:
    """Return the contenders of `names` that this machine has, their programs compiled; say on stderr which it lacks.

    Raises:
        ValueError: a contender's loss is not ours.
    """
    params = trial.start(trial.Cell(network=NETWORK), {"learning_rate": 0.01, "momentum": 0.9}, jnp.uint32(0)).params
    contenders, our_loss = {}, 0.0
    for name in names:
        try:
            contender = CONTENDERS[name](x, y, params, batch_size)
            loss = contender.loss()
            contender.run(2)
        except Exception as error:  # a contender that is missing or broken on this machine must not end the run
            if name == "us":
                raise
            print(f"note: {name} is left out at batch size {batch_size}: {error}", file=sys.stderr)
            continue
        contenders[name] = contender
        if name == "us":
            our_loss = loss
        if not abs(loss - our_loss) <= TOLERANCE:
            raise ValueError(
                f"{name} computes the loss {loss:.7f} where mlp_jax computes {our_loss:.7f} from the same weights at "
                f"batch size {batch_size}: they do not train the same network, so their times can't be compared"
            )
    return contenders


def compare(contenders: dict[str, Contender], rounds: int, seconds: float) -> dict[str, float]:
    """Return each contender's median µs per step over `rounds` in which all take turns of about `seconds`."""
    counts = {name: _steps_in(contender.run, seconds) for name, contender in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            time.sleep(REST_SECONDS)
            contender.run(max(1, counts[name] // 4))
            times[name].append(_time(contender.run, counts[name]))
    return {name: 1e6 * statistics.median(of) for name, of in times.items()}


def _time(run: Callable[[int], None], count: int) -> float:
    begin = time.perf_counter()
    run(count)
    return (time.perf_counter() - begin) / count


def _steps_in(run: Callable[[int], None], seconds: float) -> int:
    """Return how many steps take about `seconds`, from trials of 1, 4, 16, … of them."""
    count = 1
    while (each := _time(run, count)) * count < seconds / 8:
        count *= 4
    return max(1, round(seconds / each))


def measure(batch_sizes: tuple[int, ...], names: list[str], rounds: int, seconds: float) -> dict:
    """Return the record: µs per step of every contender (None where it is missing), our speed-up over each, where."""
    x, y = noise()
    batch = {}
    for batch_size in batch_sizes:
        medians = compare(prepare(names, batch_size, x, y), rounds, seconds)
        row = {name: round(medians[name], 2) if name in medians else None for name in CONTENDERS}
        ratios = {name: round(us / medians["us"], 2) for name, us in medians.items() if name != "us"}
        batch[str(batch_size)] = row | {"ratio": ratios}
    return {"batch": batch, "environment": environment()}


def environment() -> dict:
    """Return what `devices` knows of this machine, and the contenders' versions."""
    there = {name: importlib.util.find_spec(name) is not None for name in ("torch", "sklearn")}
    versions = {
        "torch": metadata.version("torch") if there["torch"] else None,
        "scikit-learn": metadata.version("scikit-learn") if there["sklearn"] else None,
    }
    return devices.describe() | versions | {"date": datetime.date.today().isoformat()}


def table(record: dict) -> str:
    """Return the record as lines to read: µs per step, and in brackets how many times faster we are."""
    lines = [f"{'µs per step':<12}" + "".join(f"{name:>20}" for name in CONTENDERS)]
    for batch_size, row in record["batch"].items():
        cells = (
            "–" if row[name] is None else f"{row[name]:,.1f}" + (f" ({row['ratio'][name]}×)" if name != "us" else "")
            for name in CONTENDERS
        )
        lines.append(f"{'B = ' + batch_size:<12}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def write(record: dict) -> Path:
    """Write the record to benchmarks/results/ and return its path."""
    device = re.sub(r"[^a-z0-9]+", "-", record["environment"]["device_kind"].lower()).strip("-")
    path = RESULTS / f"single_trial-{device}-{record['environment']['date']}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="few short rounds, no record: a check, not a measurement")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, help="write benchmarks/results/")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--without", nargs="+", default=[], choices=[name for name in CONTENDERS if name != "us"])
    options = parser.parse_args()
    if jax.default_backend() != "cpu":  # full float32 on both sides, never TF32
        jax.config.update("jax_default_matmul_precision", "highest")
    names = [name for name in CONTENDERS if name not in options.without]
    try:
        record = measure(tuple(options.batch_sizes), names, *((3, 0.03) if options.quick else (11, 0.4)))
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(record, ensure_ascii=False) if options.json else table(record))
    if not options.quick if options.record is None else options.record:
        print(f"record: {write(record)}", file=sys.stderr)


if __name__ == "__main__":
    main()
