"""Activations in the shape of an S, and their integrals and logarithms."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.functional.checks import expect_real
from nnx.functional.elementwise import with_slope
from nnx.functional.precision import in_float32
from nnx.types import Array


@primitive
@in_float32
def sigmoid(x: Array) -> Array:
    r"""Logistic function: :math:`\sigma(x) = 1 / (1 + e^{-x})`.

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
    Computed as :math:`e^x / (1 + e^x)` where :math:`x < 0`: nothing overflows, and small values keep all their digits.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.sigmoid(np.asarray([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    expect_real(x)
    xp = namespace(x)
    is_negative = x < 0
    small = xp.exp(xp.where(is_negative, x, -x))  # not -abs(x), whose derivative at 0 is another one
    return xp.where(is_negative, small, 1.0) / (1.0 + small)


@sigmoid.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = sigmoid(x)
    return y, lambda cotangent: (cotangent * (y * (1.0 - y)),)


@primitive
@in_float32
def log_sigmoid(x: Array) -> Array:
    r"""Logarithm of the logistic function: :math:`\log \sigma(x) = -\log(1 + e^{-x})`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, at most 0

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Accurate on both sides: near :math:`x` for negative numbers, near :math:`-e^{-x}` for positive ones.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.log_sigmoid(np.asarray([-1000.0, 0.0])).round(4)
    array([-1.000e+03, -6.931e-01])
    """
    expect_real(x)
    return -_log_one_plus_exp(-x)


with_slope(log_sigmoid, lambda x: sigmoid(-x))


@primitive
@in_float32
def softplus(x: Array, *, beta: float = 1.0) -> Array:
    r"""Smooth rectified linear unit: :math:`\frac{1}{\beta} \log(1 + e^{\beta x})`.

    Parameters
    ----------
    x : array of any shape, real floating-point
    beta : float
        Positive; the larger, the nearer to :func:`relu`.

    Returns
    -------
    y : array of the same shape and dtype, at least 0

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ArgumentError
        If ``beta`` is not positive.

    Notes
    -----
    It has the formula's value everywhere, without the threshold above which PyTorch returns :math:`x`.
    Source: C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NeurIPS 2000.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.softplus(np.asarray([-1000.0, 0.0, 1000.0])).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """
    expect_real(x)
    if not beta > 0:
        raise ArgumentError(f"expected beta > 0, got {beta!r}")
    return _log_one_plus_exp(x) if beta == 1 else _log_one_plus_exp(beta * x) / beta


with_slope(softplus, lambda x, beta=1.0: sigmoid(beta * x))


def _log_one_plus_exp(x: Array) -> Array:
    xp = namespace(x)
    is_negative = x < 0
    return xp.where(is_negative, 0.0, x) + xp.log1p(xp.exp(xp.where(is_negative, x, -x)))


@primitive
def tanh(x: Array) -> Array:
    r"""Hyperbolic tangent: :math:`(e^x - e^{-x}) / (e^x + e^{-x})`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, in [-1, 1]

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.tanh(np.asarray([-1000.0, 0.0, 1000.0]))
    array([-1.,  0.,  1.])
    """
    expect_real(x)
    return namespace(x).tanh(x)


@tanh.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    y = tanh(x)
    return y, lambda cotangent: (cotangent * (1.0 - y * y),)


@primitive
@in_float32
def softsign(x: Array) -> Array:
    r"""Softsign: :math:`x / (1 + |x|)`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, in [-1, 1]

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.softsign(np.asarray([-1.0, 3.0, np.inf]))
    array([-0.5 ,  0.75,  1.  ])
    """
    expect_real(x)
    xp = namespace(x)
    most = float(xp.finfo(x.dtype).max)
    finite = xp.where(x > most, most, xp.where(x < -most, -most, x))  # infinity / infinity would be NaN
    return finite / (1.0 + xp.abs(finite))


def _softsign_slope(x: Array) -> Array:
    root = 1.0 / (1.0 + namespace(x).abs(x))
    return root * root


with_slope(softsign, _softsign_slope)
