"""The linear map of a fully connected layer."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace, summed
from nnx.errors import ShapeError
from nnx.functional.checks import expect_floating, expect_same_dtype
from nnx.types import Array


@primitive
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    r"""Apply a linear map: :math:`y = x W + b`.

    Parameters
    ----------
    x : array, shape (..., in_features)
        Real or complex floating-point.
    weight : array, shape (in_features, out_features)
    bias : array, shape (out_features,), optional

    Returns
    -------
    y : array, shape (..., out_features)

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DTypeError
        If ``x`` holds integers, or the dtypes differ.
    BackendError
        If the arrays belong to different libraries.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.linear(np.ones((1, 2)), np.asarray([[1.0], [2.0]]), np.asarray([10.0]))
    array([[13.]])
    """
    _check(x, weight, bias)
    y = x @ weight
    return y if bias is None else y + bias


@linear.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    y = linear(x, weight, bias)
    x_shape = x.shape
    kept_x = x if wanted[1] else None
    kept_weight = weight if wanted[0] else None
    wants_bias = bias is not None and wanted[2]

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        xp = namespace(cotangent, kept_x, kept_weight)
        flat = len(x_shape) == 2
        count = math.prod(x_shape[:-1])  # -1 would be any length where the last axis is empty
        # With the leading axes as one, each cotangent is one matrix product and not a batch of them.
        g = cotangent if flat else xp.reshape(cotangent, (count, cotangent.shape[-1]))
        x_cotangent = weight_cotangent = None
        if kept_weight is not None:
            rows = g @ kept_weight.T
            x_cotangent = rows if flat else xp.reshape(rows, x_shape)
        if kept_x is not None:
            rows = kept_x if flat else xp.reshape(kept_x, (count, x_shape[-1]))
            weight_cotangent = rows.T @ g
        return x_cotangent, weight_cotangent, summed(xp, g, 0) if wants_bias else None

    return y, pullback


def _check(x: Array, weight: Array, bias: Array | None) -> None:
    if not (type(x) is type(weight) and (bias is None or type(bias) is type(x))):
        namespace(x, weight, bias)
    expect_floating(x)
    expect_same_dtype(x, weight, "weight")
    if bias is not None:
        expect_same_dtype(x, bias, "bias")
    if weight.ndim != 2:
        raise ShapeError(f"expected weight of shape (in_features, out_features), got {tuple(weight.shape)}")
    if x.ndim == 0 or x.shape[-1] != weight.shape[0]:
        raise ShapeError(f"expected input of shape (..., {weight.shape[0]}), got {tuple(x.shape)}")
    if bias is not None and tuple(bias.shape) != (weight.shape[1],):
        raise ShapeError(f"expected bias of shape ({weight.shape[1]},), got {tuple(bias.shape)}")
