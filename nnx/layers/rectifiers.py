"""Activation layers that are linear in pieces."""

from typing import Any

from nnx import functional
from nnx.backend import asarray, generator
from nnx.functional.checks import as_integer
from nnx.initializers import Constant, Initializer
from nnx.layers.module import Module
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class ReLU(Module):
    r"""Rectified linear unit: :math:`\max(x, 0)`; see :func:`nnx.functional.relu`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.ReLU()(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """

    forward = staticmethod(functional.relu)


class LeakyReLU(Module):
    r"""Leaky ReLU: :math:`x` if positive, else :math:`a x`; see :func:`nnx.functional.leaky_relu`.

    Parameters
    ----------
    slope : float
        :math:`a`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.LeakyReLU(0.1)(np.asarray([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.leaky_relu(x, slope=self.slope)


class PReLU(Module):
    r"""Leaky ReLU with trained slopes: :math:`x` if positive, else :math:`w x`; see :func:`nnx.functional.prelu`.

    Parameters
    ----------
    num_parameters : int
        The number of slopes: 1 for all, the default, or one for each channel.
    axis : int
        The axis of the channels, default 1.
    initializer : Initializer, optional
        Draws the initial slopes; by default all are 0.25.
    rng : int or NumPy Generator, optional
        Source of the initial slopes, for an initializer that draws them.
    dtype : dtype or str
        Of the slopes; default float32.

    Attributes
    ----------
    weight : array, shape (num_parameters,)

    Raises
    ------
    ArgumentError
        If ``num_parameters`` is less than 1.
    ShapeError
        On a call, if there are several slopes, and the input has another number of channels.

    Notes
    -----
    Weight decay would pull the slopes toward 0, which makes it a ReLU; :class:`nnx.AdamW` takes ``no_decay``.
    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.PReLU()(np.asarray([-1.0, 2.0], np.float32))
    array([-0.25,  2.  ], dtype=float32)
    """

    def __init__(
        self,
        num_parameters: int = 1,
        *,
        axis: int = 1,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.num_parameters = as_integer(num_parameters, "num_parameters", 1)
        self.axis = axis
        initial = (initializer or Constant(0.25))(generator(rng), (self.num_parameters,), 1, 1)
        self.weight = Parameter(asarray(initial, dtype=dtype))

    def forward(self, x: Array) -> Array:
        """Map (batch, channels, ...), or any shape if there is one slope, to the same shape."""
        return functional.prelu(x, self.weight, axis=self.axis)


class Hardtanh(Module):
    r"""Bounds: :math:`\min(\max(x, l), h)`; see :func:`nnx.functional.hardtanh`.

    Parameters
    ----------
    low : float
        :math:`l`.
    high : float
        :math:`h`, larger than ``low``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Hardtanh()(np.asarray([-2.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low = low
        self.high = high

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.hardtanh(x, low=self.low, high=self.high)


class ReLU6(Module):
    r"""ReLU with a ceiling: :math:`\min(\max(x, 0), 6)`; see :func:`nnx.functional.relu6`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.ReLU6()(np.asarray([-1.0, 2.0, 8.0]))
    array([0., 2., 6.])
    """

    forward = staticmethod(functional.relu6)


class Hardsigmoid(Module):
    r"""Piecewise linear sigmoid: :math:`\min(\max(x / 6 + 1 / 2, 0), 1)`; see :func:`nnx.functional.hardsigmoid`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Hardsigmoid()(np.asarray([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """

    forward = staticmethod(functional.hardsigmoid)
