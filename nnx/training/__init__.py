"""Training: a step, the trainer around it with its callbacks, the history of a run and its plots."""

from nnx.training.accumulation import Accumulation
from nnx.training.distribution_plots import plot_activations, plot_weights
from nnx.training.history import History
from nnx.training.hooks import Callback
from nnx.training.inference import evaluate, predict
from nnx.training.loss_scaling import LossScale, step_if
from nnx.training.mistake_plots import plot_mistakes
from nnx.training.mixed_precision import Policy, as_policy
from nnx.training.plots import plot_confusion, plot_curves, plot_histories
from nnx.training.profiling import Profile, profile
from nnx.training.step import make_step, supervised
from nnx.training.trainer import Trainer

__all__ = [
    "Accumulation",
    "Callback",
    "History",
    "LossScale",
    "Policy",
    "Profile",
    "Trainer",
    "as_policy",
    "evaluate",
    "make_step",
    "plot_activations",
    "plot_confusion",
    "plot_curves",
    "plot_histories",
    "plot_mistakes",
    "plot_weights",
    "predict",
    "profile",
    "step_if",
    "supervised",
]
