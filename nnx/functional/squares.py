"""Losses that are means of squares."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.functional.loss_terms import expect_pair, of_difference, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.softmaxes import softmax
from nnx.types import Array


@primitive
@in_float32
def mse(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Mean squared error: the mean over all elements of :math:`(x - t)^2`.

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.functional.mse(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    """
    expect_pair(input, target)
    difference = input - target
    return reduce_loss(difference * difference, reduction)


@mse.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], input: Array, target: Array, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    expect_pair(input, target)
    difference = input - target

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        return of_difference(wanted, (2.0 * unreduce(cotangent, reduction, difference.shape)) * difference)

    return reduce_loss(difference * difference, reduction), pullback


@primitive
@in_float32
def mses(input: Array, target: Array, *, axis: int = 1, reduction: str = "mean") -> Array:
    r"""Mean squared error of the softmax: the mean over all elements of :math:`(s(x) - t)^2`.

    Parameters
    ----------
    input : array, shape (batch, classes, ...)
        Logits, real floating-point.
    target : array of the same shape
        One-hot vectors or probabilities.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input``.

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no element.
    DTypeError
        If an array holds integers or complex numbers.

    Notes
    -----
    The gradient is :math:`s \odot (u - \langle s, u \rangle)` with :math:`u = 2 (s - t) / n`, for which no array larger
    than ``input`` is needed.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.functional.mses(np.asarray([[0.0, 0.0]]), np.asarray([[1.0, 0.0]])))
    0.25
    """
    expect_pair(input, target)
    return mse(softmax(input, axis=axis), target, reduction=reduction)


@mses.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, axis: int = 1, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    expect_pair(input, target)
    probabilities = softmax(input, axis=axis)
    difference = probabilities - target

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        u = (2.0 * unreduce(cotangent, reduction, difference.shape)) * difference
        to_input = None
        if wanted[0]:
            xp = namespace(u)
            weighted = u * probabilities
            to_input = weighted - probabilities * xp.sum(weighted, axis=axis, keepdims=True)
        return to_input, -u if wanted[1] else None

    return reduce_loss(difference * difference, reduction), pullback
