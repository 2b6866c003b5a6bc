"""Optimizers: update rules for the parameters of a model."""

from nnx.optimizers.adadelta import Adadelta
from nnx.optimizers.adafactor import Adafactor
from nnx.optimizers.adagrad import Adagrad
from nnx.optimizers.adam import Adam, AdamW
from nnx.optimizers.adamax import Adamax
from nnx.optimizers.averaging import EMA, SWA
from nnx.optimizers.gradients import add_noise, all_finite, clip_by_global_norm, clip_by_value, global_norm
from nnx.optimizers.lamb import LAMB
from nnx.optimizers.lbfgs import LBFGS
from nnx.optimizers.lion import Lion
from nnx.optimizers.muon import Muon
from nnx.optimizers.nadam import NAdam
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.radam import RAdam
from nnx.optimizers.rmsprop import RMSprop
from nnx.optimizers.scipy_search import minimize
from nnx.optimizers.sgd import SGD
from nnx.optimizers.weight_average import WeightAverage

__all__ = [
    "EMA",
    "LAMB",
    "LBFGS",
    "SGD",
    "SWA",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "WeightAverage",
    "add_noise",
    "all_finite",
    "clip_by_global_norm",
    "clip_by_value",
    "global_norm",
    "minimize",
]
