"""Real labels (L10, L12 of the lecture): squared and absolute loss, identity and ReLU output, on diabetes.

    python experiments/regression.py

442 patients, 10 features, progression of the disease after a year (25 to 346, so positive: a ReLU output fits too);
10-32-1, momentum, 40 epochs, 40 seeds, each of the weights and of a split of its own. Each output and loss gets the
learning rate of five with the lowest mean validation RMSE over the first half of the seeds; the test metrics are those
of the second half. The absolute loss aims at the median, so one would expect it to win on MAE and to lose on RMSE.

Measured on the 20 fresh seeds, mean [95 % interval]:

    output    loss       rate               RMSE                MAE                 R²
    identity  squared   0.003  55.3 [54.2, 56.5]  44.6 [43.5, 45.7]  0.46 [0.43, 0.49]
    identity  absolute  0.003  55.6 [54.3, 57.0]  44.6 [43.4, 45.9]  0.45 [0.42, 0.49]
    relu      squared   0.003  55.3 [54.2, 56.5]  44.6 [43.5, 45.7]  0.46 [0.43, 0.49]
    relu      absolute  0.003  55.6 [54.3, 57.0]  44.6 [43.4, 45.9]  0.45 [0.42, 0.49]

Paired by seed, the absolute loss is worse than the squared one by little on RMSE, by 0.34 [0.01, 0.73] with the
identity output and 0.35 [0.01, 0.73] with ReLU; on MAE, 0.09 [−0.21, 0.39] and 0.08 [−0.22, 0.38], it is neither better
nor worse: with 319 training examples the noise of the fit weighs as much as the aim. ReLU's output neither costs nor
gains, for it starts at the mean of the targets and stays positive: its RMSE with the squared loss is 0.01 [0.00, 0.02]
less. With He's weights, which start larger, all four were worse, by 1 to 2 on RMSE. The splits share their 442
patients, so the intervals are about splits and weights, not about other patients. 20 s on 2 cores of a shared AMD EPYC
machine, with others at work.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

import mlp_jax
from mlp_jax import tables
from mlp_jax.analysis import bootstrap
from mlp_jax.checks import Count
from mlp_jax.cli import experiment
from mlp_jax.cli.experiment import script
from mlp_jax.machine import devices

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
METRICS = {"rmse": "RMSE", "mae": "MAE", "r2": "R²"}
CASES = [(output, loss) for output in ("identity", "relu") for loss in ("squared", "absolute")]


@dataclass(frozen=True, kw_only=True)
class Options(experiment.Asked):
    """What this experiment may be asked."""

    seeds: Count = 40
    """Number of seeds, of the weights and of the split; the first half chooses the rates."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Four seeds."""


def main(options: Options) -> None:
    """Tune each output with each loss, and print the test metrics and their paired differences with intervals."""
    devices.start_cpu_devices()
    parts = experiment.Parts(options, sys.modules[__name__])
    count = 4 if options.quick else options.seeds
    if count < 2:
        raise ValueError(f"seeds {count} is not allowed; give at least 2, for half of them choose the rates")
    chosen = {case: choose(parts, case, range(count // 2)) for case in CASES}
    found = {case: np.array([parts(*run(case, seed)) for seed in range(count // 2, count)]) for case in CASES}
    of = {case: test(found[case], RATES.index(rate)) for case, rate in chosen.items()}
    rows = [(*case, f"{chosen[case]:g}", *(written(mean(of[case][name])) for name in METRICS)) for case in CASES]
    pairs = [((output, "absolute"), (output, "squared")) for output in ("identity", "relu")]
    pairs += [(("relu", loss), ("identity", loss)) for loss in ("squared", "absolute")]
    apart = {pair: {name: mean(of[pair[0]][name] - of[pair[1]][name]) for name in METRICS} for pair in pairs}
    lines = [(f"{' '.join(a)} − {' '.join(b)}", *map(written, each.values())) for (a, b), each in apart.items()]
    text = tables.text(("output", "loss", "rate", *METRICS.values()), rows)
    text += f"\n\nmean [95 % interval] over {count - count // 2} fresh seeds; RMSE and MAE in units of the label\n\n"
    text += tables.text(("paired differences", *METRICS.values()), lines)
    result: dict[str, Any] = {"cases": [dict(zip(("output", "loss"), case)) | {"rate": chosen[case]} | {
        name: mean(of[case][name])._asdict() for name in METRICS} for case in CASES]}  # fmt: skip
    result["differences"] = [
        {"first": a, "second": b} | {name: each[name]._asdict() for name in METRICS} for (a, b), each in apart.items()
    ]
    experiment.show(options, result, text, "four seeds, of which two choose the rates" if options.quick else None)


def choose(parts: experiment.Parts, case: tuple[str, str], seeds: range) -> float:
    """Return the rate with the lowest mean validation RMSE; one that diverged anywhere is none."""
    errors = np.array([parts(*run(case, seed)) for seed in seeds])[:, 0]
    return RATES[int(np.argmin(np.nan_to_num(errors, nan=np.inf).mean(axis=0)))]


def test(found: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Return each test metric of one rate, an entry for each seed."""
    return {name: found[:, 1 + number, rate] for number, name in enumerate(METRICS)}


def mean(values: np.ndarray) -> bootstrap.Estimate:
    """Return the mean with its bootstrap interval."""
    return bootstrap.interval(values, bootstrap.mean)


def written(estimate: bootstrap.Estimate) -> str:
    """Return an estimate as 56.0 [54.1, 57.8]."""
    return experiment.written(estimate, 1 if max(map(abs, estimate)) >= 10 else 2)


def run(case: tuple[str, str], seed: int):
    """Return the part of one output, loss and seed: validation RMSE and the test metrics of every rate."""

    def make() -> list[list[float]]:
        trained = mlp_jax.train_many(configure(*case, seed), {"learning_rate": RATES}, [seed] * len(RATES))
        names = ("validation_rmse", *(f"test_{name}" for name in METRICS))
        return [np.asarray(trained.metrics[name], float).tolist() for name in names]

    return f"{' '.join(case)}, seed {seed}", make


def configure(output: str, loss: str, seed: int) -> mlp_jax.Config:
    """Return what the trials of one output function, loss and seed share."""
    return mlp_jax.Config(
        dataset="diabetes",
        hidden=(32,),
        output=output,
        loss=loss,
        weight_decay=0.01,
        epochs=40,
        split_seed=seed,
        evaluations=1,
        evaluate_on=("validation", "test"),
    )


if __name__ == "__main__":
    script(main, Options)
