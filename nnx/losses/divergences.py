"""Divergences between distributions."""

from nnx import functional
from nnx.losses.base import Loss
from nnx.types import Array


class KLDivergenceStandardNormal(Loss):
    """Divergence of a normal distribution from N(0, 1); see :func:`nnx.functional.kl_divergence_standard_normal`.

    It is called with mean and variance, and its gradient is a pair.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.KLDivergenceStandardNormal()
    >>> float(loss(np.asarray([[2.0]]), np.asarray([[1.0]])))
    2.0
    >>> loss.gradient()
    (array([[2.]]), array([[0.]]))
    """

    predictions = 2

    def forward(self, mean: Array, variance: Array) -> Array:
        """Return the loss of mean and variance, both (batch, latent)."""
        return functional.kl_divergence_standard_normal(mean, variance, reduction=self.reduction)
