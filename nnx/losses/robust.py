"""Losses of a difference that grow linearly."""

from nnx import functional
from nnx.losses.base import ElementwiseLoss
from nnx.types import Array


class MAE(ElementwiseLoss):
    """Mean absolute error over all elements; see :func:`nnx.functional.mae`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.MAE()
    >>> float(loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    1.0
    >>> loss.gradient()
    array([ 0. , -0.5])
    """

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of (batch, ...) and a target of the same shape."""
        return functional.mae(input, target, reduction=self.reduction)


class Huber(ElementwiseLoss):
    """Quadratic for differences up to ``delta``, then linear with slope ``delta``; see :func:`nnx.functional.huber`.

    Parameters
    ----------
    delta : float
        Positive.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.Huber(delta=2.0)(np.asarray([5.0]), np.asarray([0.0])))
    8.0
    """

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of (batch, ...) and a target of the same shape."""
        return functional.huber(input, target, delta=self.delta, reduction=self.reduction)


class SmoothL1(ElementwiseLoss):
    """Absolute error, quadratic for differences up to ``beta``; see :func:`nnx.functional.smooth_l1`.

    Parameters
    ----------
    beta : float
        With 0 it is :class:`MAE`.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.SmoothL1(beta=2.0)(np.asarray([5.0]), np.asarray([0.0])))
    4.0
    """

    def __init__(self, *, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of (batch, ...) and a target of the same shape."""
        return functional.smooth_l1(input, target, beta=self.beta, reduction=self.reduction)
