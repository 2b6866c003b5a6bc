"""Indexing with arrays of indices: one-hot vectors, taking along an axis, and adding along an axis."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.autodiff.rules.indexing import add_taken, key_along_axis, scatter
from nnx.backend import accumulation_dtype, device_of, dtype_name, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import (
    as_class_indices,
    expect_array,
    expect_same_dtype,
    expect_shape,
    first_where,
    normalize_axis,
)
from nnx.types import Array


def one_hot(index: Array, classes: int, *, dtype: str = "float32") -> Array:
    r"""One-hot vectors of class indices: :math:`y_{i k} = 1` if :math:`k` is the index :math:`i`, else 0.

    Parameters
    ----------
    index : array of any shape, integer
        From 0 to ``classes`` - 1.
    classes : int
        Positive.
    dtype : str
        Name of a numeric dtype of the standard.

    Returns
    -------
    y : array, shape (*index.shape, classes), on the device of ``index``

    Raises
    ------
    DTypeError
        If ``index`` holds no integers.
    ArgumentError
        If there is no class or no such dtype, or an index is out of range. On a device whose memory cannot be read
        without waiting, such an index gives a vector of zeros instead.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.one_hot(np.asarray([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    index = expect_indices(stop_gradient(index))
    xp = namespace(index)
    if classes < 1:
        raise ArgumentError(f"expected at least one class, got classes={classes}")
    dtypes = xp.__array_namespace_info__().dtypes(kind="numeric", device=device_of(index))
    if dtype not in dtypes:
        raise ArgumentError(f"expected dtype to be one of {', '.join(map(repr, dtypes))}, got {dtype!r}")
    expect_range(index, 0, classes)
    numbers = xp.arange(classes, dtype=index.dtype, device=device_of(index))
    return xp.astype(xp.expand_dims(index, axis=-1) == numbers, dtypes[dtype])


@primitive
def gather(x: Array, indices: Array, *, axis: int) -> Array:
    r"""Take elements along an axis: :math:`y_{i j k} = x_{i\, n_{i j k}\, k}` for the middle axis of three.

    Parameters
    ----------
    x : array of any shape but ()
    indices : array, integer
        Of the shape of ``x``, except for any length at ``axis``; length 1 at other axes is broadcast. A negative index
        counts from the end.
    axis : int

    Returns
    -------
    y : array of the dtype of ``x``, and the shape of ``indices`` broadcast to ``x`` outside the axis

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no such axis.
    DTypeError
        If ``indices`` holds no integers.
    ArgumentError
        If an index is out of range. In a device's memory that cannot be read without stopping its queue, the library
        decides what comes of it.

    Notes
    -----
    This is ``take_along_axis`` of the standard, with checks. The cotangents of repeated indices add up.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> nnx.functional.gather(x, np.asarray([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    axis, indices = _check_gather(x, indices, axis)
    return namespace(x, indices).take_along_axis(x, indices, axis=axis)


@gather.with_pullback
def _(wanted: Sequence[Any], x: Array, indices: Array, *, axis: int) -> tuple[Array, Pullback]:
    axis, indices = _check_gather(x, indices, axis)
    shape = tuple(x.shape)

    def pullback(cotangent: Array) -> tuple[Array, None]:
        return scatter(cotangent, shape=shape, key=key_along_axis(indices, shape, axis)), None

    return gather(x, indices, axis=axis), pullback


@primitive
def index_add(x: Array, indices: Array, values: Array, *, axis: int = 0) -> Array:
    r"""Add slices at indices along an axis: :math:`y = x`, then :math:`y_{n_j} \mathrel{+}= v_j` for each :math:`j`.

    Parameters
    ----------
    x : array of any shape but ()
        Not changed.
    indices : array, shape (count,), integer
        Repeated indices add up; a negative index counts from the end.
    values : array
        Of the dtype and shape of ``x``, with length ``count`` at ``axis``.
    axis : int
        Default 0.

    Returns
    -------
    y : array of the shape and dtype of ``x``

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no such axis.
    DTypeError
        If ``indices`` holds no integers, ``x`` no numbers, or ``values`` is of another dtype than ``x``.
    ArgumentError
        If an index is out of range. In a device's memory that cannot be read without stopping its queue, the library
        decides what comes of it.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.index_add(np.zeros(3), np.asarray([2, 0, 2]), np.asarray([1.0, 2.0, 3.0]))
    array([2., 0., 4.])
    """
    axis, indices = _check_index_add(x, indices, values, axis)
    xp = namespace(x, indices, values)
    wide = accumulation_dtype(x)
    added = add_taken(xp.astype(values, wide, copy=False), indices, tuple(x.shape), axis)
    return xp.astype(xp.astype(x, wide, copy=False) + added, x.dtype, copy=False)


@index_add.with_pullback
def _(wanted: Sequence[Any], x: Array, indices: Array, values: Array, *, axis: int = 0) -> tuple[Array, Pullback]:
    axis, indices = _check_index_add(x, indices, values, axis)

    def pullback(cotangent: Array) -> tuple[Array | None, None, Array | None]:
        xp = namespace(cotangent)
        return cotangent if wanted[0] else None, None, xp.take(cotangent, indices, axis=axis) if wanted[2] else None

    return index_add(x, indices, values, axis=axis), pullback


def _check_gather(x: Array, indices: Array, axis: int) -> tuple[int, Array]:
    """Return the axis counted from 0, and the indices too."""
    namespace(x, indices)
    expect_array(x)
    expect_array(indices, "indices")
    axis = normalize_axis(axis, x.ndim)
    found = tuple(indices.shape)
    fits = len(found) == x.ndim and all(
        i == axis or m in (1, n) for i, (m, n) in enumerate(zip(found, x.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"expected indices of the shape of the input, {tuple(x.shape)}, outside axis {axis}, got {found}"
        )
    return axis, _counted_from_zero(indices, x.shape[axis])


def _check_index_add(x: Array, indices: Array, values: Array, axis: int) -> tuple[int, Array]:
    """Return the axis counted from 0, and the indices too."""
    xp = namespace(x, indices, values)
    expect_array(x)
    expect_array(indices, "indices")
    axis = normalize_axis(axis, x.ndim)
    if not xp.isdtype(x.dtype, "numeric"):
        raise DTypeError(f"expected input of a numeric dtype, got {dtype_name(x.dtype)}")
    expect_same_dtype(x, values, "values", "input")
    if indices.ndim != 1:
        raise ShapeError(f"expected indices of shape (count,), got {tuple(indices.shape)}")
    shape = tuple(x.shape)
    wanted = (*shape[:axis], indices.shape[0], *shape[axis + 1 :])
    expect_shape(values, wanted, "values", "a slice of the input for each index")
    return axis, _counted_from_zero(indices, shape[axis])


def _counted_from_zero(indices: Array, length: int) -> Array:
    indices = expect_indices(stop_gradient(indices))
    expect_range(indices, -length, length)
    return namespace(indices).where(indices < 0, indices + length, indices)


def expect_indices(indices: Array) -> Array:
    """Return indices in the default integer dtype; raises DTypeError unless they are integers."""
    xp = namespace(indices)
    if not xp.isdtype(indices.dtype, "integral"):
        raise DTypeError(
            f"expected indices of an integer dtype, got {dtype_name(indices.dtype)}; "
            "cast them with xp.astype(indices, xp.int32)"
        )
    return as_class_indices(indices)


def expect_range(indices: Array, start: int, stop: int) -> None:
    """Raise ArgumentError if an index is out of range, unless reading the indices would wait for a device."""
    found = first_where(indices, lambda i: (i < start) | (i >= stop))
    if found is not None:
        raise ArgumentError(f"expected indices from {start} to {stop - 1}, got {found}")
