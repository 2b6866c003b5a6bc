"""Softmax and its logarithm."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.backend import namespace
from nnx.functional.checks import expect_real, normalize_axis
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


@primitive
@in_float32
def softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Softmax: :math:`s_i = e^{x_i} / \sum_k e^{x_k}` along an axis.

    Parameters
    ----------
    x : array, shape (..., classes) or any other with the classes at ``axis``
        Real floating-point.
    axis : int
        Default -1.

    Returns
    -------
    y : array of the same shape and dtype
        Along the axis positive, with sum 1.

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.softmax(np.asarray([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    expect_real(x)
    xp = namespace(x)
    axis = normalize_axis(axis, x.ndim)
    if 0 in x.shape:
        return 1.0 * x
    # Subtracting the maximum changes neither value nor derivative, and keeps exp from overflowing.
    powers = xp.exp(x - xp.max(stop_gradient(x), axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@softmax.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], x: Array, *, axis: int = -1) -> tuple[Array, Pullback]:
    y = softmax(x, axis=axis)

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent, y)
        weighted = cotangent * y  # y * (g - sum(g * y)): the Jacobian diag(y) - y y^T is never built
        return (weighted - y * xp.sum(weighted, axis=axis, keepdims=True),)

    return y, pullback


@primitive
@in_float32
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Logarithm of the softmax: :math:`x_i - \log \sum_k e^{x_k}` along an axis, finite for any finite input.

    Parameters
    ----------
    x : array, shape (..., classes) or any other with the classes at ``axis``
        Real floating-point.
    axis : int
        Default -1.

    Returns
    -------
    y : array of the same shape and dtype

    Raises
    ------
    DTypeError
        If ``x`` holds integers or complex numbers.
    ShapeError
        If ``x`` has no such axis.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.log_softmax(np.asarray([0.0, 10000.0]))
    array([-10000.,      0.])
    """
    expect_real(x)
    xp = namespace(x)
    axis = normalize_axis(axis, x.ndim)
    if 0 in x.shape:
        return 1.0 * x
    centered = x - xp.max(stop_gradient(x), axis=axis, keepdims=True)
    return centered - xp.log(xp.sum(xp.exp(centered), axis=axis, keepdims=True))


@log_softmax.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], x: Array, *, axis: int = -1) -> tuple[Array, Pullback]:
    y = log_softmax(x, axis=axis)

    def pullback(cotangent: Array) -> tuple[Array]:
        xp = namespace(cotangent, y)
        return (cotangent - xp.exp(y) * xp.sum(cotangent, axis=axis, keepdims=True),)

    return y, pullback
