"""Train a classifier: the loop, its history and the plots of it."""

from nnx.training.history import Best, EpochRow, History
from nnx.training.plots import plot_confusion, plot_curves
from nnx.training.train import evaluate, train_classifier

__all__ = [
    "Best",
    "EpochRow",
    "History",
    "evaluate",
    "plot_confusion",
    "plot_curves",
    "train_classifier",
]
