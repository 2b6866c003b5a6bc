"""Losses: a call into :mod:`nnx.functional`, with the post's ``gradient()``."""

from nnx.losses.loss import MSE, MSES, CrossEntropy, KLDivergenceStandardNormal, Loss

__all__ = ["MSE", "MSES", "CrossEntropy", "KLDivergenceStandardNormal", "Loss"]
