"""Normalizations of single examples: over their last axes, over groups of channels, and by the root mean square."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.errors import ShapeError
from nnx.functional.checks import expect_real
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.functional.standardization import (
    Layout,
    check_parameters,
    layout_of_groups,
    layout_of_last_axes,
    pull_standardized,
    standardize,
)
from nnx.types import Array


@primitive
@in_float32
def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, num_axes: int = 1, eps: float = 1e-5
) -> Array:
    r"""Layer normalization: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b` with mean and variance of each example.

    Parameters
    ----------
    x : array, shape (..., \*features), real floating-point
    weight, bias : array, shape (\*features), optional
        By default 1 and 0.
    num_axes : int
        The number of last axes that are features: those that mean :math:`m` and variance :math:`v` are taken over.
    eps : float
        :math:`\epsilon`, added to the variance.

    Returns
    -------
    y : array of the shape and dtype of ``x``

    Raises
    ------
    ShapeError
        If the input has fewer axes, or weight and bias have another shape than its last axes.
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If ``num_axes`` is not an integer of at least 1.

    Notes
    -----
    The variance is that of the population, and is computed from the centered values. Arrays of 16 bits are computed in
    float32.
    Source: J. L. Ba et al., "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.layer_norm(np.asarray([[1.0, 3.0], [5.0, 5.0]])).round(3)
    array([[-1.,  1.],
           [ 0.,  0.]])
    """
    layout = last_axes(x, weight, bias, num_axes=num_axes)
    return standardize(x, weight, bias, layout, eps)[0]


@layer_norm.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Array, Pullback]:
    return _standardized(last_axes, wanted, *args, **options)


@primitive
@in_float32
def rms_norm(x: Array, weight: Array | None = None, *, num_axes: int = 1, eps: float = 1e-6) -> Array:
    r"""Normalization by the root mean square: :math:`y = w x / \sqrt{s + \epsilon}` with the mean :math:`s` of squares.

    Parameters
    ----------
    x : array, shape (..., \*features), real floating-point
    weight : array, shape (\*features), optional
        By default 1.
    num_axes : int
        The number of last axes that are features: those that the mean of the squares is taken over.
    eps : float
        :math:`\epsilon`, added to the mean of the squares. PyTorch's default is the resolution of the dtype.

    Returns
    -------
    y : array of the shape and dtype of ``x``

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As :func:`layer_norm`.

    Notes
    -----
    Arrays of 16 bits are computed in float32.
    Source: B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.rms_norm(np.asarray([[3.0, 4.0]])).round(3)
    array([[0.849, 1.131]])
    """
    layout = last_axes(x, weight, num_axes=num_axes)
    return standardize(x, weight, None, layout, eps, is_centered=False)[0]


@rms_norm.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], x: Array, weight: Array | None = None, *, num_axes: int = 1, eps: float = 1e-6
) -> tuple[Array, Pullback]:
    layout = last_axes(x, weight, num_axes=num_axes)
    y, *statistics = standardize(x, weight, None, layout, eps, is_centered=False)
    of_three = pull_standardized(wanted, x, weight, None, statistics, layout, eps)
    return y, lambda cotangent: of_three(cotangent)[:2]


@primitive
@in_float32
def group_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    groups: int,
    axis: int = 1,
    eps: float = 1e-5,
) -> Array:
    r"""Group normalization: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b` with mean and variance of a group.

    A group is all positions of some neighboring channels of one example.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any other with the channels at ``axis``
        Real floating-point.
    weight, bias : array, shape (channels,), optional
        By default 1 and 0.
    groups : int
        Their number, which divides that of the channels.
    axis : int
        That of the channels: default 1, -1 where they are last.
    eps : float
        :math:`\epsilon`, added to the variance.

    Returns
    -------
    y : array of the shape and dtype of ``x``

    Raises
    ------
    ShapeError
        If the input lacks an axis of channels, their number is not divided by that of the groups, or weight and bias
        have another shape.
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.
    ArgumentError
        If ``groups`` is not an integer of at least 1.

    Notes
    -----
    As in :func:`layer_norm`.
    Source: Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.group_norm(np.asarray([[1.0, 3.0, 4.0, 8.0]]), groups=2).round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    layout = of_groups(x, weight, bias, groups=groups, axis=axis)
    return standardize(x, weight, bias, layout, eps)[0]


@group_norm.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Array, Pullback]:
    return _standardized(of_groups, wanted, *args, **options)


@primitive
@in_float32
def instance_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, axis: int = 1, eps: float = 1e-5
) -> Array:
    r"""Instance normalization: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b` with the statistics of one channel.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any other with the channels at ``axis``
        Real floating-point.
    weight, bias : array, shape (channels,), optional
        By default 1 and 0.
    axis : int
        That of the channels: default 1, -1 where they are last.
    eps : float
        :math:`\epsilon`, added to the variance.

    Returns
    -------
    y : array of the shape and dtype of ``x``

    Raises
    ------
    ShapeError
        If the input lacks an axis of channels or has one value a channel, or weight and bias have another shape.
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    As in :func:`layer_norm`.
    Source: D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.instance_norm(np.asarray([[[1.0, 3.0], [4.0, 8.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    layout = of_instances(x, weight, bias, axis=axis)
    return standardize(x, weight, bias, layout, eps)[0]


@instance_norm.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Array, Pullback]:
    return _standardized(of_instances, wanted, *args, **options)


def _standardized(
    layout_of: Callable[..., Layout],
    wanted: Sequence[Any],
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    **options: Any,
) -> tuple[Array, Pullback]:
    layout = layout_of(x, weight, bias, **options)
    y, *statistics = standardize(x, weight, bias, layout, eps)
    return y, pull_standardized(wanted, x, weight, bias, statistics, layout, eps)


def last_axes(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, num_axes: int = 1, eps: float = 0.0
) -> Layout:
    """Return the layout of :func:`layer_norm` and :func:`rms_norm`, after a check of their arguments."""
    expect_real(x)
    layout = layout_of_last_axes(tuple(x.shape), num_axes)
    check_parameters(x, weight, bias, layout.own, "as the last axes of the input")
    return layout


def of_groups(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, groups: int, axis: int = 1, eps: float = 0.0
) -> Layout:
    """Return the layout of :func:`group_norm`, after a check of its arguments."""
    expect_real(x)
    layout = layout_of_groups(tuple(x.shape), axis, groups)
    check_parameters(x, weight, bias, layout.own, "as the channels")
    return layout


def of_instances(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, axis: int = 1, eps: float = 0.0
) -> Layout:
    """Return the layout of :func:`instance_norm`, after a check of its arguments."""
    expect_real(x)
    layout = layout_of_groups(tuple(x.shape), axis, None)
    if layout.averaged_size == 1:
        raise ShapeError(f"expected more than one value a channel, to take its variance, got {tuple(x.shape)}")
    check_parameters(x, weight, bias, layout.own, "as the channels")
    return layout
