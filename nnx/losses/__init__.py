"""Losses: a call of a function from :mod:`nnx.functional`, and the ``gradient()`` of the post."""

from nnx.losses.base import Loss
from nnx.losses.classification import CrossEntropy
from nnx.losses.divergences import KLDivergenceStandardNormal
from nnx.losses.squares import MSE, MSES

__all__ = ["MSE", "MSES", "CrossEntropy", "KLDivergenceStandardNormal", "Loss"]
