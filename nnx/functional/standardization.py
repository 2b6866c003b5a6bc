"""What all normalizations share: zero mean and unit variance over some axes, then a weight and a bias for some others.

A :class:`Layout` says which axes these are. Then there is one forward and one pullback for all of them:

    forward    x^ = (x - m) r,   r = 1 / sqrt(v + eps),   y = w x^ + b,   with mean m and variance v of x
    pullback   x: r (h - mean(h) - x^ mean(h x^)) with h = w g      w: sum of g x^      b: sum of g
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nnx.backend import add_into, device_of, multiply_into, namespace
from nnx.errors import ShapeError
from nnx.functional.checks import as_integer, counted, expect_same_dtype, expect_shape, normalize_axis
from nnx.types import Array, Namespace, Shape


class Layout(NamedTuple):
    """How the axes of an input are used.

    Attributes
    ----------
    view : tuple of int
        The shape in which the input is seen, where every axis has one use.
    averaged : tuple of int
        The axes of the view that mean and variance are taken over.
    parameters : tuple of int
        The shape of weight and bias for the view, with 1 along ``shared``.
    shared : tuple of int
        The axes of the view along which one element of weight and bias is used many times.
    own : tuple of int
        The shape of weight and bias themselves.
    """

    view: Shape
    averaged: tuple[int, ...]
    parameters: Shape
    shared: tuple[int, ...]
    own: Shape

    @property
    def averaged_size(self) -> int:
        """The number of elements that one mean is taken over."""
        return math.prod(self.view[axis] for axis in self.averaged)


@functools.lru_cache(maxsize=1024)
def layout_of_last_axes(shape: Shape, num_axes: int) -> Layout:
    """Return the layout in which each example is normalized over its last axes."""
    if len(shape) < as_integer(num_axes, "num_axes", 1):
        raise ShapeError(f"expected input with at least {counted(num_axes, 'axis')}, got {shape}")
    view = shape if len(shape) > num_axes else (1, *shape)
    first, own = len(view) - num_axes, shape[len(shape) - num_axes :]
    return Layout(view, tuple(range(first, len(view))), (1,) * first + own, tuple(range(first)), own)


@functools.lru_cache(maxsize=1024)
def layout_of_batch(shape: Shape, axis: int) -> Layout:
    """Return the layout in which each channel is normalized over all examples and positions."""
    axis = _channel_axis(shape, axis)
    others = tuple(i for i in range(len(shape)) if i != axis)
    return Layout(shape, others, _only(shape, axis), others, (shape[axis],))


@functools.lru_cache(maxsize=1024)
def layout_of_groups(shape: Shape, axis: int, groups: int | None) -> Layout:
    """Return the layout in which each group of channels of each example is normalized; ``None`` for single channels."""
    axis = _channel_axis(shape, axis)
    channels = shape[axis]
    if groups is None:
        others = tuple(i for i in range(len(shape)) if i != axis)
        return Layout(shape, others[1:], _only(shape, axis), others, (channels,))
    if channels % as_integer(groups, "groups", 1):
        raise ShapeError(f"expected a number of channels that {groups} groups divide, got {channels} in {shape}")
    pair = (groups, channels // groups)
    view = (*shape[:axis], *pair, *shape[axis + 1 :])
    parameters = (1,) * axis + pair + (1,) * (len(shape) - axis - 1)
    shared = tuple(i for i in range(len(view)) if i not in (axis, axis + 1))
    return Layout(view, tuple(i for i in range(1, len(view)) if i != axis), parameters, shared, (channels,))


def check_parameters(x: Array, weight: Array | None, bias: Array | None, own: Shape, reason: str) -> None:
    """Raise unless weight and bias fit an input whose layout says that they are of this shape."""
    namespace(x, weight, bias)
    for parameter, name in ((weight, "weight"), (bias, "bias")):
        if parameter is not None:
            expect_same_dtype(x, parameter, name)
            expect_shape(parameter, own, name, reason)


def standardize(
    x: Array, weight: Array | None, bias: Array | None, layout: Layout, eps: float, is_centered: bool = True
) -> tuple[Array, Array | None, Array]:
    """Return y with the shape of ``x``, the mean and the variance; those keep the averaged axes, with length 1.

    With ``is_centered`` false the mean is taken for 0 and is not returned; the variance is the mean of the squares.
    """
    xp = namespace(x, weight, bias)
    seen = _seen(xp, x, layout.view)
    mean = _mean(xp, seen, layout) if is_centered else None
    centered = seen if mean is None else seen - mean
    variance = _mean(xp, centered * centered, layout)
    inverse = 1.0 / xp.sqrt(variance + eps)
    y = centered * inverse if mean is None else multiply_into(centered, inverse)
    if weight is not None:
        y = multiply_into(y, _seen(xp, weight, layout.parameters))
    if bias is not None:
        y = add_into(y, _seen(xp, bias, layout.parameters))
    return _seen(xp, y, x.shape), mean, variance


def pull_standardized(
    wanted: Sequence[Any],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    statistics: Sequence[Any],
    layout: Layout,
    eps: float,
) -> Callable[..., tuple[Array | None, Array | None, Array | None]]:
    """Return the pullback of :func:`standardize`: a function of the cotangents of y and, if any, of mean and variance.

    It keeps the input and its statistics, so that no other array of that size need be kept.
    """
    mean, variance = statistics
    x_shape = x.shape
    wants_weight, wants_bias = weight is not None and wanted[1], bias is not None and wanted[2]
    kept_x = x if wanted[0] or wants_weight else None
    kept_weight = weight if wanted[0] else None

    def pullback(g: Array | None, to_mean: Array | None = None, to_variance: Array | None = None) -> Any:
        xp = namespace(g, to_mean, to_variance, kept_x, kept_weight, mean, variance)
        g = (
            xp.zeros(layout.view, dtype=variance.dtype, device=device_of(variance))
            if g is None
            else _seen(xp, g, layout.view)
        )
        to_bias = _sum_to(xp, g, layout) if wants_bias and wanted[2] else None
        if kept_x is None or not (wanted[0] or (wants_weight and wanted[1])):
            return None, None, to_bias
        inverse = 1.0 / xp.sqrt(variance + eps)
        seen = _seen(xp, kept_x, layout.view)
        hat = seen * inverse if mean is None else multiply_into(seen - mean, inverse)
        product = g * hat
        to_weight = _sum_to(xp, product, layout) if wants_weight and wanted[1] else None
        if not wanted[0]:
            return None, to_weight, to_bias
        if kept_weight is not None:
            w = _seen(xp, kept_weight, layout.parameters)
            g, product = g * w, multiply_into(product, w)
        slope = _mean(xp, product, layout)
        if to_variance is not None:
            slope = slope - (2.0 / layout.averaged_size) * to_variance / (inverse * inverse)
        to_x = add_into(multiply_into(hat, -slope), g)
        if mean is not None:
            shift = _mean(xp, g, layout)
            if to_mean is not None:
                shift = shift - to_mean / (layout.averaged_size * inverse)
            to_x = add_into(to_x, -shift)
        return _seen(xp, multiply_into(to_x, inverse), x_shape), to_weight, to_bias

    return pullback


def _channel_axis(shape: Shape, axis: int) -> int:
    if len(shape) < 2 or not -len(shape) < axis < len(shape) or axis == 0:
        raise ShapeError(f"expected input (batch, channels, ...) with channels at axis {axis}, got {shape}")
    return normalize_axis(axis, len(shape))


def _only(shape: Shape, axis: int) -> Shape:
    return tuple(n if i == axis else 1 for i, n in enumerate(shape))


def _seen(xp: Namespace, x: Array, shape: Shape) -> Array:
    return x if x.shape == shape else xp.reshape(x, shape)


def _mean(xp: Namespace, x: Array, layout: Layout) -> Array:
    return xp.sum(x, axis=layout.averaged, keepdims=True) / max(
        layout.averaged_size, 1
    )  # xp.mean of nothing warns on NumPy


def _sum_to(xp: Namespace, x: Array, layout: Layout) -> Array:
    return xp.reshape(xp.sum(x, axis=layout.shared), layout.own)
