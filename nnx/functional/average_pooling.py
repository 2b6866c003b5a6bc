"""Pooling by the mean: of windows, of windows that fill the input, and of everything."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.functional.axis_maps import AxisMap
from nnx.functional.pooling_windows import OutputSize, adaptive_means, adaptive_sizes, pool_windows, window_means
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.resampling import resample, transposed
from nnx.functional.spatial import Axes, Padding, PerAxis
from nnx.types import Array


@primitive
@in_float32
def average_pool(
    x: Array,
    *,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    layout: str = "NCHW",
) -> Array:
    r"""Mean of each window: :math:`y_{n c p} = \frac{1}{|K|} \sum_{k \in K} x_{n c\, (s p + k - a)}`.

    Here :math:`s` is the stride and :math:`a` the padding before the input; :math:`p` and :math:`k` have one component
    for each spatial axis, of which there are one, two or three.

    Parameters
    ----------
    x : array, shape (batch, channels, height, width), or with one or three spatial axes
        Real; (batch, height, width, channels) with ``layout="NHWC"``.
    kernel_size : int or one per spatial axis
    stride : int or one per spatial axis
        From one window to the next; by default the size of a window, so that they do not overlap.
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        As in :func:`convolution`.
    ceil_mode : bool
        Whether elements left over at the end get a last, incomplete window.
    count_include_pad : bool
        Whether the zeros of the padding count; otherwise the mean is over the elements of the input alone. What a
        window of ``ceil_mode`` has beyond the padding never counts.
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels, height, width), or in the other layout
        (padded size - kernel size) // stride + 1 elements along a spatial axis; rounded up with ``ceil_mode``.

    Raises
    ------
    ShapeError
        If a window is larger than the padded input, or lies in the padding alone.
    ArgumentError
        If an option is out of its range.
    DTypeError
        If ``x`` is not real floating-point.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.average_pool(np.asarray([[[1.0, 3.0, 5.0, 7.0]]]), kernel_size=2)
    array([[[2., 6.]]])
    """
    axes, maps = _plan(x, kernel_size, stride, padding, ceil_mode, count_include_pad, layout)
    return resample(x, axes=axes.spatial, maps=maps)


@average_pool.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    axes, maps = _plan(x, **options)
    return average_pool(x, **options), lambda g: (transposed(g, axes.spatial, maps),)


@primitive
@in_float32
def adaptive_average_pool(x: Array, *, output_size: OutputSize, layout: str = "NCHW") -> Array:
    r"""Mean of windows that fill the input, as many as the output has elements.

    Along an axis of length :math:`n` with :math:`m` windows, window :math:`i` goes from
    :math:`\lfloor i n / m \rfloor` to :math:`\lceil (i + 1) n / m \rceil`. Neighbors overlap where :math:`m` does not
    divide :math:`n`.

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
    >>> nnx.functional.adaptive_average_pool(np.asarray([[[1.0, 3.0, 5.0]]]), output_size=2)
    array([[[2., 4.]]])
    """
    axes, maps = _adaptive_plan(x, output_size, layout)
    return resample(x, axes=axes.spatial, maps=maps)


@adaptive_average_pool.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    axes, maps = _adaptive_plan(x, **options)
    return adaptive_average_pool(x, **options), lambda g: (transposed(g, axes.spatial, maps),)


def global_average_pool(x: Array, *, layout: str = "NCHW") -> Array:
    r"""Mean over all spatial axes: :math:`y_{n c} = \frac{1}{h w} \sum_{i j} x_{n c i j}`.

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
    >>> nnx.functional.global_average_pool(np.asarray([[[1.0, 3.0], [5.0, 7.0]]]))
    array([[2., 6.]])
    """
    y = adaptive_average_pool(x, output_size=1, layout=layout)
    return namespace(y).reshape(y, (y.shape[0], math.prod(y.shape[1:])))


def _plan(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    layout: str = "NCHW",
) -> tuple[Axes, tuple[AxisMap, ...]]:
    axes, found = pool_windows(x, kernel_size, stride, padding, 1, ceil_mode, layout)
    return axes, window_means(found, count_include_pad)


def _adaptive_plan(x: Array, output_size: OutputSize, layout: str = "NCHW") -> tuple[Axes, list[AxisMap]]:
    axes, sizes = adaptive_sizes(x, output_size, layout)
    return axes, [adaptive_means(*pair) for pair in sizes]
