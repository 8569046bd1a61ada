"""A study written by hand: what its optimizers need is known, and so is what must be found."""

import json
from pathlib import Path

import numpy as np
import pandas

from mlp_jax.study import cells, plan, store
from mlp_jax.training.config import Config

SIZES, OPTIMIZERS, EXAMPLES = (1, 16, 256), ("sgd", "adam"), 1000
STUDY = plan.Study(
    workload=Config(dataset="digits", hidden=(8,), validation=0.2), optimizers=OPTIMIZERS, batch_sizes=SIZES,
    points=4, seeds=3, target=0.9, max_steps=100_000,
)  # fmt: skip


def trial(optimizer: str, batch_size: int, point: int, seed: int, reaches: bool) -> dict:
    """The end of a trial of S = S_min + E_min/B; adam needs half the steps, and the last point diverges."""
    random = np.random.default_rng([batch_size, point, seed])
    steps = round((40 + 4000 / batch_size) * (0.5 if optimizer == "adam" else 1) * random.uniform(0.9, 1.1))
    status = "INFEASIBLE" if point == 3 else "COMPLETE"
    met = reaches and point < 2
    return {"steps": steps, "steps_to_target": float(steps) if met else np.inf, "status": status, "failed": -1}


def noisy(frame: pandas.DataFrame, optimizer: str) -> pandas.DataFrame:
    """A noise scale of 25 for sgd and 200 for adam in the first winner's run; the line's B_crit is 100 for both."""
    trace = (1 / (1 + frame["step"])).where(frame["seed"] == 0)
    squared_norm = trace / {"sgd": 25.0, "adam": 200.0}[optimizer]
    return frame.assign(noise_trace=trace, noise_squared_norm=squared_norm, noise_scale=trace / squared_norm)


def rows(optimizer: str, batch_size: int, phase: str, points: int, seeds: int, reaches: bool) -> pandas.DataFrame:
    made = []
    for point in range(points):
        for seed in range(seeds):
            end = trial(optimizer, batch_size, point, seed + (phase == "winners") * cells.FRESH, reaches)
            for k, step in enumerate(np.linspace(0, end["steps"], 6).astype(int)):
                error = 0.8 - 0.14 * k + 0.02 * seed if reaches else 0.5
                metrics = {"validation_loss": error, "validation_error": error, "validation_accuracy": 1 - error}
                label = {"trial": f"{optimizer}-{batch_size}-{phase}-{point}-{seed}", "point": point, "seed": seed}
                place = {"step": step, "examples": step * batch_size, "epoch": step * batch_size / EXAMPLES}
                made.append(label | place | {"training_seconds": step * 1e-3} | metrics | end)
    cell = {"phase": phase, "cell": f"{optimizer}-{batch_size}", "optimizer": optimizer, "batch_size": batch_size}
    frame = pandas.DataFrame(made).assign(**cell)
    frame["learning_rate"] = 0.01 * 10.0 ** frame["point"] * batch_size**0.5
    return frame.assign(test_accuracy=0.93) if phase == "winners" else frame


def table(optimizers: tuple[str, ...] = OPTIMIZERS, *, reaches: bool = True, noise: bool = False) -> pandas.DataFrame:
    """The rows of a whole study, as they are read from the disk."""
    made = []
    for name in optimizers:
        for size in SIZES:
            won = rows(name, size, "winners", 1, 5, reaches)
            made += [rows(name, size, "tuning", 4, 3, reaches), noisy(won, name) if noise else won]
    return pandas.concat(made, ignore_index=True)


def study(
    directory: Path,
    asked: plan.Study = STUDY,
    *,
    reaches: bool = True,
    tuned: int = 6,
    won: int = 6,
    noise: bool = False,
    **environment,
) -> Path:
    """Write a study by hand, `tuned` and `won` of its parts."""
    kept = store.Store(directory, asked)
    cells = [(name, size) for size in sorted(SIZES, reverse=True) for name in asked.optimizers]
    for phase, count, points, seeds in (("tuning", tuned, 4, 3), ("winners", won, 1, 5)):
        for name, size in cells[:count]:
            made = rows(name, size, phase, points, seeds, reaches)
            part = noisy(made, name) if noise and phase == "winners" else made
            part.to_parquet(kept.directory / phase / f"{name}-{size}.parquet", index=False, write_page_checksum=True)
    path = directory / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | environment))
    return directory
