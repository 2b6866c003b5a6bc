"""Weights by magnitude and direction, and weights divided by their largest singular value."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.backend import namespace, summed
from nnx.functional.checks import expect_real, expect_same_dtype, expect_shape, normalize_axis
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array, Namespace, Shape


@primitive
@in_float32
def weight_norm(direction: Array, magnitude: Array, *, axes: Sequence[int] = (-1,)) -> Array:
    r"""Return a weight of a given direction and magnitude: :math:`w = g\, v / \lVert v \rVert`.

    Parameters
    ----------
    direction : array, real floating-point
        :math:`v`, not zero.
    magnitude : array, shape of ``direction`` along ``axes``
        :math:`g`, the norms of the weight.
    axes : sequence of int
        The axes along which the magnitude varies, such as that of the outputs. The norms are taken over all others;
        with ``()`` there is one norm.

    Returns
    -------
    weight : array of the shape and dtype of ``direction``

    Raises
    ------
    ShapeError
        If the direction lacks one of the axes, or the magnitude has another shape.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    Source: T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.weight_norm(np.asarray([[3.0], [4.0]]), np.asarray([10.0]))
    array([[6.],
           [8.]])
    """
    others, seen = _check_weight_norm(direction, magnitude, axes)
    xp = namespace(direction, magnitude)
    norm = xp.sqrt(xp.sum(direction * direction, axis=others, keepdims=True))
    return direction * (xp.reshape(magnitude, seen) / norm)


@weight_norm.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any], direction: Array, magnitude: Array, *, axes: Sequence[int] = (-1,)
) -> tuple[Array, Pullback]:
    others, seen = _check_weight_norm(direction, magnitude, axes)
    xp = namespace(direction, magnitude)
    norm = xp.sqrt(xp.sum(direction * direction, axis=others, keepdims=True))
    scale, shape = xp.reshape(magnitude, seen) / norm, magnitude.shape

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None]:
        xp = namespace(cotangent, direction, scale)
        along = xp.sum(cotangent * direction, axis=others, keepdims=True) / norm
        to_direction = scale * (cotangent - direction * (along / norm)) if wanted[0] else None
        return to_direction, xp.reshape(along, shape) if wanted[1] else None

    return direction * scale, pullback


@primitive
@in_float32
def spectral_norm(weight: Array, left: Array, right: Array, *, axis: int = 0) -> Array:
    r"""Return a weight divided by :math:`\sigma = u^T W v`: by its largest singular value, if u and v belong to that.

    Parameters
    ----------
    weight : array, real floating-point
        :math:`W`, as a matrix of one axis against all others.
    left : array, shape (length of that axis,)
        :math:`u`.
    right : array, shape (product of the other lengths,)
        :math:`v`.
    axis : int
        The axis of the rows.

    Returns
    -------
    weight : array of the same shape and dtype

    Raises
    ------
    ShapeError
        If the weight lacks the axis, or ``left`` or ``right`` has another shape.
    DTypeError
        If an array holds integers or complex numbers, or the dtypes differ.

    Notes
    -----
    Source: T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> weight = np.asarray([[4.0, 0.0], [0.0, 1.0]])
    >>> nnx.functional.spectral_norm(weight, np.asarray([1.0, 0.0]), np.asarray([1.0, 0.0]))
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    """
    _check_spectral_norm(weight, left, right, axis)
    xp = namespace(weight, left, right)
    return weight / xp.sum(left * (as_matrix(xp, weight, axis) @ right))


@spectral_norm.with_pullback(fresh=True)
@rule_in_float32
def _(wanted: Sequence[Any], weight: Array, left: Array, right: Array, *, axis: int = 0) -> tuple[Array, Pullback]:
    _check_spectral_norm(weight, left, right, axis)
    xp = namespace(weight, left, right)
    by_right = as_matrix(xp, weight, axis) @ right
    sigma = xp.sum(left * by_right)

    def pullback(cotangent: Array) -> tuple[Array | None, Array | None, Array | None]:
        xp = namespace(cotangent, weight, left, right)
        to_sigma = -summed(xp, cotangent * weight) / (sigma * sigma)
        to_weight = None
        if wanted[0]:
            outer = (to_sigma * left)[:, None] * right[None, :]
            to_weight = cotangent / sigma + _from_matrix(xp, outer, weight.shape, axis)
        return (
            to_weight,
            to_sigma * by_right if wanted[1] else None,
            to_sigma * (as_matrix(xp, weight, axis).T @ left) if wanted[2] else None,
        )

    return weight / sigma, pullback


def as_matrix(xp: Namespace, weight: Array, axis: int) -> Array:
    """Return a weight as a matrix of one axis against all others."""
    rows = weight.shape[axis]
    columns = math.prod(weight.shape) // max(rows, 1)
    return xp.reshape(xp.moveaxis(weight, axis, 0), (rows, columns))


def _from_matrix(xp: Namespace, matrix: Array, shape: Shape, axis: int) -> Array:
    axis = normalize_axis(axis, len(shape))
    return xp.moveaxis(xp.reshape(matrix, (shape[axis], *shape[:axis], *shape[axis + 1 :])), 0, axis)


def _check_weight_norm(direction: Array, magnitude: Array, axes: Sequence[int]) -> tuple[tuple[int, ...], Shape]:
    """Return the other axes, and the shape of the magnitude with 1 along them."""
    namespace(direction, magnitude)
    expect_real(direction, "direction")
    expect_same_dtype(direction, magnitude, "magnitude", "direction")
    own = [normalize_axis(axis, direction.ndim) for axis in axes]
    expect_shape(
        magnitude, tuple(direction.shape[axis] for axis in own), "magnitude", "as the direction along its axes"
    )
    others = tuple(i for i in range(direction.ndim) if i not in own)
    return others, tuple(n if i in own else 1 for i, n in enumerate(direction.shape))


def _check_spectral_norm(weight: Array, left: Array, right: Array, axis: int) -> None:
    namespace(weight, left, right)
    expect_real(weight, "weight")
    rows = weight.shape[normalize_axis(axis, weight.ndim)]
    for vector, count, name in ((left, rows, "left"), (right, math.prod(weight.shape) // max(rows, 1), "right")):
        expect_same_dtype(weight, vector, name, "weight")
        expect_shape(vector, (count,), name, "for this weight")
