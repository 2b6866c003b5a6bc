"""Activation layers in the shape of an S, and their integrals and logarithms."""

from nnx import functional
from nnx.layers.module import Module
from nnx.types import Array


class Sigmoid(Module):
    r"""Logistic function: :math:`1 / (1 + e^{-x})`; see :func:`nnx.functional.sigmoid`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Sigmoid()(np.asarray([0.0]))
    array([0.5])
    """

    forward = staticmethod(functional.sigmoid)


class LogSigmoid(Module):
    r"""Logarithm of the logistic function: :math:`-\log(1 + e^{-x})`; see :func:`nnx.functional.log_sigmoid`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.LogSigmoid()(np.asarray([0.0])).round(4)
    array([-0.6931])
    """

    forward = staticmethod(functional.log_sigmoid)


class Tanh(Module):
    r"""Hyperbolic tangent: :math:`(e^x - e^{-x}) / (e^x + e^{-x})`; see :func:`nnx.functional.tanh`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Tanh()(np.asarray([0.0, 1000.0]))
    array([0., 1.])
    """

    forward = staticmethod(functional.tanh)


class Softplus(Module):
    r"""Smooth ReLU: :math:`\frac{1}{\beta} \log(1 + e^{\beta x})`; see :func:`nnx.functional.softplus`.

    Parameters
    ----------
    beta : float
        :math:`\beta > 0`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Softplus()(np.asarray([0.0])).round(4)
    array([0.6931])
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.softplus(x, beta=self.beta)


class Softsign(Module):
    r"""Softsign: :math:`x / (1 + |x|)`; see :func:`nnx.functional.softsign`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Softsign()(np.asarray([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """

    forward = staticmethod(functional.softsign)
