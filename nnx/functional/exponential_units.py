"""The exponential function, and activations that are one for negative numbers and linear for positive ones."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.functional.checks import expect_floating, expect_real
from nnx.functional.elementwise import with_slope
from nnx.functional.precision import in_float32
from nnx.types import Array

# Such that standard normal inputs give outputs of mean 0 and variance 1: the source is named in selu.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


@primitive
def exponential(x: Array) -> Array:
    r"""Exponential function: :math:`e^x`.

    Parameters
    ----------
    x : array of any shape, floating-point

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.exponential(np.asarray([0.0]))
    array([1.])
    """
    expect_floating(x)
    return namespace(x).exp(x)


@exponential.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = exponential(x)
    return y, lambda cotangent: (cotangent * y,)


@primitive
@in_float32
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    r"""Exponential linear unit: :math:`x` where :math:`x > 0`, else :math:`\alpha (e^x - 1)`.

    Parameters
    ----------
    x : array of any shape, real floating-point
    alpha : float
        The negative of the limit at :math:`-\infty`; also the derivative at 0.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by exponential
    linear units (ELUs)", ICLR 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.elu(np.asarray([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    return _unit(x, 1.0, alpha, 1.0)


with_slope(elu, lambda x, alpha=1.0: _unit_slope(x, 1.0, alpha, 1.0))


@primitive
@in_float32
def selu(x: Array) -> Array:
    r"""Scaled exponential linear unit: :math:`s x` where :math:`x > 0`, else :math:`s \alpha (e^x - 1)`.

    :math:`s \approx 1.0507` and :math:`\alpha \approx 1.6733` keep the outputs of layers near mean 0 and variance 1.

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
    The derivative at 0 is :math:`s \alpha`. For the variance to stay, weights need the standard deviation
    :math:`\sqrt{1 / \mathrm{fan\_in}}` of :class:`nnx.initializers.LeCunNormal`.
    Source: G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.selu(np.asarray([-1000.0, 1.0])).round(4)
    array([-1.7581,  1.0507])
    """
    return _unit(x, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0)


with_slope(selu, lambda x: _unit_slope(x, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0))


@primitive
@in_float32
def celu(x: Array, *, alpha: float = 1.0) -> Array:
    r"""Continuously differentiable ELU: :math:`x` where :math:`x > 0`, else :math:`\alpha (e^{x / \alpha} - 1)`.

    Parameters
    ----------
    x : array of any shape, real floating-point
    alpha : float
        The negative of the limit at :math:`-\infty`; positive.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ArgumentError
        If ``alpha`` is not positive.

    Notes
    -----
    Source: J. T. Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483, 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.celu(np.asarray([-1000.0, 2.0]), alpha=0.5)
    array([-0.5,  2. ])
    """
    if not alpha > 0:
        raise ArgumentError(f"expected alpha > 0, got {alpha!r}")
    return _unit(x, 1.0, alpha, 1.0 / alpha)


with_slope(celu, lambda x, alpha=1.0: _unit_slope(x, 1.0, alpha, 1.0 / alpha))


def _unit(x: Array, scale: float, depth: float, rate: float) -> Array:
    """Return ``scale * x`` where it is positive, else ``depth * (exp(rate * x) - 1)``."""
    expect_real(x)
    xp = namespace(x)
    is_positive = x > 0
    below = depth * xp.expm1(rate * xp.where(is_positive, 0.0, x))  # of large numbers the exponential overflows
    return xp.where(is_positive, scale * x, below)


def _unit_slope(x: Array, scale: float, depth: float, rate: float) -> Array:
    xp = namespace(x)
    is_positive = x > 0
    return xp.where(is_positive, scale, depth * rate * xp.exp(rate * xp.where(is_positive, 0.0, x)))
