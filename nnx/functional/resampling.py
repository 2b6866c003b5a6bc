"""Sparse linear maps along axes, which average pooling and interpolation are made of."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Primitive, Pullback
from nnx.backend import add_into, device_of, multiply_into, namespace, summed
from nnx.functional.axis_maps import AxisMap, as_slice
from nnx.types import Array, Namespace

_FEW = 8  # taps that are added one by one; more are a reduction


def _resample(x: Array, *, axes: Sequence[int], maps: Sequence[AxisMap]) -> Array:
    """Apply a map along each of some axes; the result is new memory."""
    xp = namespace(x)
    changed = [(axis, along) for axis, along in zip(axes, maps, strict=True) if not _is_identity(along)]
    for axis, along in changed:
        x = _along(xp, x, axis, along)
    return x if changed else xp.asarray(x, copy=True)


resample: Primitive[..., Array] = Primitive(_resample, name="resample")
"""A primitive of its own, so that second derivatives go through it. Its transpose has the same form."""
resample.with_tangent(lambda args, tangents, options: (resample(*args, **options), resample(*tangents, **options)))


@resample.with_pullback(fresh=True)
def _(wanted: Sequence[Any], x: Array, *, axes: Sequence[int], maps: Sequence[AxisMap]) -> tuple[Array, Pullback]:
    return resample(x, axes=axes, maps=maps), lambda g: (transposed(g, axes, maps),)


def transposed(g: Array, axes: Sequence[int], maps: Sequence[AxisMap]) -> Array:
    """Apply the transposed maps."""
    return resample(g, axes=tuple(reversed(axes)), maps=[along.transpose for along in reversed(maps)])


def taken(xp: Namespace, x: Array, axis: int, indices: Sequence[int], where: slice | None = None) -> Array:
    """Return elements along an axis, as a view if the indices are those of a slice."""
    where = where or as_slice(indices)
    if where is None:
        return xp.take(x, xp.asarray(indices, device=device_of(x)), axis=axis)
    return x[(slice(None),) * axis + (where, ...)]


def _along(xp: Namespace, x: Array, axis: int, along: AxisMap) -> Array:
    """Return new memory."""
    factor = along.factor
    if factor is not None and len(along.indices) > _FEW and along.is_of_blocks:
        return multiply_into(_block_sums(xp, x, axis, along), factor)
    total: Any = None
    is_own = False
    for indices, weights, where in zip(along.indices, along.weights, along.slices, strict=True):
        part = taken(xp, x, axis, indices, where)
        if factor is None:
            part = part * _laid_along(xp, x, axis, weights)
        if total is None:
            total, is_own = part, factor is None or where is None
        else:
            total, is_own = add_into(total, part) if is_own else total + part, True
    if along.unused:
        used = [i not in along.unused for i in range(len(along.indices[0]))]
        total, is_own = xp.where(_laid_along(xp, x, axis, used), total, xp.zeros_like(total)), True
    if factor is None or (factor == 1.0 and is_own):
        return total
    return multiply_into(total, factor) if is_own else total * factor


def _block_sums(xp: Namespace, x: Array, axis: int, along: AxisMap) -> Array:
    count, size = len(along.indices[0]), len(along.indices)
    x = taken(xp, x, axis, range(count * size))
    return summed(xp, xp.reshape(x, (*x.shape[:axis], count, size, *x.shape[axis + 1 :])), axis + 1)


def _laid_along(xp: Namespace, x: Array, axis: int, values: Sequence[float] | Sequence[bool]) -> Array:
    """Return values as an array that is broadcast to all axes but one; floats in the dtype of ``x``."""
    dtype = xp.bool if isinstance(values[0], bool) else x.dtype
    column = xp.asarray(values, dtype=dtype, device=device_of(x))
    return xp.reshape(column, (1,) * axis + (len(values),) + (1,) * (x.ndim - axis - 1))


def _is_identity(along: AxisMap) -> bool:
    return along.indices == (tuple(range(along.size)),) and along.factor == 1.0
