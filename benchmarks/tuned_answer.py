"""Time the default study beside the same study written with Optuna and PyTorch.

python benchmarks/tuned_answer.py --out D      # ours cold and warm, Optuna without and with its pruner
python benchmarks/tuned_answer.py --quick      # two cells: shows only that it runs

Theirs is what a careful person writes: for each optimizer and batch size an Optuna study (TPE) of the learning rate
with as many trials as ours tunes with, each trained by PyTorch (eager) with the same data, network, budgets,
evaluations, target and stop; one process for each core, with one thread each, takes cell after cell. Its answer is the
least steps of each cell, and the same line fitted to these; it has no interval. Ours is `mlp-jax study`, with
intervals, winners, figures and page, once with empty caches and once with the programs cached. Each of the four is kept
in D, in a folder of the study's, when it has ended, so that a second start goes on.

Measured once, on 2 cores of a shared AMD EPYC machine that did nothing else: ours 66.6 s cold and 48.9 s warm, Optuna
and PyTorch 793 s, which is 11.9 and 16.2 times as long; B_crit 68, 196 and 46 for sgd, momentum and adagrad by ours,
70, 175 and 45 by theirs, and none for rmsprop by either. With Optuna's pruner it takes 224 s, 3.4 and 4.6 times as
long, but loses the answer: no line fits for sgd and adagrad, and momentum's B_crit is 131.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import records

from mlp_jax import optimizers, tables
from mlp_jax import study as studies
from mlp_jax.analysis import critical_batch_size, crossing
from mlp_jax.data import Dataset, Split
from mlp_jax.machine import files
from mlp_jax.study import Study, cells
from mlp_jax.study.cells import StudyCell
from mlp_jax.study.protocol import COARSE, EACH
from mlp_jax.training import budget
from mlp_jax.training import config as configs

if TYPE_CHECKING:
    import torch

QUICK = {"optimizers": ("sgd",), "batch_sizes": (64, 512), "rounds": 1}


class Rows(NamedTuple):
    """The training and the validation examples, normalised, as PyTorch takes them."""

    x: "torch.Tensor"
    y: "torch.Tensor"
    held_x: "torch.Tensor"
    held_y: "torch.Tensor"


def ours(study: Study, folder: Path, cache: Path) -> tuple[float, dict]:
    """Return the seconds of the command line for the study, and its JSON."""
    files.remove(folder)  # what a start that was interrupted had done would not be timed
    files.make_folder(folder)
    (folder / "study.toml").write_text(studies.to_toml(study), encoding="utf-8")
    command = [sys.executable, "-m", "mlp_jax", "study", str(folder / "study.toml"), "--out", str(folder / "out")]
    begin = time.perf_counter()
    done = subprocess.run(
        [*command, "--json"], env=os.environ | {"MLP_JAX_CACHE_DIR": str(cache)}, capture_output=True, check=True
    )
    return time.perf_counter() - begin, json.loads(done.stdout)


def kept(path: Path, run: Callable[[], tuple[float, Any]]) -> tuple[float, Any]:
    """Return what was measured, read where it is kept already."""
    if not path.exists():
        made = run()
        files.replace(path, lambda to: to.write_text(json.dumps(made), encoding="utf-8"))
    seconds, found = json.loads(path.read_text(encoding="utf-8"))
    return seconds, found


def theirs(study: Study, pruned: bool) -> tuple[float, list[tuple[str, int, float]]]:
    """Return the seconds of a process per core for the study, and the least steps of each cell."""
    begin = time.perf_counter()
    facts = cells.facts(study, configs.load_data(study.workload))
    todo = [(study, cell, pruned) for cell in cells.of(study, facts)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        found = pool.starmap(tuned, todo, chunksize=1)
    return time.perf_counter() - begin, [(cell.optimizer, cell.batch_size, s) for (_, cell, _), s in zip(todo, found)]


def tuned(study: Study, cell: StudyCell, pruned: bool) -> float:
    """Return the least steps to target that Optuna finds in one cell; inf where no trial met it."""
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows, space, best = _rows(study), cell.space["learning_rate"], np.inf
    sampler = optuna.samplers.TPESampler(seed=study.seed)
    pruner = optuna.pruners.MedianPruner() if pruned else optuna.pruners.NopPruner()
    search = optuna.create_study(sampler=sampler, pruner=pruner)

    def objective(trial: "optuna.Trial") -> float:
        nonlocal best
        rate = trial.suggest_float("learning_rate", *space.ends, log=True)
        limit = cells.SPARE * best if best < np.inf else cell.budget

        def stop(look: int, score: float) -> None:
            trial.report(1 - score, look)
            if trial.should_prune():
                raise optuna.TrialPruned

        steps = trained(cell, rows, rate, trial.number, limit, stop if pruned else lambda *_: None)
        best = min(best, steps)
        return min(steps, limit)

    search.optimize(objective, n_trials=COARSE + EACH * study.rounds_of(cell.optimizer))
    return best


def trained(
    cell: StudyCell, rows: Rows, rate: float, seed: int, limit: float, look: Callable[[int, float], None]
) -> float:
    """Train one trial and return its steps to target; inf where it is missed at `limit`."""
    import torch

    torch.manual_seed(seed)
    network = _network(rows, cell.config.hidden)
    optimizer, loss_of = _optimizer(cell.optimizer, network, rate), torch.nn.CrossEntropyLoss()
    points = budget.evaluation_points(cell.config, cell.config.steps).astype(int)
    target = (cell.config.stop_at or 0.0) - 1e-9  # within rounding
    first = crossing.windows(points.astype(float), cell.config.stop_smoothing)
    batches, scores, step = _batches(len(rows.y), cell.batch_size), [], 0
    for number, point in enumerate(points.tolist()):
        if point > limit:
            break
        for _ in range(point - step):
            taken = next(batches)
            optimizer.zero_grad()
            loss_of(network(rows.x[taken]), rows.y[taken]).backward()
            optimizer.step()
        step = point
        with torch.no_grad():
            scores.append(float((network(rows.held_x).argmax(1) == rows.held_y).float().mean()))
        if np.mean(scores[first[number] :]) >= target:
            return float(max(point, 1))
        look(number, scores[-1])
    return np.inf


def line(study: Study, steps: dict[tuple[str, int], float]) -> dict[str, float | None]:
    """Return B_crit of each optimizer from the least steps of its cells; None where the line misses them."""
    found = {}
    for name in study.optimizers:
        sizes, least = zip(*sorted((size, value) for (of, size), value in steps.items() if of == name))
        values = np.array(least)
        found[name] = critical_batch_size.fit_samples(np.array(sizes), values, values[None]).b_crit.value
    return {name: round(value, 1) if np.isfinite(value) else None for name, value in found.items()}


def _batches(count: int, size: int) -> Iterator["torch.Tensor"]:
    """Yield the examples of one mini-batch after another, in an order that is drawn anew in each epoch."""
    import torch

    while True:
        order = torch.randperm(count)
        yield from order[: count - count % size].split(size)


def _rows(study: Study) -> Rows:
    import torch

    data = configs.load_data(study.workload)
    seen = [torch.from_numpy(((split.x - data.center) * data.scale).astype(np.float32)) for split in _splits(data)]
    labels = [torch.from_numpy(split.y.astype(np.int64)) for split in _splits(data)]
    return Rows(seen[0], labels[0], seen[1], labels[1])


def _splits(data: Dataset) -> tuple[Split, Split]:
    return data.train, data.validation


def _network(rows: Rows, hidden: tuple[int, ...]) -> "torch.nn.Sequential":
    """Return the network, with He's weights and biases of zero, as ours begins."""
    import torch

    widths, layers = (rows.x.shape[1], *hidden, int(rows.y.max()) + 1), []
    for inputs, outputs in itertools.pairwise(widths):
        layer = torch.nn.Linear(inputs, outputs)
        torch.nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _optimizer(name: str, network: "torch.nn.Module", rate: float) -> "torch.optim.Optimizer":
    """Return PyTorch's optimizer with the constants of our table."""
    import torch

    constant = {key: row.default for key, row in optimizers.table(name).items()}
    given = {
        "sgd": lambda: (torch.optim.SGD, {}),
        "momentum": lambda: (torch.optim.SGD, {"momentum": constant["momentum"]}),
        "adagrad": lambda: (
            torch.optim.Adagrad,
            {"initial_accumulator_value": constant["initial_accumulator"], "eps": constant["epsilon"]},
        ),
        "rmsprop": lambda: (torch.optim.RMSprop, {"alpha": constant["decay"], "eps": constant["epsilon"]}),
    }
    kind, values = given[name]()
    return kind(network.parameters(), lr=rate, **values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cells, and no record")
    parser.add_argument("--out", type=Path, help="where what has ended is kept")
    args = parser.parse_args()
    study = studies.changed(Study(), {}, QUICK) if args.quick else Study()
    with tempfile.TemporaryDirectory() as folder:
        answer(study, (args.out or Path(folder)) / study.id, record=not args.quick)


def answer(study: Study, folder: Path, record: bool) -> None:
    """Time the four, or read what is kept of them, and print and record how they compare."""

    def cold() -> tuple[float, dict]:
        files.remove(folder / "cache")
        return ours(study, folder / "cold", folder / "cache")

    contenders = {
        "cold": cold,
        "warm": lambda: ours(study, folder / "warm", folder / "cache"),
        "Optuna": lambda: theirs(study, False),
        "Optuna, pruned": lambda: theirs(study, True),
    }
    files.make_folder(folder)
    seconds, answers, steps = {}, {}, {}
    for name, run in contenders.items():
        seconds[name], found = kept(folder / f"{name}.json", run)
        if name in ("cold", "warm"):
            answers[name] = {of: one["value"] for of, one in found["critical_batch_size"].items()}
        else:
            each = [(of, int(size), value) for of, size, value in found]
            answers[name] = line(study, {(of, size): value for of, size, value in each})
            steps[name] = {f"{of} at B = {size}": value if value < np.inf else None for of, size, value in each}
        print(f"{name}: {seconds[name]:.1f} s", flush=True)
    print(
        tables.text(("B_crit", *answers), [(n, *(words(of[n]) for of in answers.values())) for n in study.optimizers])
    )
    ratios = {f"{them} / {us}": seconds[them] / seconds[us] for them in steps for us in ("cold", "warm")}
    print(tables.text(("seconds of", "ratio"), [(name, f"{ratio:.1f}") for name, ratio in ratios.items()]))
    if record:
        result = {"environment": records.environment(), "seconds": seconds, "ratios": ratios, "b_crit": answers}
        print(f"record: {records.write('tuned_answer', result | {'steps_of_theirs': steps})}")


def words(value: float | None) -> str:
    """Return a B_crit as text; – where there is none."""
    return "–" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    main()
