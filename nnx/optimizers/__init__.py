"""Optimizers: update rules for the parameters of a model."""

from nnx.optimizers.sgd import SGD

__all__ = ["SGD"]
