"""Batch normalization: by the statistics of the batch, as in training, or by given ones, as in evaluation."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.autodiff.primitives import NOTHING
from nnx.backend import add_into, dtype_name, multiply_into, namespace
from nnx.errors import ShapeError
from nnx.functional.checks import expect_real, expect_same_dtype, expect_shape
from nnx.functional.precision import cast, narrow_dtype, widen
from nnx.functional.standardization import Layout, check_parameters, layout_of_batch, pull_standardized, standardize
from nnx.types import Array


@primitive
def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: int = 1,
    eps: float = 1e-5,
) -> Array:
    r"""Batch normalization by given statistics: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b`, as in evaluation.

    Parameters
    ----------
    x : array, shape (batch, channels, ...), or any other with the channels at ``axis``
        Real floating-point.
    mean, variance : array, shape (channels,)
        :math:`m` and :math:`v`: of the dtype of ``x``, or float32 if that has 16 bits.
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
        If the input lacks an axis of channels, or another array is not of shape (channels,).
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    Source: S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x, mean, variance = np.asarray([[1.0, 3.0]]), np.asarray([1.0, 1.0]), np.asarray([1.0, 4.0])
    >>> nnx.functional.batch_norm(x, mean, variance).round(3)
    array([[0., 1.]])
    """
    return _run(_by_given, NOTHING, given_channels, (x, mean, variance, weight, bias), axis, eps)[0][0]


@batch_norm.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    x: Array,
    mean: Array,
    variance: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: int = 1,
    eps: float = 1e-5,
) -> tuple[Array, Pullback]:
    (y,), pullback = _run(_by_given, wanted, given_channels, (x, mean, variance, weight, bias), axis, eps)
    return y, pullback


@primitive
def batch_norm_training(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, axis: int = 1, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    r"""Batch normalization by the batch: :math:`y = w (x - m) / \sqrt{v + \epsilon} + b`, as in training.

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
    mean, variance : array, shape (channels,)
        Those of the batch, :math:`m` and :math:`v`, over all examples and positions. The variance is the biased one,
        with the number of values as its divisor. Of the dtype of ``x``, or float32 if that has 16 bits.

    Raises
    ------
    ShapeError
        If the input lacks an axis of channels or has fewer than two values a channel, or weight and bias are not of
        shape (channels,).
    DTypeError
        If ``x`` holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    The variance is computed from the centered values. The pullback keeps the input, mean and variance.
    Source: S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> y, mean, variance = nnx.functional.batch_norm_training(np.asarray([[1.0, 3.0], [5.0, 3.0]]))
    >>> y.round(3), mean, variance
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([3., 3.]), array([4., 0.]))
    """
    y, mean, variance = _run(_by_batch, NOTHING, channels_of_batch, (x, weight, bias), axis, eps)[0]
    return y, mean, variance


@batch_norm_training.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any],
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: int = 1,
    eps: float = 1e-5,
) -> tuple[tuple[Array, ...], Pullback]:
    outputs, pullback = _run(_by_batch, wanted, channels_of_batch, (x, weight, bias), axis, eps)
    return outputs, lambda cotangents: pullback(*cotangents)


def given_channels(
    x: Array,
    mean: Array,
    variance: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: int = 1,
    eps: float = 0.0,
) -> Layout:
    """Return the layout of :func:`batch_norm`, after a check of its arguments."""
    expect_real(x)
    layout = layout_of_batch(tuple(x.shape), axis)
    check_parameters(x, weight, bias, layout.own, "as the channels")
    namespace(x, mean, variance)
    for statistic, name in ((mean, "mean"), (variance, "variance")):
        expect_shape(statistic, layout.own, name, "as the channels")
        expect_dtype_of_statistic(x, statistic, name)
    return layout


def expect_dtype_of_statistic(x: Array, statistic: Array, name: str) -> None:
    """Raise DTypeError unless a statistic has the dtype of the input, or is float32 where that has 16 bits."""
    if narrow_dtype((x,)) is None or dtype_name(statistic.dtype) != "float32":
        expect_same_dtype(x, statistic, name)


def channels_of_batch(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, axis: int = 1, eps: float = 0.0
) -> Layout:
    """Return the layout of :func:`batch_norm_training`, after a check of its arguments."""
    expect_real(x)
    layout = layout_of_batch(tuple(x.shape), axis)
    if layout.averaged_size < 2:
        raise ShapeError(
            f"expected more than one value a channel in training, to take its variance, got {tuple(x.shape)}; "
            "pass more examples, or use evaluation mode"
        )
    check_parameters(x, weight, bias, layout.own, "as the channels")
    return layout


def _run(rule: Any, wanted: Any, check: Any, args: tuple[Array | None, ...], axis: int, eps: float) -> Any:
    """Run a rule, in float32 if x has 16 bits: y and the cotangents are rounded, the statistics are not."""
    layout = check(*args, axis=axis)
    narrow = narrow_dtype(args[:1])
    if narrow is None:
        return rule(wanted, *args, layout, eps)
    (y, *statistics), wide = rule(wanted, *widen(args, narrow), layout, eps)
    dtypes = [None if arg is None else arg.dtype for arg in args]

    def pullback(g: Array | None, *of_statistics: Array | None) -> list[Array | None]:
        found = wide(None if g is None else namespace(g).astype(g, namespace(g).float32), *of_statistics)
        return [None if part is None else cast(part, dtype) for part, dtype in zip(found, dtypes, strict=True)]

    return (cast(y, narrow), *statistics), pullback


def _by_batch(
    wanted: Sequence[Any], x: Array, weight: Array | None, bias: Array | None, layout: Layout, eps: float
) -> Any:
    y, mean, variance = standardize(x, weight, bias, layout, eps)
    of_kept = pull_standardized(wanted, x, weight, bias, (mean, variance), layout, eps)

    def pullback(g: Array | None, *of_statistics: Array | None) -> Any:
        return of_kept(g, *(p if p is None else namespace(p).reshape(p, layout.parameters) for p in of_statistics))

    xp = namespace(x)
    return (y, xp.reshape(mean, layout.own), xp.reshape(variance, layout.own)), pullback


def _by_given(
    wanted: Sequence[Any],
    x: Array,
    mean: Array,
    variance: Array,
    weight: Array | None,
    bias: Array | None,
    layout: Layout,
    eps: float,
) -> Any:
    xp = namespace(x, mean, variance, weight, bias)
    mean, variance = xp.reshape(mean, layout.parameters), xp.reshape(variance, layout.parameters)
    inverse = 1.0 / xp.sqrt(variance + eps)
    scale = inverse if weight is None else inverse * xp.reshape(weight, layout.parameters)
    y = multiply_into(x - mean, scale)
    if bias is not None:
        y = add_into(y, xp.reshape(bias, layout.parameters))
    wants_products = wanted[2] or (weight is not None and wanted[3])
    kept_x = x if wants_products else None
    wants_bias = bias is not None and wanted[4]

    def pullback(g: Array) -> list[Array | None]:
        xp = namespace(g, kept_x, mean, variance, scale)
        found: list[Array | None] = [g * scale if wanted[0] else None, None, None, None, None]
        total: Any = xp.sum(g, axis=layout.shared, keepdims=True) if wanted[1] or wants_bias else None
        if wanted[1]:
            found[1] = total * -scale
        if kept_x is not None:
            products = xp.sum(g * (kept_x - mean), axis=layout.shared, keepdims=True) * inverse
            found[2] = -0.5 * products * scale * inverse if wanted[2] else None
            found[3] = products if weight is not None and wanted[3] else None
        found[4] = total if wants_bias else None
        return [found[0], *(part if part is None else xp.reshape(part, layout.own) for part in found[1:])]

    return (y,), pullback
