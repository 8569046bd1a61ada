"""A laboratory for batch size and optimizers: softmax classifiers and multi-layer perceptrons as pure JAX functions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlp_jax.data import Dataset, load
    from mlp_jax.model import Network, forward, init, parameter_count, summary
    from mlp_jax.study import Study
    from mlp_jax.training.config import Config
    from mlp_jax.training.population import train_many
    from mlp_jax.training.prediction import predict
    from mlp_jax.training.run import Run, train
    from mlp_jax.training.trials import Trials
    from mlp_jax.trial import Cell, Data, TrialState, advance, complete, evaluate, start, step

__all__ = [
    "Cell", "Config", "Data", "Dataset", "Network", "Run", "Study", "TrialState", "Trials", "advance", "complete",
    "evaluate", "forward", "init", "load", "parameter_count", "predict", "start", "step", "summary", "train",
    "train_many",
]  # fmt: skip

__version__ = "0.1.0"  # the one place that names it

_LAZY = {
    **dict.fromkeys(("Network", "forward", "init", "parameter_count", "summary"), "model"),
    **dict.fromkeys(("Cell", "Data", "TrialState", "advance", "complete", "evaluate", "start", "step"), "trial"),
    "Config": "training.config", "Dataset": "data", "Run": "training.run", "load": "data",
    "predict": "training.prediction", "train": "training.run", "train_many": "training.population",
    "Study": "study", "Trials": "training.trials",
    "devices": "machine.devices", "population": "training.population",
}  # fmt: skip


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'mlp_jax' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"mlp_jax.{_LAZY[name]}")
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
