"""Pooling by the maximum: of windows, of windows that fill the input, and of everything."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.autodiff.rules.indexing import key_along_axis, scatter
from nnx.backend import device_of, namespace
from nnx.functional.axis_maps import Table
from nnx.functional.pooling_windows import OutputSize, adaptive_sizes, adaptive_table, pool_windows, window_tables
from nnx.functional.resampling import taken
from nnx.functional.spatial import Axes, Padding, PerAxis
from nnx.types import Array, Namespace, Shape

Plan = tuple[Axes, Sequence[Table]]


@primitive
def max_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    layout: str = "NCHW",
) -> Array:
    r"""Maximum of each window: :math:`y_{n c p} = \max_{k} x_{n c\, (s p + d k - a)}`.

    Here :math:`s` is the stride, :math:`d` the dilation and :math:`a` the padding before the input; :math:`p` and
    :math:`k` have one component for each spatial axis, of which there are one, two or three. The derivative goes to
    the maximum, among equal ones to the first in the order of the window. NaN counts as larger than any number.

    Parameters
    ----------
    x : array, shape (batch, channels, height, width), or with one or three spatial axes
        Real; (batch, height, width, channels) with ``layout="NHWC"``.
    kernel_size : int or one per spatial axis
    stride : int or one per spatial axis
        From one window to the next; by default the size of a window, so that they do not overlap.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Elements that are never the maximum, around the input; otherwise as in :func:`convolution`.
    dilation : int or one per spatial axis
        Distance between the elements of a window.
    ceil_mode : bool
        Whether elements left over at the end get a last, incomplete window.
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels, height, width), or in the other layout
        (padded size - dilation * (kernel size - 1) - 1) // stride + 1 elements along a spatial axis; rounded up with
        ``ceil_mode``.

    Raises
    ------
    ShapeError
        If a window is larger than the padded input, or lies in the padding alone.
    ArgumentError
        If an option is out of its range.
    DTypeError
        If ``x`` is not real floating-point.

    Notes
    -----
    What is kept for the derivative is one small integer for each output, the number of the maximum in its window.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.max_pool(np.asarray([[[1.0, 3.0, 7.0, 5.0]]]), kernel_size=2)
    array([[[3., 7.]]])
    """
    return _maxima(x, _plan(x, kernel_size, stride, padding, dilation, ceil_mode, layout))


@max_pool.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    return _with_pullback(wanted, x, _plan(x, **options))


@primitive
def adaptive_max_pool(x: Array, *, output_size: OutputSize, layout: str = "NCHW") -> Array:
    r"""Maximum of windows that fill the input, as many as the output has elements.

    The windows are those of :func:`adaptive_average_pool`, the derivative is that of :func:`max_pool`.

    Parameters
    ----------
    x : array, shape (batch, channels, height, width), or with one or three spatial axes
        Real; (batch, height, width, channels) with ``layout="NHWC"``.
    output_size : int or None, or one per spatial axis
        ``None`` keeps the size of the input.
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels, *output_size), or in the other layout

    Raises
    ------
    ShapeError
        If ``x`` does not have one to three spatial axes, or one of them is empty.
    ArgumentError
        If ``output_size`` is not one number or one for each spatial axis.
    DTypeError
        If ``x`` is not real floating-point.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.adaptive_max_pool(np.asarray([[[1.0, 5.0, 3.0]]]), output_size=2)
    array([[[5., 5.]]])
    """
    return _maxima(x, _adaptive_plan(x, output_size, layout))


@adaptive_max_pool.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    return _with_pullback(wanted, x, _adaptive_plan(x, **options))


def global_max_pool(x: Array, *, layout: str = "NCHW") -> Array:
    r"""Maximum over all spatial axes: :math:`y_{n c} = \max_{i j} x_{n c i j}`.

    Parameters
    ----------
    x : array, shape (batch, channels, height, width), or with one or three spatial axes
        Real; (batch, height, width, channels) with ``layout="NHWC"``.
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels)

    Raises
    ------
    ShapeError
        If ``x`` does not have one to three spatial axes, or one of them is empty.
    DTypeError
        If ``x`` is not real floating-point.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.global_max_pool(np.asarray([[[1.0, 3.0], [7.0, 5.0]]]))
    array([[3., 7.]])
    """
    y = adaptive_max_pool(x, output_size=1, layout=layout)
    return namespace(y).reshape(y, (y.shape[0], math.prod(y.shape[1:])))


def _plan(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    layout: str = "NCHW",
) -> Plan:
    axes, found = pool_windows(x, kernel_size, stride, padding, dilation, ceil_mode, layout)
    return axes, window_tables(found)


def _adaptive_plan(x: Array, output_size: OutputSize, layout: str = "NCHW") -> Plan:
    axes, sizes = adaptive_sizes(x, output_size, layout)
    return axes, [adaptive_table(*pair) for pair in sizes]


def _maxima(x: Array, plan: Plan) -> Array:
    return _with_taps(x, plan, counts=False)[0]


def _with_pullback(wanted: Sequence[Any], x: Array, plan: Plan) -> tuple[Array, Pullback]:
    y, tap = _with_taps(x, plan, counts=bool(wanted[0]))
    shape = tuple(x.shape)

    def pullback(cotangent: Array) -> tuple[Array | None]:
        return (_spread(cotangent, tap, plan, shape) if wanted[0] else None,)

    return y, pullback


def _with_taps(x: Array, plan: Plan, counts: bool) -> tuple[Array, Array]:
    """Return the maxima and, if it ``counts``, the number of each in its window, in row-major order.

    The axes are treated one after the other, the last one first: so the first of equal elements of a window wins.
    """
    xp = namespace(x)
    plain = _untraced(xp)
    size = math.prod(map(len, plan[1]))
    tap = plain.zeros((1,) * x.ndim, dtype=plain.uint8 if size <= 256 else plain.int32, device=device_of(x))
    step = 1
    for axis, table in reversed(list(zip(plan[0].spatial, plan[1], strict=True))):
        best = taken(xp, x, axis, table[0])
        winner = taken(plain, tap, axis, table[0]) if counts and step > 1 else tap
        for number, indices in enumerate(table[1:], start=1):
            part = taken(xp, x, axis, indices)
            is_larger = (part > best) | (part != part)
            best = xp.where(is_larger, part, best)
            if counts:
                own = number * step if step == 1 else taken(plain, tap, axis, indices) + number * step
                winner = plain.where(is_larger, own, winner)
        x, tap, step = best, winner, step * len(table)
    return (x if size > 1 else xp.asarray(x, copy=True)), tap


def _spread(g: Array, tap: Array, plan: Plan, shape: Shape) -> Array:
    """Return zeros of the shape of the input with each cotangent added to the element that it belongs to."""
    axes = plan[0]
    position = _positions(tap, plan, tuple(g.shape), shape)
    flat = _with_one_spatial_axis(shape, axes)
    key = key_along_axis(position, flat, axes.spatial[0])
    xp = namespace(g)
    return xp.reshape(scatter(xp.reshape(g, tuple(position.shape)), shape=flat, key=key), shape)


def _positions(tap: Array, plan: Plan, outputs: Shape, shape: Shape) -> Array:
    """Return the row-major number of each maximum among the spatial elements of the input, which form one axis."""
    axes, tables = plan
    xp, device = namespace(tap), device_of(tap)
    rest = xp.astype(xp.broadcast_to(tap, outputs), xp.arange(0, device=device).dtype)
    position: Any = 0
    stride = 1
    for axis, table in reversed(list(zip(axes.spatial, tables, strict=True))):
        window = xp.reshape(xp.arange(outputs[axis], device=device), (-1,) + (1,) * (len(outputs) - axis - 1))
        number = rest % len(table) * outputs[axis] + window
        index = xp.asarray([index for of_tap in table for index in of_tap], device=device)
        position = position + stride * xp.reshape(xp.take(index, xp.reshape(number, (-1,)), axis=0), outputs)
        rest, stride = rest // len(table), stride * shape[axis]
    return xp.reshape(position, _with_one_spatial_axis(outputs, axes))


def _with_one_spatial_axis(shape: Shape, axes: Axes) -> Shape:
    start, stop = axes.spatial[0], axes.spatial[-1] + 1
    return (*shape[:start], math.prod(shape[start:stop]), *shape[stop:])


def _untraced(xp: Namespace) -> Any:
    return getattr(xp, "untraced", xp)
