"""Losses: a call of a function from :mod:`nnx.functional`, and the ``gradient()`` of the post."""

from nnx.losses.alignment import CTC
from nnx.losses.base import Loss
from nnx.losses.binary import BCE, BCEWithLogits, Hinge
from nnx.losses.classification import NLL, CrossEntropy
from nnx.losses.contrastive import InfoNCE
from nnx.losses.divergences import KLDivergence, KLDivergenceStandardNormal
from nnx.losses.likelihoods import GaussianNLL, PoissonNLL
from nnx.losses.metric_learning import CosineEmbedding, TripletMargin
from nnx.losses.robust import MAE, Huber, SmoothL1
from nnx.losses.segmentation import BinaryFocal, Dice, Focal
from nnx.losses.squares import MSE, MSES

__all__ = [
    "BCE",
    "CTC",
    "MAE",
    "MSE",
    "MSES",
    "NLL",
    "BCEWithLogits",
    "BinaryFocal",
    "CosineEmbedding",
    "CrossEntropy",
    "Dice",
    "Focal",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "InfoNCE",
    "KLDivergence",
    "KLDivergenceStandardNormal",
    "Loss",
    "PoissonNLL",
    "SmoothL1",
    "TripletMargin",
]
