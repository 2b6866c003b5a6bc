"""Callbacks of a trainer: what may happen around its steps."""

from nnx.callbacks.best import EarlyStopping, KeepBest
from nnx.callbacks.checkpointing import Checkpoints
from nnx.callbacks.gradient_changes import ClipGradients, GradientNoise
from nnx.callbacks.plateau import ReduceOnPlateau
from nnx.callbacks.rate_search import RateSearch, find_learning_rate
from nnx.training import Callback

__all__ = [
    "Callback",
    "Checkpoints",
    "ClipGradients",
    "EarlyStopping",
    "GradientNoise",
    "KeepBest",
    "RateSearch",
    "ReduceOnPlateau",
    "find_learning_rate",
]
