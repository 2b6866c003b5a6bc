"""Max pooling in one pass that numbers the maxima as it finds them, and one that adds cotangents where these were.

Where the windows lie is a table of positions, so that padding, dilation, windows that overlap and windows of several
sizes are all the same loop. A position in the padding is that of an element of its window, which changes no maximum.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import adaptive_max_pool, max_pool
from nnx.functional.axis_maps import Table
from nnx.functional.pooling_windows import adaptive_sizes, adaptive_table, pool_windows, window_tables
from nnx.functional.spatial import Axes, Windows, windows
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numpy.elementwise import DTYPES
from nnx.kernels.numpy.pooling import numbered_by_axis

_MOST = 1 << 16  # windows over an example: the table should stay in the cache
_LEAST = 8  # channels that come last, from which on the loop over them is quick


@compiled
def _larger(best: Any, number: Any, other: Any, own: Any) -> Any:
    wins = (other > best) | (other != other)
    return other if wins else best, own if wins else number


@compiled
def _of_four(a: Any, b: Any, c: Any, d: Any) -> Any:
    best, number = _larger(a, 0, b, 1)
    best, number = _larger(best, number, c, 2)
    best, number = _larger(best, number, d, 3)
    return best, np.uint8(number)


@compiled
def _maxima_of_squares(x: Any, y: Any, taps: Any) -> None:
    """Fill in the maxima of squares of four, (images, rows, columns)."""
    for o in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                y[o, i, j], taps[o, i, j] = _of_four(
                    x[o, 2 * i, 2 * j], x[o, 2 * i, 2 * j + 1], x[o, 2 * i + 1, 2 * j], x[o, 2 * i + 1, 2 * j + 1]
                )


@compiled
def _maxima_of_four(x: Any, y: Any, taps: Any, places: Any) -> None:
    """Fill in maxima (examples, windows, channels); ``places`` has for each window where its elements begin in x."""
    for o in range(y.shape[0]):
        image, best, number = x[o], y[o], taps[o]
        for p in range(y.shape[1]):
            a, b, c, d = places[p, 0], places[p, 1], places[p, 2], places[p, 3]
            for k in range(np.uint64(y.shape[2])):
                best[p, k], number[p, k] = _of_four(image[a + k], image[b + k], image[c + k], image[d + k])


@compiled
def _maxima_of_nine(x: Any, y: Any, taps: Any, places: Any) -> None:
    for o in range(y.shape[0]):
        image, best, number = x[o], y[o], taps[o]
        for p in range(y.shape[1]):
            at = places[p]
            a, b, c, d, e, f, g, h, i = at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8]
            for k in range(np.uint64(y.shape[2])):
                m, n = _of_four(image[a + k], image[b + k], image[c + k], image[d + k])
                m, n = _larger(m, n, image[e + k], np.uint8(4))
                m, n = _larger(m, n, image[f + k], np.uint8(5))
                m, n = _larger(m, n, image[g + k], np.uint8(6))
                m, n = _larger(m, n, image[h + k], np.uint8(7))
                best[p, k], number[p, k] = _larger(m, n, image[i + k], np.uint8(8))


@compiled
def _add_at(x: Any, g: Any, taps: Any, places: Any) -> None:
    for o in range(g.shape[0]):
        image, of_image, number = x[o], g[o], taps[o]
        if g.shape[2] == 1:  # a loop over one channel would cost more than what is in it
            for p in range(g.shape[1]):
                image[places[p, np.uint64(number[p, 0])]] += of_image[p, 0]
        else:
            for p in range(g.shape[1]):
                for k in range(np.uint64(g.shape[2])):
                    image[places[p, np.uint64(number[p, k])] + k] += of_image[p, k]


@max_pool.kernel("numpy", tier="compiled", fresh=True)
def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
    axes, over = pool_windows(x, **options)
    return _pooled(max_pool, wanted, x, options, axes, window_tables(over), over)


@adaptive_max_pool.kernel("numpy", tier="compiled", fresh=True)
def _(wanted: Sequence[Any], x: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
    axes, pairs = adaptive_sizes(x, **options)
    over = None
    if not any(size % count for size, count in pairs):
        kernel = tuple(size // count for size, count in pairs)
        over = windows([size for size, _ in pairs], kernel, kernel)
    return _pooled(adaptive_max_pool, wanted, x, options, axes, tuple(adaptive_table(*pair) for pair in pairs), over)


def _pooled(
    function: Primitive[..., Any],
    wanted: Sequence[Any],
    x: Any,
    options: Any,
    axes: Axes,
    tables: tuple[Table, ...],
    over: Windows | None,
) -> tuple[Any, Pullback] | Declined:
    if type(x) is not np.ndarray or x.dtype not in DTYPES or not (x.size and x.flags.c_contiguous):
        return Declined("x is not a contiguous NumPy array of float32 or float64 with elements")
    found = _numbered(wanted[0], x, axes, tables, over)
    if type(found) is Declined:
        return found
    y, taps = found
    shape = x.shape

    def pullback(g: Any) -> Sequence[Any]:
        if type(g) is TracedArray:
            return function.portable_pullback(wanted, x, **options)(g)
        outer, inner = _flattened(shape, axes)
        to_x, form = np.zeros(shape, g.dtype), (outer, taps.size // (outer * inner), inner)
        places = _places(tables, tuple(shape[axis] for axis in axes.spatial), inner)
        _add_at(to_x.reshape(outer, -1), g.reshape(form), taps.reshape(form), places)
        return (to_x,)

    return y, pullback if wanted[0] else lambda g: (None,)


def _numbered(has_pullback: Any, x: Any, axes: Axes, tables: tuple[Table, ...], over: Windows | None) -> Any:
    """Return the maxima, and the number of each in its window; or why not."""
    count, size = math.prod(len(table[0]) for table in tables), math.prod(map(len, tables))
    if count > _MOST:
        return Declined(f"there are more than {_MOST:,} windows over an example")
    sizes = tuple(x.shape[axis] for axis in axes.spatial)
    shape = list(x.shape)
    for axis, table in zip(axes.spatial, tables, strict=True):
        shape[axis] = len(table[0])
    outer, inner = _flattened(x.shape, axes)
    if over is not None and inner == 1 and _are_squares(over):
        y, taps = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
        _maxima_of_squares(x.reshape(outer, *sizes), y.reshape(outer, *over.output), taps.reshape(outer, *over.output))
        return y, taps
    if size <= 9 and inner >= _LEAST:
        y, taps, form = np.empty(shape, x.dtype), np.empty(shape, np.uint8), (outer, count, inner)
        loop = _maxima_of_four if size <= 4 else _maxima_of_nine
        loop(x.reshape(outer, -1), y.reshape(form), taps.reshape(form), _places(tables, sizes, inner))
        return y, taps
    if over is None:
        return Declined("the windows are not of one size")
    if not has_pullback:
        return Declined("maxima that need no number are quicker one axis after the other")
    return numbered_by_axis(x, axes, over)


def _are_squares(over: Windows) -> bool:
    """Return whether windows are squares of four side by side, none of which hangs over an edge."""
    if not over.kernel == over.stride == (2, 2) or over.dilation != (1, 1) or over.padding != ((0, 0), (0, 0)):
        return False
    (rows, columns), (height, width) = over.output, over.sizes
    return 2 * rows <= height and 2 * columns <= width


def _flattened(shape: tuple[int, ...], axes: Axes) -> tuple[int, int]:
    """Return how many images there are before the spatial axes, and how many channels after them."""
    return (shape[0], shape[-1]) if axes.last else (shape[0] * shape[1], 1)


@functools.lru_cache(maxsize=64)
def _places(tables: tuple[Table, ...], sizes: tuple[int, ...], inner: int) -> Any:
    """Return for each window where its elements are in an image, the last one repeated so that there are 4 or 9."""
    found = np.zeros((1, 1), np.intp)  # unsigned in the end, so that the loop need not ask for negative ones
    for table, size in zip(tables, sizes, strict=True):
        along = np.asarray(table).T
        found = (found[:, None, :, None] * size + along[:, None, :]).reshape(
            len(found) * len(along), found.shape[1] * along.shape[1]
        )
    missing = max((4 if found.shape[1] <= 4 else 9) - found.shape[1], 0)
    found = np.pad(found * inner, ((0, 0), (0, missing)), mode="edge").astype(np.uint64)
    found.flags.writeable = False
    return found
