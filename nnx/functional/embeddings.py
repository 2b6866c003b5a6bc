"""Rows of a table of vectors, looked up by index."""

import math
from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.autodiff.rules.indexing import sum_rows
from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_array, expect_floating
from nnx.functional.indexing import expect_indices, expect_range
from nnx.types import Array


@primitive
def embedding(indices: Array, weight: Array, *, padding_index: int | None = None) -> Array:
    r"""Look up a vector for each index: :math:`y_{i k} = W_{n_i k}`.

    Parameters
    ----------
    indices : array of any shape, integer
        From 0 to ``num_embeddings`` - 1.
    weight : array, shape (num_embeddings, features)
        Floating-point.
    padding_index : int, optional
        The row of ``weight`` that stands for padding: it gets no gradient.

    Returns
    -------
    y : array, shape (*indices.shape, features), of the dtype of ``weight``

    Raises
    ------
    ShapeError
        If ``weight`` is not a matrix.
    DTypeError
        If ``indices`` holds no integers, or ``weight`` no floating-point numbers.
    ArgumentError
        If an index or ``padding_index`` is out of range; a negative index does not count from the end. In a device's
        memory that cannot be read without stopping its queue, the library decides what comes of a wrong index.

    Notes
    -----
    The cotangents of repeated indices add up. There is no product with one-hot vectors in either direction.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.functional.embedding(np.asarray([2, 0]), np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[5., 6.],
           [1., 2.]])
    """
    indices = check_embedding(indices, weight, padding_index)
    y = _take(indices, weight)
    return y if padding_index is None else _without_padding(indices, padding_index, y, stop_gradient(y))


@embedding.with_pullback(fresh=True)
def _(
    wanted: Sequence[Any], indices: Array, weight: Array, *, padding_index: int | None = None
) -> tuple[Array, Pullback]:
    indices = check_embedding(indices, weight, padding_index)
    count, features = weight.shape

    def pullback(cotangent: Array) -> tuple[None, Array]:
        xp = namespace(cotangent)
        if padding_index is not None:
            cotangent = _without_padding(indices, padding_index, cotangent, xp.zeros_like(cotangent))
        flat = _flat(indices)
        return None, sum_rows(xp.reshape(cotangent, (flat.shape[0], features)), indices=flat, count=count)

    return _take(indices, weight), pullback


def check_embedding(indices: Array, weight: Array, padding_index: int | None) -> Array:
    """Check the arguments of :func:`embedding`; return the indices in the default integer dtype."""
    namespace(indices, weight)
    expect_array(indices, "indices")
    expect_floating(weight, "weight")
    if weight.ndim != 2:
        raise ShapeError(f"expected weight of shape (num_embeddings, features), got {tuple(weight.shape)}")
    count = weight.shape[0]
    if padding_index is not None and (type(padding_index) is not int or not 0 <= padding_index < count):
        raise ArgumentError(f"expected padding_index from 0 to {count - 1}, got {padding_index}")
    indices = expect_indices(stop_gradient(indices))
    expect_range(indices, 0, count)
    return indices


def _take(indices: Array, weight: Array) -> Array:
    xp = namespace(indices, weight)
    return xp.reshape(xp.take(weight, _flat(indices), axis=0), (*indices.shape, weight.shape[1]))


def _flat(indices: Array) -> Array:
    return namespace(indices).reshape(indices, (math.prod(indices.shape),))


def _without_padding(indices: Array, padding_index: int, y: Array, replacement: Array) -> Array:
    """Return the vectors ``y``, with those of ``replacement`` where the index is that of padding."""
    xp = namespace(y, indices)
    return xp.where(xp.expand_dims(indices == padding_index, axis=-1), replacement, y)
