"""Multi-layer perceptrons as scikit-learn estimators, and a grid search that trains all its candidates at once."""

from mlp_jax.sklearn.estimators import MLPClassifier, MLPRegressor
from mlp_jax.sklearn.sweep import SweepCV

__all__ = ["MLPClassifier", "MLPRegressor", "SweepCV"]
