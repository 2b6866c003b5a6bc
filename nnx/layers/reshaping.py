"""Layers that join and split axes."""

import math
from collections.abc import Sequence

from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, expect_array, normalize_axis
from nnx.layers.module import Module
from nnx.types import Array


class Flatten(Module):
    r"""Join neighboring axes into one: (batch, a, b, c) becomes (batch, a * b * c), the last axis running fastest.

    Parameters
    ----------
    start_axis, end_axis : int
        The first and the last axis to join; by default all but the first of the array.

    Raises
    ------
    ShapeError
        On a call, if the input has no such axes, or ``end_axis`` is before ``start_axis``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Flatten()(np.ones((5, 3, 2, 2))).shape
    (5, 12)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Array) -> Array:
        """Map (..., a, ..., c, ...) to (..., a * ... * c, ...)."""
        expect_array(x)
        start, end = normalize_axis(self.start_axis, x.ndim), normalize_axis(self.end_axis, x.ndim)
        if end < start:
            raise ShapeError(
                f"expected an end_axis after start_axis, got {self.end_axis} after {self.start_axis} for an input of "
                f"shape {tuple(x.shape)}"
            )
        joined = math.prod(x.shape[start : end + 1])
        return namespace(x).reshape(x, (*x.shape[:start], joined, *x.shape[end + 1 :]))


class Unflatten(Module):
    r"""Split an axis into several: (batch, a * b * c) becomes (batch, a, b, c), the last of them running fastest.

    Parameters
    ----------
    axis : int
        The axis to split.
    shape : sequence of int
        The lengths that it is split into; one of them may be -1 and then follows from the others.

    Raises
    ------
    ShapeError
        On a call, if the input has no such axis, or its length is not the product of ``shape``.
    ArgumentError
        If ``shape`` is empty, or has lengths below 1 other than one -1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Unflatten(1, (3, -1))(np.ones((5, 12))).shape
    (5, 3, 4)
    """

    def __init__(self, axis: int, shape: Sequence[int]) -> None:
        self.axis = axis
        self.shape = tuple(shape)
        if not self.shape or self.shape.count(-1) > 1:
            raise ArgumentError(f"expected shape to have one length or more, at most one of them -1, got {self.shape}")
        for length in self.shape:
            if length != -1:
                as_integer(length, "each length in shape", 1)

    def forward(self, x: Array) -> Array:
        """Map (..., a * ... * c, ...) to (..., a, ..., c, ...)."""
        expect_array(x)
        axis = normalize_axis(self.axis, x.ndim)
        rest, left = divmod(x.shape[axis], abs(math.prod(self.shape)))
        if left or (-1 not in self.shape and rest != 1):
            raise ShapeError(
                f"expected axis {self.axis} to have a length that splits into {self.shape}, got an input of shape "
                f"{tuple(x.shape)}"
            )
        lengths = [rest if length == -1 else length for length in self.shape]
        return namespace(x).reshape(x, (*x.shape[:axis], *lengths, *x.shape[axis + 1 :]))
