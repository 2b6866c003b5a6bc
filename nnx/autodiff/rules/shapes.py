"""Shapes, dtypes and axes of cotangents and tangents."""

import operator
from typing import Any

from nnx.autodiff.rules.parts import Spec
from nnx.backend import namespace, summed
from nnx.types import Array, DType, Shape


def match(cotangent: Array, spec: Spec) -> Array:
    """Bring a cotangent to the shape and dtype of an argument that was broadcast and promoted.

    The transpose of broadcasting is the sum over the axes that it added or stretched; the transpose of converting real
    numbers to complex ones is the real part.
    """
    shape, dtype = spec
    if cotangent.shape == shape and cotangent.dtype == dtype:
        return cotangent
    xp = namespace(cotangent)
    if tuple(cotangent.shape) != tuple(shape):
        new = cotangent.ndim - len(shape)
        stretched = [i + new for i, n in enumerate(shape) if n == 1 and cotangent.shape[i + new] != 1]
        axes = (*range(new), *stretched)
        if axes:
            cotangent = summed(xp, cotangent, axes, keepdims=True)
        # Also drops the added axes, which the sum kept with length 1.
        cotangent = xp.reshape(cotangent, shape)
    return cast(xp, cotangent, dtype)


def cast(xp: Any, x: Array, dtype: DType) -> Array:
    """Return ``x`` with a dtype; the real part where it is complex and the dtype is not."""
    if x.dtype == dtype:
        return x
    if xp.isdtype(x.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
        x = xp.real(x)
    return xp.astype(x, dtype, copy=False)


def fit(tangent: Array, output: Array) -> Array:
    """Bring a tangent to the shape and dtype of the output, to which its argument was broadcast and promoted."""
    if tangent.shape == output.shape and tangent.dtype == output.dtype:
        return tangent
    xp = namespace(tangent, output)
    tangent = cast(xp, tangent, output.dtype)
    return tangent if tangent.shape == output.shape else xp.broadcast_to(tangent, output.shape)


def at(x: Array, axis: int, key: int | slice) -> Array:
    """Index one axis, and keep the others whole."""
    return x[(slice(None),) * (axis % x.ndim) + (key, ...)]


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return axes as a tuple of indices from 0."""
    if axis is None or (isinstance(axis, list) and not axis):  # torch reduces over all axes for an empty list
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (operator.index(axis),)
    return tuple(a % ndim for a in axes) if ndim else ()  # libraries accept axis 0 of a 0-d array


def spread(xp: Any, g: Array, spec: Spec, axis: Any, keepdims: bool) -> Array:
    """Broadcast the cotangent of a reduction back over the axes that it reduced."""
    return xp.broadcast_to(keep_axes(xp, g, spec.shape, axis, keepdims), spec.shape)


def keep_axes(xp: Any, g: Array, shape: Shape, axis: Any, keepdims: bool) -> Array:
    """Return the result of a reduction in the shape that it has with ``keepdims=True``."""
    if keepdims:
        return g
    axes = normalize_axes(axis, len(shape))
    return xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(shape)))
