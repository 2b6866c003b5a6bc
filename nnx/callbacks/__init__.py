"""Callbacks of a trainer: what may happen around its steps."""

from nnx.callbacks.best import EarlyStopping, KeepBest
from nnx.training import Callback

__all__ = [
    "Callback",
    "EarlyStopping",
    "KeepBest",
]
