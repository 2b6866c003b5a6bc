"""Losses: a call of a function from :mod:`nnx.functional`, and the ``gradient()`` of the post."""

from nnx.losses.loss import MSE, MSES, CrossEntropy, KLDivergenceStandardNormal, Loss

__all__ = ["MSE", "MSES", "CrossEntropy", "KLDivergenceStandardNormal", "Loss"]
