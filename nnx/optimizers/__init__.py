"""Optimizers: update rules for the parameters of a model."""

from nnx.optimizers.minimize import minimize
from nnx.optimizers.sgd import SGD

__all__ = ["SGD", "minimize"]
