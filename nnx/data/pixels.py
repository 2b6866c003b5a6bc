"""What transforms of images share: pixels taken from anywhere in each image, and boxes of pixels."""

import math
from typing import Any

import numpy as np

from nnx.backend import asarray, device_of, namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_class_indices, as_integer
from nnx.functional.windows import pad
from nnx.types import Array


def expect_images(x: Array) -> tuple[int, int]:
    """Return the height and width of images (batch, height, width) or (batch, channels, height, width)."""
    if x.ndim < 3 or 0 in x.shape[1:]:
        raise ShapeError(
            "expected images of shape (batch, height, width) or (batch, channels, height, width), with pixels, "
            f"got {tuple(x.shape)}; reshape flat ones"
        )
    return int(x.shape[-2]), int(x.shape[-1])


def pixels_at(x: Array, row: Array, column: Array, fill: Any = None) -> Array:
    """Return the pixels of each image at some rows and columns.

    Parameters
    ----------
    x : array, shape (batch, ..., height, width)
    row, column : integer arrays that broadcast to (batch, new height, new width), on the device of ``x``
    fill : number, optional
        The value outside the image. By default nothing is outside.

    Returns
    -------
    y : array, shape (batch, ..., new height, new width)
    """
    if fill is not None:
        x, row, column = bordered(x, row, column, fill)
    return taken(x, row * x.shape[-1] + column)


def bordered(x: Array, row: Array, column: Array, fill: Any, reach: int = 0) -> tuple[Array, Array, Array]:
    """Return images with a border of a constant, and where rows and columns are in them.

    What is outside the image comes to be in the border, with ``reach`` more pixels of it to the right and below.
    """
    xp = namespace(x, row, column)
    width = reach + 1
    # A border is faster than a mask, which would be applied to all channels.
    wide = pad(x, [(0, 0)] * (x.ndim - 2) + [(width, width)] * 2, value=fill)
    ends = (n - width for n in wide.shape[-2:])
    row, column = (
        xp.minimum(xp.maximum(at + width, xp.zeros_like(at)), xp.full_like(at, end))
        for at, end in zip((row, column), ends, strict=True)
    )
    return wide, row, column


def taken(x: Array, index: Array) -> Array:
    """Return the pixels of each image at numbers (batch, new height, new width), counted row by row."""
    xp = namespace(x, index)
    batch, *new = index.shape
    planes = xp.reshape(x, (batch, math.prod(x.shape[1:-2]), x.shape[-2] * x.shape[-1]))
    index = as_class_indices(xp.reshape(index, (batch, 1, math.prod(new))))
    return xp.reshape(xp.take_along_axis(planes, index, axis=2), (*x.shape[:-2], *new))


def inside_box(x: Array, top: Array, bottom: Array, left: Array, right: Array) -> Array:
    """Return which pixels are in a box, from ``top`` to before ``bottom`` and ``left`` to before ``right``.

    Parameters
    ----------
    x : array, shape (batch, ..., height, width)
    top, bottom, left, right : NumPy arrays of integers, shape (batch,), or (1,) for one box in all images

    Returns
    -------
    inside : array of booleans that broadcasts to the shape of ``x``, in its library and on its device
    """
    xp = namespace(x)
    device = device_of(x)
    row = xp.reshape(xp.arange(x.shape[-2], dtype=xp.int32, device=device), (-1, 1))
    column = xp.reshape(xp.arange(x.shape[-1], dtype=xp.int32, device=device), (1, -1))
    sides = (for_each_image(np.asarray(side, np.int32), x) for side in (top, bottom, left, right))
    top, bottom, left, right = sides
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def for_each_image(values: Array, x: Array, dtype: str | None = None) -> Array:
    """Move a NumPy array (batch,) to the device of ``x``, with axes of length 1 for all others of ``x``."""
    return asarray(values.reshape(-1, *(1,) * (x.ndim - 1)), like=x, dtype=dtype)


def as_pair(value: Any, name: str, least: int) -> tuple[int, int]:
    """Return an integer, or a pair of them, for rows and columns as a pair."""
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2:
        raise ArgumentError(f"expected {name} to be an integer or a pair (for rows, for columns), got {value!r}")
    return as_integer(pair[0], name, least), as_integer(pair[1], name, least)


def expect_probability(value: Any) -> None:
    """Raise ArgumentError unless a value is a probability."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"expected probability to be a number in [0, 1], got {value!r}")
