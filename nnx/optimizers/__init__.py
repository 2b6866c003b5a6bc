"""Optimizers: update rules for the parameters of a model."""

from nnx.optimizers.adam import Adam, AdamW
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.scipy_search import minimize
from nnx.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "minimize"]
