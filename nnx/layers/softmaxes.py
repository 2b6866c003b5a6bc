"""Softmax and its logarithm as layers."""

from nnx import functional
from nnx.layers.module import Module
from nnx.types import Array


class Softmax(Module):
    r"""Softmax: :math:`e^{x_i} / \sum_k e^{x_k}` along an axis; see :func:`nnx.functional.softmax`.

    A classifier should end without it, since :class:`nnx.CrossEntropy` takes logits.

    Parameters
    ----------
    axis : int
        The axis of the classes, default the last.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Softmax()(np.asarray([[1.0, 1.0]]))
    array([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.softmax(x, axis=self.axis)


class LogSoftmax(Module):
    r"""Logarithm of softmax: :math:`x_i - \log \sum_k e^{x_k}` along an axis; see :func:`nnx.functional.log_softmax`.

    A classifier should end without it, since :class:`nnx.CrossEntropy` takes logits.

    Parameters
    ----------
    axis : int
        The axis of the classes, default the last.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.LogSoftmax()(np.asarray([[1.0, 1.0]])).round(4)
    array([[-0.6931, -0.6931]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.log_softmax(x, axis=self.axis)
