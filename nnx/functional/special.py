"""Special functions: the error function, and the logarithm of a sum of exponentials."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_real, normalize_axis
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array

# Coefficients of the rational functions, lowest power first; the source is named in erf.
_NEAR = (
    (
        1.28379167095512558561e-01,
        -3.25042107247001499370e-01,
        -2.84817495755985104766e-02,
        -5.77027029648944159157e-03,
        -2.37630166566501626084e-05,
    ),
    (
        1.0,
        3.97917223959155352819e-01,
        6.50222499887672944485e-02,
        5.08130628187576562776e-03,
        1.32494738004321644526e-04,
        -3.96022827877536812320e-06,
    ),
)
_AT_ONE = 8.45062911510467529297e-01
_AROUND_ONE = (
    (
        -2.36211856075265944077e-03,
        4.14856118683748331666e-01,
        -3.72207876035701323847e-01,
        3.18346619901161753674e-01,
        -1.10894694282396677476e-01,
        3.54783043256182359371e-02,
        -2.16637559486879084300e-03,
    ),
    (
        1.0,
        1.06420880400844228286e-01,
        5.40397917702171048937e-01,
        7.18286544141962662868e-02,
        1.26171219808761642112e-01,
        1.36370839120290507362e-02,
        1.19844998467991074170e-02,
    ),
)
_FAR = (
    (
        -9.86494403484714822705e-03,
        -6.93858572707181764372e-01,
        -1.05586262253232909814e01,
        -6.23753324503260060396e01,
        -1.62396669462573470355e02,
        -1.84605092906711035994e02,
        -8.12874355063065934246e01,
        -9.81432934416914548592e00,
    ),
    (
        1.0,
        1.96512716674392571292e01,
        1.37657754143519042600e02,
        4.34565877475229228821e02,
        6.45387271733267880336e02,
        4.29008140027567833386e02,
        1.08635005541779435134e02,
        6.57024977031928170135e00,
        -6.04244152148580987438e-02,
    ),
)
_FARTHER = (
    (
        -9.86494292470009928597e-03,
        -7.99283237680523006574e-01,
        -1.77579549177547519889e01,
        -1.60636384855821916062e02,
        -6.37566443368389627722e02,
        -1.02509513161107724954e03,
        -4.83519191608651397019e02,
    ),
    (
        1.0,
        3.03380607434824582924e01,
        3.25792512996573918826e02,
        1.53672958608443695994e03,
        3.19985821950859553908e03,
        2.55305040643316442583e03,
        4.74528541206955367215e02,
        -2.24409524465858183362e01,
    ),
)


@primitive
def erf(x: Array) -> Array:
    r"""Error function: :math:`\frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt`.

    Parameters
    ----------
    x : array of any shape, real floating-point

    Returns
    -------
    y : array of the same shape and dtype, in [-1, 1]
        Within a few units in the last place.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.

    Notes
    -----
    Source: the rational approximations and their coefficients are those of ``s_erf.c`` in fdlibm, Sun Microsystems,
    1993. The derivative is :math:`\frac{2}{\sqrt{\pi}} e^{-x^2}`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.erf(np.asarray([0.0, 1.0, -1000.0])).round(6)
    array([ 0.      ,  0.842701, -1.      ])
    """
    expect_real(x)
    xp = namespace(x)
    size = xp.abs(x)
    # All ranges are computed and one is chosen. Arguments of other ranges are replaced before: they could overflow, and
    # an infinity in a branch that is not chosen would become NaN in the derivative.
    near = xp.where(size < 0.84375, x, 0.0)
    around = xp.where(size < 1.25, size, 1.0) - 1.0
    far = xp.where(size < 1.25, 1.25, xp.where(size > 6.0, 6.0, size))  # erf(6) rounds to 1; NaN stays NaN
    square = far * far
    inverse = 1.0 / square
    exponent = xp.where(far < 1 / 0.35, _ratio(_FAR, inverse), _ratio(_FARTHER, inverse))
    tail = 1.0 - xp.exp(exponent - square - 0.5625) / far
    away = xp.where(size < 1.25, _AT_ONE + _ratio(_AROUND_ONE, around), tail)
    away = xp.where(x < 0, -away, away)
    return xp.where(size < 0.84375, near * (1.0 + _ratio(_NEAR, near * near)), away)


@erf.with_pullback
def _(wanted: Sequence[Any], x: Array) -> tuple[Array, Pullback]:
    return erf(x), lambda cotangent: (cotangent * _erf_slope(x),)


erf.with_tangent(lambda args, tangents, options: (erf(*args), tangents[0] * _erf_slope(args[0])))


def _erf_slope(x: Array) -> Array:
    xp = namespace(x)
    x = xp.where(xp.abs(x) > 30.0, 30.0, x)  # the square of a huge number overflows; at 30 the slope is 0
    return 2.0 / math.sqrt(math.pi) * xp.exp(-(x * x))


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = coefficients
    return _polynomial(above, x) / _polynomial(below, x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    value: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@primitive
@in_float32
def logsumexp(x: Array, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    r"""Logarithm of a sum of exponentials: :math:`\log \sum_i e^{x_i}`, finite for any finite input.

    Parameters
    ----------
    x : array of any shape, real floating-point
    axis : int, tuple of ints or None
        The axes to sum over; None, the default, means all.
    keepdims : bool
        Whether these axes are kept, with length 1.

    Returns
    -------
    y : array of the same dtype
        Of the shape of ``x`` without the axes.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis, or no elements to sum over.
    ArgumentError
        If an axis is named twice.

    Notes
    -----
    The derivative is the softmax: shares that add up to 1. If an element is inf or all are -inf, so is the value, and
    the elements equal to it share the derivative evenly.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.logsumexp(np.asarray([[1000.0, 1000.0], [-np.inf, 0.0]]), axis=1).round(4)
    array([1000.6931,    0.    ])
    """
    axes = _reduced_axes(x, axis)
    xp = namespace(x)
    if not axes:
        return x + 0.0
    top = xp.max(stop_gradient(x), axis=axes, keepdims=True)  # subtracting it changes neither value nor derivative
    infinite = xp.isinf(top)
    shift = xp.where(infinite, 0.0, top)
    powers = xp.exp(xp.where(infinite, 0.0, x) - shift)
    y = xp.where(infinite, top, xp.log(xp.sum(powers, axis=axes, keepdims=True)) + shift)
    return y if keepdims else xp.reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@logsumexp.with_pullback
@rule_in_float32
def _(
    wanted: Sequence[Any], x: Array, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> tuple[Array, Pullback]:
    axes = _reduced_axes(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent, x)
        return (_shares(x, axes) * xp.reshape(cotangent, kept) if axes else cotangent,)

    return logsumexp(x, axis=axis, keepdims=keepdims), pullback


def _logsumexp_tangent(
    args: Sequence[Array], tangents: Sequence[Array], options: dict[str, Any]
) -> tuple[Array, Array]:
    (x,), (tangent,) = args, tangents
    axes = _reduced_axes(x, options.get("axis"))
    y = logsumexp(x, **options)
    if not axes:
        return y, tangent
    xp = namespace(x, tangent)
    return y, xp.sum(_shares(x, axes) * tangent, axis=axes, keepdims=options.get("keepdims", False))


logsumexp.with_tangent(_logsumexp_tangent)


def _shares(x: Array, axes: tuple[int, ...]) -> Array:
    """Return the softmax, not as exp(x - y): where y is large, its rounding error would be that of the shares."""
    xp = namespace(x)
    plain = stop_gradient(x)
    top = xp.max(plain, axis=axes, keepdims=True)
    infinite = xp.isinf(top)
    tied = xp.where(plain == top, xp.zeros_like(top), -math.inf)
    powers = xp.exp(xp.where(infinite, tied, x - xp.where(infinite, 0.0, top)))
    return powers / xp.sum(powers, axis=axes, keepdims=True)


def _reduced_axes(x: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Check the arguments, and return the axes, from 0."""
    expect_real(x)
    given = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(normalize_axis(a, x.ndim) for a in given)
    if len(set(axes)) < len(axes):
        raise ArgumentError(f"expected each axis once, got axis={axis}")
    if any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"expected at least one element to sum over, got input of shape {tuple(x.shape)}")
    return axes
