"""Callbacks of a trainer: what may happen around its steps."""

from nnx.callbacks.best import EarlyStopping, KeepBest
from nnx.callbacks.checkpointing import Checkpoints
from nnx.callbacks.drawing import Plots
from nnx.callbacks.event_files import TensorBoard
from nnx.callbacks.gradient_changes import ClipGradients, GradientNoise
from nnx.callbacks.gradient_norms import GradientNorms
from nnx.callbacks.history_file import WriteHistory
from nnx.callbacks.moving import MoveBackend
from nnx.callbacks.peak_memory import Memory
from nnx.callbacks.plateau import ReduceOnPlateau
from nnx.callbacks.progress import ProgressBar
from nnx.callbacks.rate_search import RateSearch, find_learning_rate
from nnx.callbacks.stopwatch import StopAfter, Timing
from nnx.training import Callback

__all__ = [
    "Callback",
    "Checkpoints",
    "ClipGradients",
    "EarlyStopping",
    "GradientNoise",
    "GradientNorms",
    "KeepBest",
    "Memory",
    "MoveBackend",
    "Plots",
    "ProgressBar",
    "RateSearch",
    "ReduceOnPlateau",
    "StopAfter",
    "TensorBoard",
    "Timing",
    "WriteHistory",
    "find_learning_rate",
]
