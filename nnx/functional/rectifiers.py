"""Activations that are linear in pieces."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace, summed
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_real, expect_same_dtype, normalize_axis
from nnx.functional.elementwise import with_two_slopes
from nnx.types import Array


@primitive
def relu(x: Array) -> Array:
    r"""Rectified linear unit: :math:`\max(x, 0)`, with derivative 0 at 0.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.relu(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """
    expect_real(x)
    xp = namespace(x)
    return xp.where(x <= 0, 0.0, x)  # NaN stays NaN


with_two_slopes(relu, lambda x: x <= 0, lambda: (0.0, 1.0))


@primitive
def leaky_relu(x: Array, *, slope: float = 0.01) -> Array:
    r"""Rectified linear unit that lets some of the negative through: :math:`x` where :math:`x > 0`, else :math:`a x`.

    Parameters
    ----------
    x : array of any shape, real floating-point
    slope : float
        :math:`a`, also the derivative at 0.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML 2013.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.leaky_relu(np.asarray([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    expect_real(x)
    return namespace(x).where(x > 0, x, slope * x)


with_two_slopes(leaky_relu, lambda x, slope=0.01: x > 0, lambda slope=0.01: (1.0, slope))


@primitive
def prelu(x: Array, weight: Array, *, axis: int = 1) -> Array:
    r"""Leaky ReLU with trained slopes: :math:`x` where :math:`x > 0`, else :math:`w x`.

    Parameters
    ----------
    x : array of any shape, real floating-point
        With several slopes, of shape (batch, channels, ...), or with the channels at ``axis``.
    weight : array, shape (1,) or (channels,)
        The slopes, also the derivatives at 0.
    axis : int
        The axis of the channels, default 1.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.
    ShapeError
        If there is neither one slope nor one for each channel.

    Notes
    -----
    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.prelu(np.asarray([[-1.0, -1.0]]), np.asarray([0.25, 0.5]))
    array([[-0.25, -0.5 ]])
    """
    slopes = _as_slopes(x, weight, axis)
    return namespace(x, weight).where(x > 0, x, slopes * x)


@prelu.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, weight: Array, *, axis: int = 1) -> tuple[Array, Pullback]:
    y = prelu(x, weight, axis=axis)
    kept_x = x if wanted[1] else None
    kept_slopes = _as_slopes(x, weight, axis) if wanted[0] else None
    mask = None if wanted[1] else x > 0
    count = weight.shape[0]
    summed_axes = tuple(i for i in range(x.ndim) if count == 1 or i != axis % x.ndim)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, kept_x, kept_slopes)
        is_positive = mask if kept_x is None else kept_x > 0
        for_x = for_weight = None
        if kept_slopes is not None and wanted[0]:
            for_x = xp.where(is_positive, cotangent, kept_slopes * cotangent)
        if kept_x is not None and wanted[1]:
            terms = xp.where(is_positive, 0.0, kept_x * cotangent)
            for_weight = xp.reshape(summed(xp, terms, summed_axes), (count,))
        return for_x, for_weight

    return y, pullback


def _as_slopes(x: Array, weight: Array, axis: int) -> Array:
    """Check the arguments, and return the slopes in a shape that broadcasts with ``x``."""
    xp = namespace(x, weight)
    expect_real(x)
    expect_same_dtype(x, weight, "weight")
    shape = tuple(weight.shape)
    if shape == (1,):
        return xp.reshape(weight, (1,) * x.ndim)
    axis = normalize_axis(axis, x.ndim)
    if shape != (x.shape[axis],):
        raise ShapeError(
            f"expected weight of shape (1,) or ({x.shape[axis]},), as axis {axis} of the input, got {shape}; "
            "the argument axis names the axis of the channels"
        )
    return xp.reshape(weight, tuple(n if i == axis else 1 for i, n in enumerate(x.shape)))


@primitive
def hardtanh(x: Array, *, low: float = -1.0, high: float = 1.0) -> Array:
    r"""Keep numbers within bounds: :math:`\min(\max(x, l), h)`, with derivative 0 at both bounds.

    Parameters
    ----------
    x : array of any shape, real floating-point
    low, high : float
        The bounds :math:`l < h`.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ArgumentError
        If ``low`` is not less than ``high``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.hardtanh(np.asarray([-2.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """
    expect_real(x)
    if not low < high:
        raise ArgumentError(f"expected low < high, got low={low!r} and high={high!r}")
    xp = namespace(x)
    return xp.where(x <= low, low, xp.where(x >= high, high, x))


with_two_slopes(hardtanh, lambda x, low=-1.0, high=1.0: (x <= low) | (x >= high), lambda **bounds: (0.0, 1.0))


@primitive
def relu6(x: Array) -> Array:
    r"""Rectified linear unit with a ceiling: :math:`\min(\max(x, 0), 6)`, with derivative 0 at 0 and 6.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.relu6(np.asarray([-1.0, 2.0, 8.0]))
    array([0., 2., 6.])
    """
    return hardtanh(x, low=0.0, high=6.0)


with_two_slopes(relu6, lambda x: (x <= 0) | (x >= 6), lambda: (0.0, 1.0))


@primitive
def hardsigmoid(x: Array) -> Array:
    r"""Piecewise linear sigmoid: :math:`\min(\max(x / 6 + 1 / 2, 0), 1)`, with derivative 0 at -3 and 3.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, in [0, 1]

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.hardsigmoid(np.asarray([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    expect_real(x)
    return hardtanh(x / 6.0 + 0.5, low=0.0, high=1.0)


with_two_slopes(hardsigmoid, lambda x: (x <= -3) | (x >= 3), lambda: (0.0, 1.0 / 6.0))
