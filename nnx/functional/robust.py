"""Losses of a difference that grow linearly, so that outliers weigh less than in a mean of squares."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.autodiff.rules.elementwise import slope_of_abs
from nnx.backend import namespace
from nnx.errors import ArgumentError
from nnx.functional.loss_terms import expect_pair, of_difference, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


@primitive
@in_float32
def mae(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Mean absolute error: the mean over all elements of :math:`|x - t|`.

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

    Notes
    -----
    Where :math:`x = t`, the derivative is 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.functional.mae(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    1.0
    """
    expect_pair(input, target)
    return reduce_loss(abs(input - target), reduction)


@mae.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], input: Array, target: Array, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    expect_pair(input, target)
    difference = input - target

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, difference)
        scale = unreduce(cotangent, reduction, difference.shape)
        return of_difference(wanted, slope_of_abs(xp, difference, difference) * scale)

    return reduce_loss(abs(difference), reduction), pullback


@primitive
@in_float32
def huber(input: Array, target: Array, *, delta: float = 1.0, reduction: str = "mean") -> Array:
    r"""Huber loss: quadratic for small differences, linear for large ones.

    With :math:`d = x - t`, the mean over all elements of

    .. math:: \tfrac{1}{2} d^2 \text{ if } |d| \le \delta, \text{ else } \delta (|d| - \tfrac{1}{2} \delta)

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
    delta : float
        The positive difference from which on the loss is linear.
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
    ArgumentError
        If ``delta`` is not positive.

    Notes
    -----
    It is ``delta`` times :func:`smooth_l1` with ``beta=delta``: here the linear part has slope ``delta``, there 1.
    Source: P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics, 1964.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.huber(np.asarray([1.0, 5.0]), np.zeros(2), delta=2.0, reduction="none")
    array([0.5, 8. ])
    """
    _check_huber(input, target, delta)
    return reduce_loss(_huber(input - target, delta, 1.0), reduction)


@huber.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, delta: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    _check_huber(input, target, delta)
    return _with_pullback(wanted, input - target, delta, 1.0, reduction)


@primitive
@in_float32
def smooth_l1(input: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean") -> Array:
    r"""Absolute error that is quadratic near 0: PyTorch's ``SmoothL1Loss``.

    With :math:`d = x - t`, the mean over all elements of

    .. math:: \tfrac{1}{2} d^2 / \beta \text{ if } |d| \le \beta, \text{ else } |d| - \tfrac{1}{2} \beta

    Parameters
    ----------
    input, target : arrays of one shape, real floating-point
    beta : float
        The difference from which on the loss is linear; with 0 it is :func:`mae`.
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
    ArgumentError
        If ``beta`` is negative.

    Notes
    -----
    Source: R. Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.smooth_l1(np.asarray([1.0, 5.0]), np.zeros(2), beta=2.0, reduction="none")
    array([0.25, 4.  ])
    """
    _check_smooth_l1(input, target, beta)
    if beta == 0:
        return mae(input, target, reduction=reduction)
    return reduce_loss(_huber(input - target, beta, 1.0 / beta), reduction)


@smooth_l1.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], input: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    _check_smooth_l1(input, target, beta)
    if beta == 0:
        return mae.rule(wanted, input, target, reduction=reduction)
    return _with_pullback(wanted, input - target, beta, 1.0 / beta, reduction)


def _huber(difference: Array, delta: float, factor: float) -> Array:
    """Return c (d - c / 2) for the difference's size d and its part c up to delta: both cases without a branch."""
    xp = namespace(difference)
    size = abs(difference)
    inner = xp.where(size > delta, delta, size)
    return (factor * inner) * (size - 0.5 * inner)


def _with_pullback(
    wanted: Sequence[Any], difference: Array, delta: float, factor: float, reduction: str
) -> tuple[Array, Pullback]:
    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, difference)
        inner = xp.where(difference > delta, delta, xp.where(difference < -delta, -delta, difference))
        return of_difference(wanted, (factor * unreduce(cotangent, reduction, difference.shape)) * inner)

    return reduce_loss(_huber(difference, delta, factor), reduction), pullback


def _check_huber(input: Array, target: Array, delta: float) -> None:
    expect_pair(input, target)
    if not delta > 0:
        raise ArgumentError(f"expected delta > 0, got {delta}")


def _check_smooth_l1(input: Array, target: Array, beta: float) -> None:
    expect_pair(input, target)
    if not beta >= 0:
        raise ArgumentError(f"expected beta >= 0, got {beta}")
