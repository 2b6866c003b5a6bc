"""Functions whose derivative is that of a few others: each is written with those, and run where an argument is traced.

Every entry takes the traced namespace, then the arguments of the standard.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.rules.elementwise import slope_of_abs
from nnx.autodiff.rules.shapes import at
from nnx.autodiff.traced import stop_gradient
from nnx.backend import device_of
from nnx.errors import ArgumentError
from nnx.types import Array, Namespace


def broadcast_arrays(xp: Namespace, *arrays: Array) -> tuple[Array, ...]:
    """Broadcast each by itself."""
    shape = xp.broadcast_shapes(*(tuple(a.shape) for a in arrays))
    return tuple(xp.broadcast_to(a, shape) for a in arrays)


def diff(xp: Namespace, x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Array:
    """Subtract slices."""
    parts = [part for part in (prepend, x, append) if part is not None]
    x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    for _ in range(n):
        x = at(x, axis, slice(1, None)) - at(x, axis, slice(None, -1))
    return x


def meshgrid(xp: Namespace, *arrays: Array, indexing: str = "xy") -> tuple[Array, ...]:
    """Reshape and broadcast each."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"expected indexing to be 'xy' or 'ij', got {indexing!r}")
    count = len(arrays)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = [1, 0]
    laid = [
        xp.reshape(a, tuple(-1 if i == place else 1 for i in range(count)))
        for a, place in zip(arrays, places, strict=True)
    ]
    return broadcast_arrays(xp, *laid) if laid else ()


def repeat(xp: Namespace, x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Take every element as often as it is repeated."""
    if axis is None:
        x, axis = xp.reshape(x, (-1,)), 0
    plain = xp.untraced
    numbers = plain.arange(x.shape[axis], dtype=plain.int64, device=device_of(x))
    return xp.take(x, plain.repeat(numbers, stop_gradient(repeats)), axis=axis)


def sign(xp: Namespace, x: Array, /) -> Array:
    """Of a real number it is constant, of a complex one the direction."""
    if not xp.isdtype(x.dtype, "complex floating"):
        return xp.untraced.sign(stop_gradient(x))
    size = xp.abs(x)
    return xp.where(size == 0, xp.zeros_like(x), xp.conj(slope_of_abs(xp, x, size)))


def sort(xp: Namespace, x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Take the elements in order; which of equal ones comes first decides where their derivatives go."""
    order = xp.argsort(x, axis=axis, descending=descending, stable=stable)
    return xp.take_along_axis(x, order, axis=axis)


def tensordot(xp: Namespace, x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    """Reshape to two matrices, and multiply them."""
    if not isinstance(axes, (tuple, list)):
        axes = operator.index(axes)
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    first, second = ([a % x.ndim for a in own] for own, x in zip(axes, (x1, x2), strict=True))
    rest1, rest2 = ([i for i in range(x.ndim) if i not in own] for x, own in ((x1, first), (x2, second)))
    size = math.prod(x1.shape[a] for a in first)
    rows, columns = math.prod(x1.shape[i] for i in rest1), math.prod(x2.shape[i] for i in rest2)
    left = xp.reshape(xp.permute_dims(x1, (*rest1, *first)), (rows, size))
    right = xp.reshape(xp.permute_dims(x2, (*second, *rest2)), (size, columns))
    return xp.reshape(left @ right, (*(x1.shape[i] for i in rest1), *(x2.shape[i] for i in rest2)))


def tile(xp: Namespace, x: Array, repetitions: tuple[int, ...], /) -> Array:
    """Put the array beside itself along one axis after the other."""
    ndim = max(x.ndim, len(repetitions))
    x = xp.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
    counts = (1,) * (ndim - len(repetitions)) + tuple(repetitions)
    for axis, count in enumerate(counts):
        x = at(x, axis, slice(0, 0)) if count == 0 else xp.concat([x] * count, axis=axis)
    return x


def unstack(xp: Namespace, x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Index every place of the axis."""
    return tuple(at(x, axis, i) for i in range(x.shape[axis]))


COMPOSED: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (broadcast_arrays, diff, meshgrid, repeat, sign, sort, tensordot, tile, unstack)
}
