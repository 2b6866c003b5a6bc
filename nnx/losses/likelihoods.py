"""Negative log-likelihoods of targets under a predicted distribution."""

from nnx import functional
from nnx.losses.base import ElementwiseLoss
from nnx.types import Array


class GaussianNLL(ElementwiseLoss):
    """Negative log-likelihood of a normal distribution; see :func:`nnx.functional.gaussian_nll`.

    It is called with the predicted mean, the target and the predicted variance, in PyTorch's order, and its gradient is
    the pair of those of mean and variance.

    Parameters
    ----------
    full : bool
        Whether to add the constant.
    eps : float
        A smaller variance counts as this one.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.GaussianNLL()
    >>> round(float(loss(np.asarray([1.0]), np.asarray([3.0]), np.asarray([4.0]))), 4)
    1.1931
    >>> loss.gradient()
    (array([-0.5]), array([0.]))
    """

    predictions = (0, 2)

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Array, target: Array, variance: Array) -> Array:
        """Return the loss of means (batch, ...), a target of the same shape, and variances that broadcast to it."""
        return functional.gaussian_nll(input, target, variance, full=self.full, eps=self.eps, reduction=self.reduction)


class PoissonNLL(ElementwiseLoss):
    """Negative log-likelihood of counts; see :func:`nnx.functional.poisson_nll`.

    Parameters
    ----------
    log_input : bool
        Whether the input is the logarithm of the rate.
    full : bool
        Whether to add an approximation of the constant.
    eps : float
        Keeps the logarithm of a rate of 0 finite.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.PoissonNLL()
    >>> float(loss(np.asarray([0.0]), np.asarray([2.0])))
    1.0
    >>> loss.gradient()
    array([-1.])
    """

    def __init__(
        self, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of rates (batch, ...), or their logarithms, and counts of the same shape."""
        return functional.poisson_nll(
            input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )
