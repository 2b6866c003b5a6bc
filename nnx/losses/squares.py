"""Losses of squared differences."""

from nnx import functional
from nnx.losses.base import ElementwiseLoss
from nnx.types import Array


class MSE(ElementwiseLoss):
    """Mean squared error over all elements; see :func:`nnx.functional.mse`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.MSE()
    >>> float(loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    >>> loss.gradient()
    array([ 0., -2.])
    """

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of (batch, ...) and a target of the same shape."""
        return functional.mse(input, target, reduction=self.reduction)


class MSES(ElementwiseLoss):
    """Mean squared error of the softmax of the input; see :func:`nnx.functional.mses`.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.MSES()(np.asarray([[0.0, 0.0]]), np.asarray([[1.0, 0.0]])))
    0.25
    """

    def __init__(self, *, axis: int = 1, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.axis = axis

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of logits (batch, classes, ...) and a target of the same shape."""
        return functional.mses(input, target, axis=self.axis, reduction=self.reduction)
