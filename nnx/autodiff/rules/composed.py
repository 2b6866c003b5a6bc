"""Functions without a rule: where an argument is traced, they are computed with other functions that have one.

Every entry takes the traced namespace, then the arguments of the standard.
"""

import math
from collections.abc import Callable
from typing import Any

from nnx.autodiff.rules.elementwise import slope_of_abs
from nnx.autodiff.rules.shapes import at
from nnx.autodiff.stopping import call_underlying
from nnx.backend import device_of, is_array
from nnx.errors import ArgumentError
from nnx.types import Array, Namespace


def broadcast_arrays(xp: Namespace, *arrays: Array) -> tuple[Array, ...]:
    """Broadcast each to the common shape."""
    shape = xp.broadcast_shapes(*(tuple(a.shape) for a in arrays))
    return tuple(xp.broadcast_to(a, shape) for a in arrays)


def diff(xp: Namespace, x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Array:
    """Subtract neighboring slices, ``n`` times."""
    if n < 0:
        raise ArgumentError(f"expected n of at least 0, got {n}")
    if n == 0:  # in that case NumPy ignores prepend and append
        return x
    parts = [_along(xp, part, x, axis) for part in (prepend, x, append) if part is not None]
    x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    for _ in range(n):
        length = x.shape[axis]
        # Clipped for an empty axis: the standard leaves slices beyond an axis undefined.
        x = at(x, axis, slice(min(1, length), length)) - at(x, axis, slice(max(0, length - 1)))
    return x


def _along(xp: Namespace, part: Any, x: Array, axis: int) -> Any:
    """Return an array that can be joined to ``x`` along an axis; NumPy takes a single number too."""
    if getattr(part, "ndim", 0) > 0:
        return part
    axis %= x.ndim
    part = part if is_array(part) else xp.asarray(part, dtype=x.dtype, device=device_of(x))
    return xp.broadcast_to(part, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


def meshgrid(xp: Namespace, *arrays: Array, indexing: str = "xy") -> tuple[Array, ...]:
    """Reshape each array to lie along its own axis, and broadcast."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"expected indexing to be 'xy' or 'ij', got {indexing!r}")
    count = len(arrays)
    order = list(range(count))
    if indexing == "xy" and count > 1:  # Cartesian: x runs along the columns
        order[:2] = [1, 0]
    laid = [
        xp.reshape(a, tuple(math.prod(a.shape) if i == axis else 1 for i in range(count)))
        for a, axis in zip(arrays, order, strict=True)
    ]
    return broadcast_arrays(xp, *laid) if laid else ()


def repeat(xp: Namespace, x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Take each element by its index, repeated."""
    if axis is None or x.ndim == 0:
        x, axis = xp.reshape(x, (-1,)), 0
    plain = xp.untraced
    numbers = plain.arange(x.shape[axis], dtype=plain.int64, device=device_of(x))
    return xp.take(x, call_underlying(plain.repeat, (numbers, repeats), {}), axis=axis)


def sign(xp: Namespace, x: Array, /) -> Array:
    """Return a constant for real numbers, and x / abs(x), which has a derivative, for complex ones."""
    if not xp.isdtype(x.dtype, "complex floating"):
        return call_underlying(xp.untraced.sign, (x,), {})
    size = xp.abs(x)
    return xp.where(size == 0, xp.zeros_like(x), xp.conj(slope_of_abs(xp, x, size)))


def sort(xp: Namespace, x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Take the elements in the order of ``argsort``, which among equal ones also decides where the derivatives go."""
    order = xp.argsort(x, axis=axis, descending=descending, stable=stable)
    return x if x.ndim == 0 else xp.take_along_axis(x, order, axis=axis)


def tile(xp: Namespace, x: Array, repetitions: tuple[int, ...], /) -> Array:
    """Concatenate the array with itself, along one axis after the other."""
    ndim = max(x.ndim, len(repetitions))
    x = xp.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
    counts = (1,) * (ndim - len(repetitions)) + tuple(repetitions)
    for axis, count in enumerate(counts):
        # concat of an empty list is an error, so an empty slice stands for no repetition.
        x = at(x, axis, slice(0, 0)) if count == 0 else xp.concat([x] * count, axis=axis)
    return x


def unstack(xp: Namespace, x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Index the axis at each position."""
    return tuple(at(x, axis, i) for i in range(x.shape[axis]))


COMPOSED: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (broadcast_arrays, diff, meshgrid, repeat, sign, sort, tile, unstack)
}
