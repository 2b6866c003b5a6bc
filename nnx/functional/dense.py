"""The linear map of a fully connected layer, and the bilinear map."""

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
        if kept_weight is not None and wanted[0]:
            rows = g @ kept_weight.T
            x_cotangent = rows if flat else xp.reshape(rows, x_shape)
        if kept_x is not None and wanted[1]:
            rows = kept_x if flat else xp.reshape(kept_x, (count, x_shape[-1]))
            weight_cotangent = rows.T @ g
        return x_cotangent, weight_cotangent, summed(xp, g, 0) if wants_bias and wanted[2] else None

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


@primitive
def bilinear(x1: Array, x2: Array, weight: Array, bias: Array | None = None) -> Array:
    r"""Apply a bilinear map: :math:`y_k = x_1^\top W_k\, x_2 + b_k`.

    Parameters
    ----------
    x1 : array, shape (..., in1_features)
        Real or complex floating-point.
    x2 : array, shape (..., in2_features)
        With the leading axes of ``x1``.
    weight : array, shape (out_features, in1_features, in2_features)
    bias : array, shape (out_features,), optional

    Returns
    -------
    y : array, shape (..., out_features)

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DTypeError
        If ``x1`` holds integers, or the dtypes differ.
    BackendError
        If the arrays belong to different libraries.

    Notes
    -----
    The largest temporary has the shape (..., out_features, in1_features).

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([[1.0, 2.0]])
    >>> nnx.functional.bilinear(x, x, np.ones((1, 2, 2)), np.asarray([10.0]))
    array([[19.]])
    """
    _check_bilinear(x1, x2, weight, bias)
    xp = namespace(x1, x2, weight)
    y = xp.matmul(_on_second(xp, x2, weight), xp.expand_dims(x1, axis=-1))[..., 0]
    return y if bias is None else y + bias


@bilinear.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x1: Array, x2: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    y = bilinear(x1, x2, weight, bias)
    kept_x1 = x1 if wanted[1] or wanted[2] else None
    kept_x2 = x2 if wanted[0] or wanted[2] else None
    kept_weight = weight if wanted[0] or wanted[1] else None
    wants_bias = bias is not None and wanted[3]
    outputs, inputs1, inputs2 = weight.shape
    count = math.prod(x1.shape[:-1])

    def pullback(cotangent: Array) -> tuple[Array | None, ...]:
        xp = namespace(cotangent, kept_x1, kept_x2, kept_weight)
        x1_cotangent = x2_cotangent = weight_cotangent = None
        if kept_weight is not None and wanted[0]:
            x1_cotangent = xp.matmul(xp.expand_dims(cotangent, axis=-2), _on_second(xp, kept_x2, kept_weight))[
                ..., 0, :
            ]
        if kept_x1 is not None and (wanted[1] or wanted[2]):
            products = xp.expand_dims(cotangent, axis=-1) * xp.expand_dims(kept_x1, axis=-2)
            products = xp.reshape(products, (count, outputs * inputs1))
            if kept_weight is not None and wanted[1]:
                rows = products @ xp.reshape(kept_weight, (outputs * inputs1, inputs2))
                x2_cotangent = xp.reshape(rows, (*cotangent.shape[:-1], inputs2))
            if kept_x2 is not None and wanted[2]:
                rows = products.T @ xp.reshape(kept_x2, (count, inputs2))
                weight_cotangent = xp.reshape(rows, (outputs, inputs1, inputs2))
        g = xp.reshape(cotangent, (count, outputs)) if wants_bias else None
        return x1_cotangent, x2_cotangent, weight_cotangent, summed(xp, g, 0) if wants_bias else None

    return y, pullback


def _on_second(xp: Any, x2: Array, weight: Array) -> Array:
    """Return W_k x2 for every k, of shape (..., out_features, in1_features), as one matrix product."""
    outputs, inputs1, inputs2 = weight.shape
    rows = xp.reshape(x2, (math.prod(x2.shape[:-1]), inputs2))
    products = rows @ xp.reshape(weight, (outputs * inputs1, inputs2)).T
    return xp.reshape(products, (*x2.shape[:-1], outputs, inputs1))


def _check_bilinear(x1: Array, x2: Array, weight: Array, bias: Array | None) -> None:
    namespace(x1, x2, weight, bias)
    expect_floating(x1)
    expect_same_dtype(x1, weight, "weight")
    expect_same_dtype(x1, x2, "the second input", "the first input")
    if bias is not None:
        expect_same_dtype(x1, bias, "bias")
    if weight.ndim != 3:
        raise ShapeError(
            f"expected weight of shape (out_features, in1_features, in2_features), got {tuple(weight.shape)}"
        )
    outputs, inputs1, inputs2 = weight.shape
    fits = x1.ndim and x2.ndim and x1.shape[-1] == inputs1 and x2.shape[-1] == inputs2
    if not fits or x1.shape[:-1] != x2.shape[:-1]:
        raise ShapeError(
            f"expected inputs of shapes (..., {inputs1}) and (..., {inputs2}) that agree in the leading axes, "
            f"got {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ShapeError(f"expected bias of shape ({outputs},), got {tuple(bias.shape)}")
