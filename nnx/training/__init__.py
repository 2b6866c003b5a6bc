"""Training: a step, the training loop of a classifier, its history and plots."""

from nnx.training.history import Best, EpochRow, History
from nnx.training.plots import plot_confusion, plot_curves
from nnx.training.step import make_step, supervised
from nnx.training.train import evaluate, train_classifier

__all__ = [
    "Best",
    "EpochRow",
    "History",
    "evaluate",
    "make_step",
    "plot_confusion",
    "plot_curves",
    "supervised",
    "train_classifier",
]
