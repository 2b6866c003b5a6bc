"""Training: a step, the training loop of a classifier, its history and plots."""

from nnx.training.accumulation import Accumulation
from nnx.training.history import Best, EpochRow, History
from nnx.training.loss_scaling import LossScale, step_if
from nnx.training.mixed_precision import Policy, as_policy
from nnx.training.plots import plot_confusion, plot_curves
from nnx.training.step import make_step, supervised
from nnx.training.train import evaluate, train_classifier

__all__ = [
    "Accumulation",
    "Best",
    "EpochRow",
    "History",
    "LossScale",
    "Policy",
    "as_policy",
    "evaluate",
    "make_step",
    "plot_confusion",
    "plot_curves",
    "step_if",
    "supervised",
    "train_classifier",
]
