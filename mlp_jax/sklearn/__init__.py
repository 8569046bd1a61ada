"""Multi-layer perceptrons as scikit-learn knows estimators, and a search that trains all its candidates at once."""

from mlp_jax.sklearn.estimators import MLPClassifier, MLPRegressor
from mlp_jax.sklearn.sweep import SweepCV

__all__ = ["MLPClassifier", "MLPRegressor", "SweepCV"]
