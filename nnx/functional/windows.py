"""Padding, and windows that slide along an axis."""

from collections.abc import Sequence
from numbers import Number
from typing import Any

from nnx.backend import device_of, namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, normalize_axis
from nnx.types import Array


def pad(x: Array, widths: int | Sequence[tuple[int, int]], *, value: float = 0.0) -> Array:
    r"""Surround an array with a constant: :math:`y_{i + b} = x_i`, with :math:`b` elements before it along each axis.

    Parameters
    ----------
    x : array of any shape and dtype
    widths : int, or a pair (before, after) for each axis
        How many elements to add; an int applies to both sides of all axes.
    value : float
        The constant; default 0. It is not differentiated.

    Returns
    -------
    y : array of the same dtype
        Each axis is longer by before + after.

    Raises
    ------
    ArgumentError
        If a width is negative or not an int, there is not one pair per axis, or the dtype cannot represent ``value``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.pad(np.asarray([1.0, 2.0]), [(1, 2)])
    array([0., 1., 2., 0., 0.])
    """
    xp = namespace(x)
    pairs = _pairs(widths, x.ndim)
    fill = as_fill(x, value)
    for axis, pair in enumerate(pairs):
        before, after = (
            [xp.full((*x.shape[:axis], width, *x.shape[axis + 1 :]), fill, dtype=x.dtype, device=device_of(x))]
            if width
            else []
            for width in pair
        )
        if before or after:
            x = xp.concat([*before, x, *after], axis=axis)
    return x


def sliding_window(x: Array, size: int, *, axis: int = -1, step: int = 1) -> Array:
    r"""Windows along an axis: :math:`y_{\ldots w \ldots k} = x_{\ldots (w \cdot \text{step} + k) \ldots}`.

    Parameters
    ----------
    x : array of any dtype with at least one axis
    size : int
        Length of a window.
    axis : int
        Default -1.
    step : int
        The distance from the start of a window to that of the next; default 1.

    Returns
    -------
    y : array, shape (..., windows, ..., size), of the same dtype
        The axis becomes that of the (length - size) // step + 1 windows that fit; their elements lie along a new last
        axis.

    Raises
    ------
    ArgumentError
        If ``size`` or ``step`` is less than 1 or not an int.
    ShapeError
        If ``x`` has no such axis, or the axis is shorter than a window.

    Notes
    -----
    The windows are copies: the result takes about size / step times the memory of ``x``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.sliding_window(np.asarray([1.0, 2.0, 3.0, 4.0]), 2, step=2)
    array([[1., 2.],
           [3., 4.]])
    """
    xp = namespace(x)
    size, step = as_integer(size, "size", 1), as_integer(step, "step", 1)
    axis = normalize_axis(axis, x.ndim)
    length = x.shape[axis]
    if size > length:
        raise ShapeError(f"expected an axis of length {size} or more, the size of a window, got {length}")
    span = (length - size) // step * step + 1
    return xp.stack([x[(slice(None),) * axis + (slice(k, k + span, step), ...)] for k in range(size)], axis=-1)


def _pairs(widths: Any, ndim: int) -> list[tuple[int, int]]:
    if not isinstance(widths, Sequence):
        width = as_integer(widths, "widths", 0)
        return [(width, width)] * ndim
    if len(widths) != ndim or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in widths):
        raise ArgumentError(
            f"expected widths to be an int or {ndim} pairs (before, after), one per axis, got {widths!r}"
        )
    return [(as_integer(before, "each width", 0), as_integer(after, "each width", 0)) for before, after in widths]


def as_fill(x: Array, value: Any) -> Any:
    """Return a constant as a Python number of the kind that the dtype of ``x`` holds.

    Raises
    ------
    ArgumentError
        If the dtype cannot represent it.
    """
    xp = namespace(x)
    if not isinstance(value, Number):
        raise ArgumentError(f"expected value to be a number, got {type(value).__name__}")
    kinds = {"bool": bool, "integral": int, "real floating": float, "complex floating": complex}
    kind: Any = next(kind for name, kind in kinds.items() if xp.isdtype(x.dtype, name))
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (number != value and value == value):
        raise ArgumentError(f"expected value to be a number that {x.dtype} has, got {value!r}")
    return number
