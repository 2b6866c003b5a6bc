"""A loss of the overlap of two regions."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import normalize_axis
from nnx.functional.loss_terms import expect_pair, reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array


@primitive
@in_float32
def dice(
    input: Array,
    target: Array,
    *,
    axis: int | tuple[int, ...] | None = None,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Array:
    r"""Soft Dice loss of probabilities: :math:`1 - \frac{2 \sum p t + s}{\sum p + \sum t + s}`.

    Parameters
    ----------
    input, target : arrays of one shape (batch, classes, ...), real floating-point
        Probabilities: the output of a sigmoid or softmax, and one-hot vectors or masks.
    axis : int, tuple of ints or None
        The axes that the sums are over. By default all but the first two: a loss for each example and class. With
        ``(0, 2, 3)`` images of a batch count as one, and a class that is rare in each of them weighs as any other.
    smooth : float
        :math:`s`, positive; it makes the loss of two empty regions 0.
    reduction : {"mean", "sum", "none"}
        Over the axes that are left.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape of ``input`` without the axes.

    Raises
    ------
    ShapeError
        If the shapes differ, there is no element, or ``input`` lacks an axis.
    DTypeError
        If an array holds integers or complex numbers.
    ArgumentError
        If ``smooth`` is not positive, or an axis is named twice.

    Notes
    -----
    Source: F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net", 3DV 2016, whose denominator has squares.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> mask = np.asarray([[[1.0, 1.0, 0.0, 0.0]]])
    >>> float(nnx.functional.dice(0.5 * mask, mask))  # 1 - (2 * 1 + 1) / (1 + 2 + 1)
    0.25
    """
    axes = _check_dice(input, target, axis, smooth)
    above, below = _overlap(input, target, axes, smooth)
    values = 1.0 - above / below
    return reduce_loss(namespace(values).squeeze(values, axis=axes), reduction)


@dice.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    input: Array,
    target: Array,
    *,
    axis: int | tuple[int, ...] | None = None,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    axes = _check_dice(input, target, axis, smooth)
    above, below = _overlap(input, target, axes, smooth)
    ratio = above / below
    values = 1.0 - namespace(ratio).squeeze(ratio, axis=axes)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, ratio, input, target)
        scale = unreduce(cotangent, reduction, values.shape)
        share = (xp.reshape(scale, below.shape) if reduction == "none" else scale) / below
        return (
            share * (ratio - 2.0 * target) if wanted[0] else None,
            share * (ratio - 2.0 * input) if wanted[1] else None,
        )

    return reduce_loss(values, reduction), pullback


def _overlap(input: Array, target: Array, axes: tuple[int, ...], smooth: float) -> tuple[Array, Array]:
    """Return numerator and denominator, with the axes kept."""
    xp = namespace(input, target)
    both = xp.sum(input * target, axis=axes, keepdims=True)
    return 2.0 * both + smooth, xp.sum(input + target, axis=axes, keepdims=True) + smooth


def _check_dice(input: Array, target: Array, axis: int | tuple[int, ...] | None, smooth: float) -> tuple[int, ...]:
    expect_pair(input, target)
    if not smooth > 0:
        raise ArgumentError(f"expected smooth > 0, got {smooth}")
    return dice_axes(input, axis)


def dice_axes(input: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the axes of the sums, counted from 0."""
    if axis is None:
        if input.ndim < 3:
            raise ShapeError(
                f"expected input of shape (batch, classes, ...), got {tuple(input.shape)}; "
                "name the axes of the sums, as in axis=-1"
            )
        return tuple(range(2, input.ndim))
    axes = tuple(normalize_axis(a, input.ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) < len(axes) or not axes:
        raise ArgumentError(f"expected at least one axis, each once, got axis={axis}")
    return axes
