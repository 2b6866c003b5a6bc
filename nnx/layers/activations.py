"""Activation layers, without parameters."""

from nnx import functional
from nnx.layers.module import Module
from nnx.types import Array


class ReLU(Module):
    r"""Rectified linear unit: :math:`\max(x, 0)`; see :func:`nnx.functional.relu`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.ReLU()(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """

    forward = staticmethod(functional.relu)


class Sigmoid(Module):
    r"""Logistic function: :math:`1 / (1 + e^{-x})`; see :func:`nnx.functional.sigmoid`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Sigmoid()(np.asarray([0.0]))
    array([0.5])
    """

    forward = staticmethod(functional.sigmoid)


class Exponential(Module):
    r"""Exponential function: :math:`e^x`; see :func:`nnx.functional.exponential`. Used for a positive variance.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Exponential()(np.asarray([0.0]))
    array([1.])
    """

    forward = staticmethod(functional.exponential)


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
