"""Divergences between distributions."""

from nnx import functional
from nnx.backend import namespace
from nnx.functional.divergences import KL_REDUCTIONS
from nnx.losses.base import Loss
from nnx.types import Array, Shape


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

    predictions = (0, 1)

    def forward(self, mean: Array, variance: Array) -> Array:
        """Return the loss of mean and variance, both (batch, latent)."""
        return functional.kl_divergence_standard_normal(mean, variance, reduction=self.reduction)


class KLDivergence(Loss):
    """Divergence of log-probabilities from a target of probabilities; see :func:`nnx.functional.kl_divergence`.

    Its default reduction is ``"batchmean"``, the mean of the examples' divergences; ``"mean"`` is over all elements.

    Parameters
    ----------
    log_target : bool
        Whether the target holds logarithms of probabilities.
    reduction : {"batchmean", "mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.KLDivergence()
    >>> round(float(loss(np.log(np.asarray([[0.5, 0.5]])), np.asarray([[0.25, 0.75]]))), 4)
    0.1308
    >>> loss.gradient()
    array([[-0.25, -0.75]])
    """

    reductions = KL_REDUCTIONS

    def __init__(self, *, log_target: bool = False, reduction: str = "batchmean") -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of log-probabilities (batch, ...) and a target of the same shape."""
        return functional.kl_divergence(input, target, log_target=self.log_target, reduction=self.reduction)

    def terms(self, input: Array, target: Array) -> Array:
        """Return the divergences of the examples for ``"batchmean"``, else those of all elements."""
        each = super().terms(input, target)
        if self.reduction != "batchmean":
            return each
        xp = namespace(each)
        return xp.sum(xp.reshape(each, (each.shape[0], -1)), axis=1)

    def counts(self, input: Array, target: Array) -> Shape:
        """Return the shape of the terms."""
        return tuple(input.shape[:1] if self.reduction == "batchmean" else input.shape)
