"""Max pooling of NumPy arrays, in place and one axis after the other."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import adaptive_max_pool, max_pool
from nnx.functional.pooling_windows import adaptive_sizes, pool_windows
from nnx.functional.spatial import Axes, Windows, windows

_SHORT = 256  # windows whose elements a byte can number


@max_pool.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
    return _pooled(max_pool, wanted, x, options, *pool_windows(x, **options))


@adaptive_max_pool.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
    axes, pairs = adaptive_sizes(x, **options)
    if any(size % count for size, count in pairs):
        return Declined("the windows are not of one size")
    kernel = tuple(size // count for size, count in pairs)
    return _pooled(adaptive_max_pool, wanted, x, options, axes, windows([size for size, _ in pairs], kernel, kernel))


def _pooled(
    function: Primitive[..., Any], wanted: Sequence[Any], x: Any, options: Any, axes: Axes, over: Windows
) -> tuple[Any, Pullback] | Declined:
    if not wanted[0] and math.prod(over.kernel) <= _SHORT:
        return _maxima(_covered(x, axes, over), axes, over), lambda g: (None,)
    found = numbered_by_axis(x, axes, over)
    if type(found) is Declined:
        return found
    y, tap = found
    shape = x.shape

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return function.portable_pullback(wanted, x, **options)(g)
        return (_spread(g, tap, axes, over, shape),)

    return y, pullback


def numbered_by_axis(x: Any, axes: Axes, over: Windows) -> Any:
    """Return the maxima, and the number of each in its window; or why not."""
    if math.prod(over.kernel) > _SHORT:
        return Declined(f"a window has more than {_SHORT} elements")
    y, tap = _numbered_maxima(_covered(x, axes, over), axes, over)
    if y.size and not y.min() > -np.inf:
        return Declined("a maximum is NaN, or the largest of infinities, among which those of the padding do not count")
    return y, tap


def _covered(x: Any, axes: Axes, over: Windows) -> Any:
    """Return what the windows cover: a part of ``x``, or a copy with minus infinity around it."""
    inner, outer, target = [slice(None)] * x.ndim, [slice(None)] * x.ndim, list(x.shape)
    for axis, size, (before, after) in zip(axes.spatial, over.sizes, over.cover, strict=True):
        inner[axis] = slice(0, size + min(after, 0))
        outer[axis] = slice(before, before + size + min(after, 0))
        target[axis] = size + before + after
    part = x[tuple(inner)]
    if part.shape == tuple(target):
        return part
    made = np.full(target, -np.inf, x.dtype)
    made[tuple(outer)] = part
    return made


def _parts(x: Any, axis: int, over: Windows, i: int) -> list[Any]:
    """Return views of the elements of all windows along an axis, one for each tap."""
    kernel, step, dilation = over.kernel[i], over.stride[i], over.dilation[i]
    reach = (over.output[i] - 1) * step + 1
    lead = (slice(None),) * axis
    return [x[(*lead, slice(tap * dilation, tap * dilation + reach, step))] for tap in range(kernel)]


def _maxima(x: Any, axes: Axes, over: Windows) -> Any:
    for i, axis in enumerate(axes.spatial):  # the rows first: their elements lie side by side
        first, *rest = _parts(x, axis, over, i)
        x = np.maximum(first, rest[0]) if rest else first
        for part in rest[1:]:
            np.maximum(x, part, out=x)
    return x.copy() if math.prod(over.kernel) == 1 else x


def _numbered_maxima(x: Any, axes: Axes, over: Windows) -> tuple[Any, Any]:
    """Return the maxima, and the number of each in its window: the last axis first, so that the first of equals wins.

    A later tap has a larger number than all before it, so that a maximum of bytes does for a masked write.
    """
    tap: Any = None
    step = 1
    for i in reversed(range(len(axes.spatial))):
        axis, size = axes.spatial[i], over.kernel[i]
        best, *rest = _parts(x, axis, over, i)
        number, *numbers = [np.uint8(0)] * size if tap is None else _parts(tap, axis, over, i)
        for t, (part, own) in enumerate(zip(rest, numbers, strict=True), start=1):
            candidate = (part > best).view(np.uint8)
            candidate *= own + np.uint8(t * step)
            number = np.maximum(number, candidate, out=candidate)
            best = np.maximum(best, part, out=None if t == 1 else best)
        step *= size
        x, tap = best, None if step == 1 else number
    return (x.copy(), np.zeros(x.shape, np.uint8)) if tap is None else (x, tap)


def _spread(g: Any, tap: Any, axes: Axes, over: Windows, shape: tuple[int, ...]) -> Any:
    """Return zeros of a shape with each cotangent added to the element of its window that the tap numbers."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]  # in elements
    along = [np.arange(length) * stride for length, stride in zip(g.shape, strides, strict=True)]
    offsets = np.zeros((), np.intp)
    for axis, size, step, dilation, (before, _) in zip(
        axes.spatial, over.kernel, over.stride, over.dilation, over.padding, strict=True
    ):
        along[axis] = (np.arange(g.shape[axis]) * step - before) * strides[axis]
        offsets = offsets[..., None] + np.arange(size) * dilation * strides[axis]
    positions = offsets.reshape(-1).take(tap)
    for axis, part in enumerate(along):
        positions += part.reshape((-1,) + (1,) * (len(shape) - axis - 1))
    found = np.zeros(math.prod(shape), g.dtype)
    apart = all(s >= d * (k - 1) + 1 for s, d, k in zip(over.stride, over.dilation, over.kernel, strict=True))
    if apart:
        found[positions] = g
    else:
        np.add.at(found, positions.reshape(-1), g.reshape(-1))
    return found.reshape(shape)
