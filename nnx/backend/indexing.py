"""Indexed addition, which the standard lacks and every library spells differently."""

import math
from typing import Any

import numpy as np

from nnx.backend.inspection import is_floating
from nnx.backend.namespaces import library_name, namespace
from nnx.backend.transfer import device_of, dtype_name
from nnx.types import Array, DType, Namespace, Shape

_BLOCK = 1 << 22  # elements of a mask
_FLAT = 1 << 18  # flat indices at a time


def scatter_add(values: Array, shape: Shape, key: Any) -> Array:
    """Return zeros of a shape with ``values`` added at ``key``, of any form; repeated indices add up."""
    xp = namespace(values)
    parts = key if isinstance(key, tuple) else (key,)
    if 0 in values.shape or 0 in shape:
        return xp.zeros(shape, dtype=values.dtype, device=device_of(values))
    if not any(map(_holds_many, parts)):  # no element twice: assignment will do
        return _put(xp, xp.zeros(shape, dtype=values.dtype, device=device_of(values)), parts, values)
    # The axes that the key does not mention are the last ones: their elements are added as whole rows.
    lead = len(parts) if all(map(_takes_one_axis, parts)) else len(shape)
    numbers = _numbers(xp, shape[:lead], parts, key, device_of(values))
    rows = xp.reshape(values, (numbers.shape[0], math.prod(shape[lead:])))
    return xp.reshape(add_rows(rows, numbers, math.prod(shape[:lead])), shape)


def add_rows(rows: Array, indices: Array, count: int) -> Array:
    """Return ``count`` rows: row i is the sum of all given rows with index i.

    Parameters
    ----------
    rows : array, shape (length, size)
    indices : array, shape (length,), of the default integer dtype
        From 0 to ``count`` - 1.
    count : int

    Returns
    -------
    sums : array, shape (count, size), of the dtype of ``rows``
        Accumulated in :func:`accumulation_dtype`, and rounded once.
    """
    xp = namespace(rows)
    dtype, size = accumulation_dtype(rows), rows.shape[1]
    sums = xp.zeros((count, size), dtype=dtype, device=device_of(rows))
    if count and size and rows.shape[0]:
        sums = _add_rows(xp, sums, indices, xp.astype(rows, dtype, copy=False))
    return xp.astype(sums, rows.dtype, copy=False)


def accumulation_dtype(x: Array) -> DType:
    """Return the dtype in which to add up many elements: float32 for 16 bits, where 2048 + 1 is 2048; else its own."""
    xp = namespace(x)
    narrow = is_floating(x) and xp.finfo(x.dtype).bits < 32
    return xp.float32 if narrow else x.dtype


def copy_of_indices(indices: Array) -> Array:
    """Return a copy of an array of indices: the caller may change the given one after the call."""
    if isinstance(indices, (np.ndarray, np.generic)):  # other libraries accept these as keys too
        return indices.copy()
    xp = namespace(indices)
    return indices if library_name(xp) == "jax" else xp.asarray(indices, copy=True)  # JAX arrays cannot change


def _holds_many(part: Any) -> bool:
    """Return whether a part of a key may name an element twice: a list or array can, a number, slice or None not."""
    return not (part is None or part is Ellipsis or isinstance(part, (int, slice)))


def _numbers(xp: Namespace, shape: Shape, parts: tuple[Any, ...], key: Any, device: Any) -> Array:
    """Return the row-major numbers of the elements that a key takes from an array of this shape."""
    if any(isinstance(part, slice) for part in parts) or not all(map(_takes_one_axis, parts)):
        # Let the library interpret the key: index an array of element numbers with it.
        return xp.reshape(xp.reshape(xp.arange(math.prod(shape), device=device), shape)[key], (-1,))
    # Indices of all axes: no array of all numbers is needed. Indexing arange resolves negative ones.
    found: Any = 0
    for length, part in zip(shape, parts, strict=True):
        found = found * length + xp.arange(length, device=device)[part]
    return xp.reshape(found, (-1,))


def _takes_one_axis(part: Any) -> bool:
    """Return whether a part of a key is sure to take one axis: a mask may take several, and None takes none."""
    if isinstance(part, slice):
        return True
    if hasattr(part, "shape"):
        return dtype_name(part.dtype) not in ("bool", "uint8")  # torch takes uint8 for a mask too
    return isinstance(part, int) and not isinstance(part, bool)


def _put(xp: Namespace, zeros: Array, parts: tuple[Any, ...], values: Array) -> Array:
    if library_name(xp) == "jax":
        return zeros.at[parts].set(values)
    key = tuple(part for part in parts if part is not None)  # in the standard, None is for reading only
    zeros[key] = xp.reshape(values, zeros[key].shape)
    return zeros


def _add_rows(xp: Namespace, sums: Array, indices: Array, rows: Array) -> Array:
    """Add each row to the row of ``sums``, which may be overwritten, at its index."""
    library = library_name(xp)
    if library == "jax":
        return sums.at[indices].add(rows)
    if library == "torch":
        return sums.index_put_((indices,), rows, accumulate=True)
    if library not in ("numpy", "cupy"):
        return _add_by_mask(xp, sums, indices, rows)
    # numpy.add.at is seven times as fast with flat indices as with rows.
    size = sums.shape[1]
    columns, target = xp.arange(size, device=device_of(sums)), xp.reshape(sums, (-1,))
    step = max(1, _FLAT // size)  # rows at a time, since the flat indices take twice the memory of the rows
    for start in range(0, rows.shape[0], step):
        part = indices[start : start + step]
        flat = part if size == 1 else xp.reshape(part[:, None] * size + columns, (-1,))
        xp.add.at(target, flat, xp.reshape(rows[start : start + step, :], (-1,)))
    return sums


def _add_by_mask(xp: Namespace, sums: Array, indices: Array, rows: Array) -> Array:
    """Add with the standard's functions only: matrix products with one-hot masks of the indices, block by block."""
    count = sums.shape[0]
    step = max(1, _BLOCK // max(1, indices.shape[0]))
    found = []
    for start in range(0, count, step):
        block = xp.arange(start, min(count, start + step), device=device_of(sums))
        mask = xp.astype(block[:, None] == indices[None, :], sums.dtype)
        found.append(mask @ rows)
    return xp.concat(found)
