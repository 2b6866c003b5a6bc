"""Activation layers made of the exponential function."""

from nnx import functional
from nnx.layers.module import Module
from nnx.types import Array


class Exponential(Module):
    r"""Exponential function: :math:`e^x`; see :func:`nnx.functional.exponential`.

    Used for a positive variance.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Exponential()(np.asarray([0.0]))
    array([1.])
    """

    forward = staticmethod(functional.exponential)


class ELU(Module):
    r"""Exponential linear unit: :math:`x` if positive, else :math:`\alpha (e^x - 1)`; see :func:`nnx.functional.elu`.

    Parameters
    ----------
    alpha : float
        :math:`\alpha`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.ELU()(np.asarray([-1000.0, 2.0]))
    array([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.elu(x, alpha=self.alpha)


class SELU(Module):
    r"""Scaled ELU: :math:`s x` if positive, else :math:`s \alpha (e^x - 1)`; see :func:`nnx.functional.selu`.

    With :class:`nnx.initializers.LeCunNormal` for the weights, outputs stay near mean 0 and variance 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.SELU()(np.asarray([-1000.0, 1.0])).round(4)
    array([-1.7581,  1.0507])
    """

    forward = staticmethod(functional.selu)


class CELU(Module):
    r"""Smooth ELU: :math:`x` if positive, else :math:`\alpha (e^{x / \alpha} - 1)`; see :func:`nnx.functional.celu`.

    Parameters
    ----------
    alpha : float
        :math:`\alpha > 0`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.CELU(0.5)(np.asarray([-1000.0, 2.0]))
    array([-0.5,  2. ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.celu(x, alpha=self.alpha)
