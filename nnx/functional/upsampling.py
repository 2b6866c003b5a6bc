"""Interpolation over spatial axes, and the exchange of channels for space."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.axis_maps import AxisMap
from nnx.functional.checks import as_integer, expect_real
from nnx.functional.interpolation_maps import Scale, interpolations
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.resampling import resample, transposed
from nnx.functional.spatial import Axes, PerAxis, channels_first, expect_any_spatial, in_layout
from nnx.types import Array


@primitive
@in_float32
def upsample(
    x: Array,
    *,
    size: PerAxis | None = None,
    scale: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    layout: str = "NCHW",
) -> Array:
    r"""Interpolate to another size: :math:`y_{n c p} = \sum_k w_{p k} x_{n c k}`, one spatial axis after the other.

    Parameters
    ----------
    x : array, shape (batch, channels, height, width), or with one or three spatial axes
        Real; (batch, height, width, channels) with ``layout="NHWC"``.
    size : int or one per spatial axis, optional
        Of the output.
    scale : float or one per spatial axis, optional
        Instead of ``size``: the output has floor(size * scale) elements along an axis. It may be below 1.
    mode : {"nearest", "linear"}
        ``"nearest"`` takes the element at floor(i / scale). ``"linear"`` takes the line between the two elements
        around (i + 1/2) / scale - 1/2; over two axes it is bilinear, over three trilinear.
    align_corners : bool
        For ``"linear"``: whether the first and the last element of an axis keep their places, so that the scale is
        (output size - 1) / (size - 1).
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels, *size), or in the other layout

    Raises
    ------
    ArgumentError
        If not exactly one of ``size`` and ``scale`` is given, or an option is out of its range.
    ShapeError
        If ``x`` does not have one to three spatial axes, or one of them is empty or would be.
    DTypeError
        If ``x`` is not real floating-point.

    Notes
    -----
    The definition is that of PyTorch's ``interpolate``. There is no smoothing where a scale is below 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([[[0.0, 4.0]]])
    >>> nnx.functional.upsample(x, scale=2)
    array([[[0., 0., 4., 4.]]])
    >>> nnx.functional.upsample(x, scale=2, mode="linear")
    array([[[0., 1., 3., 4.]]])
    """
    axes, maps = _plan(x, size, scale, mode, align_corners, layout)
    return resample(x, axes=axes.spatial, maps=maps)


@upsample.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    axes, maps = _plan(x, **options)
    return upsample(x, **options), lambda g: (transposed(g, axes.spatial, maps),)


@primitive
def pixel_shuffle(x: Array, *, factor: int, layout: str = "NCHW") -> Array:
    r"""Turn channels into space: :math:`y_{n c\, (h r + i)\, (w r + j)} = x_{n\, (c r^2 + i r + j)\, h w}`.

    Here :math:`r` is the factor. With one or three spatial axes, :math:`r` or :math:`r^3` channels become one.

    Parameters
    ----------
    x : array, shape (batch, channels * factor**2, height, width), or with one or three spatial axes
        Of any dtype; channels last with ``layout="NHWC"``.
    factor : int
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels, height * factor, width * factor), or in the other layout

    Raises
    ------
    ShapeError
        If ``x`` does not have one to three spatial axes, or the channels do not divide.
    ArgumentError
        If ``factor`` is less than 1.

    Notes
    -----
    Source: W. Shi et al., "Real-time single image and video super-resolution", CVPR 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    >>> nnx.functional.pixel_shuffle(x, factor=2)
    array([[[[1., 2.],
             [3., 4.]]]])
    """
    axes, factor = _check_factor(x, factor, layout)
    if x.shape[axes.channels] % factor ** len(axes.spatial):
        raise ShapeError(
            f"expected a number of channels that {factor}**{len(axes.spatial)} divides, got an input of shape "
            f"{tuple(x.shape)}"
        )
    xp = namespace(x)
    x = channels_first(x, axes)
    batch, channels, *sizes = x.shape
    count = len(sizes)
    channels //= factor**count
    x = xp.reshape(x, (batch, channels, *(factor,) * count, *sizes))
    pairs = [axis for i in range(2, count + 2) for axis in (i + count, i)]  # each spatial axis before its channels
    x = xp.reshape(xp.permute_dims(x, (0, 1, *pairs)), (batch, channels, *(n * factor for n in sizes)))
    return in_layout(x, axes)


@pixel_shuffle.with_pullback
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    return pixel_shuffle(x, **options), lambda g: (pixel_unshuffle(g, **options),)


@primitive
def pixel_unshuffle(x: Array, *, factor: int, layout: str = "NCHW") -> Array:
    r"""Turn space into channels, the inverse of :func:`pixel_shuffle`.

    Parameters
    ----------
    x : array, shape (batch, channels, height * factor, width * factor), or with one or three spatial axes
        Of any dtype; channels last with ``layout="NHWC"``.
    factor : int
    layout : str
        As in :func:`convolution`.

    Returns
    -------
    y : array, shape (batch, channels * factor**2, height, width), or in the other layout

    Raises
    ------
    ShapeError
        If ``x`` does not have one to three spatial axes, or their lengths do not divide.
    ArgumentError
        If ``factor`` is less than 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.pixel_unshuffle(np.asarray([[[1.0, 2.0, 3.0, 4.0]]]), factor=2)
    array([[[1., 3.],
            [2., 4.]]])
    """
    axes, factor = _check_factor(x, factor, layout)
    if any(x.shape[axis] % factor for axis in axes.spatial):
        raise ShapeError(f"expected spatial axes that {factor} divides, got an input of shape {tuple(x.shape)}")
    xp = namespace(x)
    x = channels_first(x, axes)
    batch, channels, *sizes = x.shape
    count = len(sizes)
    sizes = [n // factor for n in sizes]
    x = xp.reshape(x, (batch, channels, *(part for n in sizes for part in (n, factor))))
    order = (*range(3, 3 + 2 * count, 2), *range(2, 2 + 2 * count, 2))
    x = xp.reshape(xp.permute_dims(x, (0, 1, *order)), (batch, channels * factor**count, *sizes))
    return in_layout(x, axes)


@pixel_unshuffle.with_pullback
def _(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Array, Pullback]:
    return pixel_unshuffle(x, **options), lambda g: (pixel_shuffle(g, **options),)


def _plan(
    x: Array,
    size: PerAxis | None = None,
    scale: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
    layout: str = "NCHW",
) -> tuple[Axes, tuple[AxisMap, ...]]:
    expect_real(x)
    axes = expect_any_spatial(x, layout)
    return axes, interpolations([x.shape[axis] for axis in axes.spatial], size, scale, mode, align_corners)


def _check_factor(x: Array, factor: int, layout: str) -> tuple[Axes, int]:
    return expect_any_spatial(x, layout), as_integer(factor, "factor", 1)
