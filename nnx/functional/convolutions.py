"""Convolution and its transpose over one, two or three spatial axes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace, summed
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import as_integer, expect_floating, expect_same_dtype
from nnx.functional.correlations import correlate, correlate_with_output, spread
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.spatial import (
    Axes,
    Padding,
    PerAxis,
    Windows,
    channels_first,
    expect_spatial,
    in_layout,
    transposed_windows,
    windows,
)
from nnx.types import Array

Cotangents = tuple[Array | None, Array | None, Array | None]


@primitive
@in_float32
def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    r"""Slide a kernel over an input: :math:`y_{n o p} = b_o + \sum_{c k} W_{o c k}\, x_{n c\, (s p + d k - a)}`.

    Here :math:`s` is the stride, :math:`d` the dilation and :math:`a` the padding before the input; :math:`p` and
    :math:`k` have one component for each spatial axis, of which there are one, two or three. The kernel is not
    flipped: as in other libraries, this is a cross-correlation.

    Parameters
    ----------
    x : array, shape (batch, in_channels, height, width), or with one or three spatial axes
        Real or complex floating-point; (batch, height, width, in_channels) with ``layout="NHWC"``.
    weight : array, shape (out_channels, in_channels / groups, kernel height, kernel width)
        In every layout.
    bias : array, shape (out_channels,), optional
    stride : int or one per spatial axis
    padding : int, ``"valid"``, ``"same"``, or per spatial axis an int or a pair (before, after)
        Zeros around the input. ``"valid"`` is 0. With ``"same"`` the output has size / stride elements along an axis,
        rounded up; the odd zero comes last.
    dilation : int or one per spatial axis
        Distance between the elements that a kernel is applied to.
    groups : int
        The channels form that many groups, and an output channel sees the inputs of its group alone. As many groups
        as channels make the convolution depthwise.
    layout : str
        ``"NCHW"`` or ``"NHWC"``: channels first or last, with any number of spatial axes. ``"NCW"``, ``"NWC"``,
        ``"NCDHW"`` and ``"NDHWC"`` are names for one and three.

    Returns
    -------
    y : array, shape (batch, out_channels, height, width), or in the other layout
        (padded size - dilation * (kernel size - 1) - 1) // stride + 1 elements along a spatial axis.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or the kernel is larger than the padded input.
    ArgumentError
        If an option is out of its range, or ``groups`` does not divide the channels.
    DTypeError
        If ``x`` holds integers, or the dtypes differ.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> edge = np.asarray([[[-1.0, 1.0]]])
    >>> nnx.functional.convolution(np.asarray([[[0.0, 0.0, 5.0, 5.0]]]), edge)
    array([[[0., 5., 0.]]])
    """
    plan = plan_convolution(x, weight, bias, stride, padding, dilation, groups, layout)
    y = correlate(channels_first(x, plan.axes), weight, plan.windows, groups)
    return _with_bias(y, bias, plan.axes)


@convolution.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], x: Array, weight: Array, bias: Array | None = None, **options: Any
) -> tuple[Array, Pullback]:
    y = convolution(x, weight, bias, **options)
    plan = plan_convolution(x, weight, bias, **options)
    residuals = Residuals.of(wanted, x, weight, bias)
    return y, lambda g: convolution_cotangents(wanted, residuals, plan, g)


def convolution_cotangents(wanted: Sequence[Any], kept: "Residuals", plan: "Plan", g: Array) -> Cotangents:
    """Return the cotangents of x, weight and bias for that of y, of either convolution.

    Kernels call it when the cotangent is traced.
    """
    g = channels_first(g, plan.axes)
    to_x = to_weight = None
    if kept.weight is not None and wanted[0]:
        transpose = correlate if plan.is_transposed else spread
        to_x = in_layout(transpose(g, kept.weight, plan.windows, plan.groups), plan.axes)
    if kept.x is not None and wanted[1]:
        x = channels_first(kept.x, plan.axes)
        pair = (g, x) if plan.is_transposed else (x, g)
        to_weight = correlate_with_output(*pair, plan.windows, plan.groups)
    return to_x, to_weight, _of_bias(g) if kept.wants_bias else None


@convolution.with_flops
def _(output: Array, x: Array, weight: Array, *_: Any, **options: Any) -> int:
    return 2 * math.prod(output.shape) * math.prod(weight.shape[1:])


@primitive
@in_float32
def transposed_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    r"""Apply the transpose of a convolution: :math:`y_{n o\, (s p + d k - a)} \mathrel{+}= W_{c o k}\, x_{n c p}`.

    It maps the output's shape of a :func:`convolution` with the same weight and options back to the input's, as the
    gradient of a convolution with respect to its input does. A stride enlarges. ``bias`` is added at the end.

    Parameters
    ----------
    x : array, shape (batch, in_channels, height, width), or with one or three spatial axes
        Real or complex floating-point; (batch, height, width, in_channels) with ``layout="NHWC"``.
    weight : array, shape (in_channels, out_channels / groups, kernel height, kernel width)
        In every layout; the channels are those of the convolution that it transposes, hence in reverse order.
    bias : array, shape (out_channels,), optional
    stride, dilation, groups, layout
        As in :func:`convolution`.
    padding : as in :func:`convolution`
        Elements to leave out at the borders of the output; with ``"same"`` the output has size * stride elements.
    output_padding : int or one per spatial axis
        Elements to add after the output: with a stride, inputs of several sizes have the same number of windows. Less
        than the stride or the dilation.

    Returns
    -------
    y : array, shape (batch, out_channels, height, width), or in the other layout
        (size - 1) * stride - padding before and after + dilation * (kernel size - 1) + output_padding + 1 elements
        along a spatial axis.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or nothing is left of the output.
    ArgumentError
        If an option is out of its range, or ``groups`` does not divide the channels.
    DTypeError
        If ``x`` holds integers, or the dtypes differ.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> kernel = np.asarray([[[1.0, 10.0]]])
    >>> nnx.functional.transposed_convolution(np.asarray([[[1.0, 2.0]]]), kernel, stride=2)
    array([[[ 1., 10.,  2., 20.]]])
    """
    plan = plan_transposed(x, weight, bias, stride, padding, output_padding, dilation, groups, layout)
    y = spread(channels_first(x, plan.axes), weight, plan.windows, groups)
    return _with_bias(y, bias, plan.axes)


@transposed_convolution.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], x: Array, weight: Array, bias: Array | None = None, **options: Any
) -> tuple[Array, Pullback]:
    y = transposed_convolution(x, weight, bias, **options)
    plan = plan_transposed(x, weight, bias, **options)
    residuals = Residuals.of(wanted, x, weight, bias)
    return y, lambda g: convolution_cotangents(wanted, residuals, plan, g)


@transposed_convolution.with_flops
def _(output: Array, x: Array, weight: Array, *_: Any, **options: Any) -> int:
    return 2 * math.prod(x.shape) * math.prod(weight.shape[1:])


class Residuals(NamedTuple):
    """What a pullback keeps: of x and weight only what it needs."""

    x: Array | None
    weight: Array | None
    wants_bias: bool

    @classmethod
    def of(cls, wanted: Sequence[Any], x: Array, weight: Array, bias: Array | None) -> Self:
        """Return what is needed for the cotangents that are wanted."""
        return cls(x if wanted[1] else None, weight if wanted[0] else None, bias is not None and wanted[2])


class Plan(NamedTuple):
    """What the arguments of a convolution amount to."""

    axes: Axes
    windows: Windows
    groups: int
    is_transposed: bool = False


def plan_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    layout: str = "NCHW",
) -> Plan:
    """Return the plan of a convolution, or raise the error of arguments that do not fit."""
    count = _check(x, weight, bias, groups)
    out, per_group, *kernel = weight.shape
    if out % groups:
        raise ArgumentError(f"expected groups to divide the number of output channels, got {groups} and {out}")
    axes = expect_spatial(x, layout, count, per_group * groups)
    _check_bias(bias, out)
    sizes = [x.shape[axis] for axis in axes.spatial]
    return Plan(axes, windows(sizes, kernel, stride, padding, dilation), groups)


def plan_transposed(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    layout: str = "NCHW",
) -> Plan:
    """Return the plan of the convolution that is to be transposed, or raise the error of arguments that do not fit."""
    count = _check(x, weight, bias, groups)
    channels, per_group, *kernel = weight.shape
    if channels % groups:
        raise ArgumentError(f"expected groups to divide the number of input channels, got {groups} and {channels}")
    axes = expect_spatial(x, layout, count, channels)
    _check_bias(bias, per_group * groups)
    sizes = [x.shape[axis] for axis in axes.spatial]
    return Plan(axes, transposed_windows(sizes, kernel, stride, padding, dilation, output_padding), groups, True)


def _check(x: Array, weight: Array, bias: Array | None, groups: int) -> int:
    """Check dtypes and the weight's axes; return the number of spatial axes."""
    if not (type(x) is type(weight) and (bias is None or type(bias) is type(x))):
        namespace(x, weight, bias)
    expect_floating(x)
    expect_same_dtype(x, weight, "weight")
    if bias is not None:
        expect_same_dtype(x, bias, "bias")
    as_integer(groups, "groups", 1)
    if weight.ndim not in (3, 4, 5) or 0 in weight.shape:
        raise ShapeError(
            "expected weight with two axes of channels and one to three of the kernel, none of length 0, "
            f"got {tuple(weight.shape)}"
        )
    return int(weight.ndim - 2)


def _check_bias(bias: Array | None, channels: int) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ShapeError(f"expected bias of shape ({channels},), got {tuple(bias.shape)}")


def _with_bias(y: Array, bias: Array | None, axes: Axes) -> Array:
    if bias is not None:
        y = y + namespace(bias).reshape(bias, (-1, *(1,) * (y.ndim - 2)))
    return in_layout(y, axes)


def _of_bias(g: Array) -> Array:
    return summed(namespace(g), g, (0, *range(2, g.ndim)))
