r"""Convolution by 3 x 3 in tiles of 2 x 2 outputs, with 16 multiplications for each instead of 36 (Winograd's method).

For an image :math:`d` of 4 x 4 and a kernel :math:`g`, the outputs are
:math:`A^\top [(G g G^\top) \odot (B^\top d B)] A`; the sum over channels comes before the outer transform, and is
16 products of matrices for all tiles. Rows of tiles have one more tile than they need, so that all that a channel has
is one long row.
"""

import functools
from typing import Any

import numpy as np

from nnx.functional.spatial import Windows
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numpy.rows import ones

_LEAST = 32  # channels on both sides, from which on the multiplications outweigh the sums


def suits(windows: Windows, groups: int, weight: Any) -> bool:
    """Return whether windows over images, and a weight, are such that this is quicker.

    The error is of the order of that of other methods, but is relative to the largest numbers of a tile, instead of a
    window. So float64 gets the plain sum of the formula.
    """
    return (
        weight.dtype == np.float32
        and windows.kernel == (3, 3)
        and windows.stride == windows.dilation == (1, 1)
        and groups == 1
        and min(weight.shape[:2]) >= _LEAST
        and not any(count % 2 for count in windows.output)
        and 256 <= windows.output[0] * windows.output[1] <= 2**14
    )


def correlate_in_tiles(x: Any, weight: Any, windows: Windows) -> Any:
    """Return the correlation of images, (images, channels, rows, columns); None if there is a number not finite in it.

    One that is not finite spoils the rest of its tile.
    """
    (images, channels), out = x.shape[:2], weight.shape[0]
    before, (rows, count) = tuple(pair[0] for pair in windows.padding), windows.output
    kernels = _of_kernels(x.dtype).dot(weight.reshape(out * channels, 9).T).reshape(16, out, channels)
    tiles = rows // 2 * (count + 2) // 2
    seen, found = np.empty((16, channels, tiles), x.dtype), np.empty((16, out, tiles), x.dtype)
    phases, between = np.zeros((2, 2, tiles + count // 2 + 2), x.dtype), np.zeros((2, 4, tiles + 1), x.dtype)
    y = np.empty((images, out, rows, count), x.dtype)
    for source, target in zip(x.reshape(images, channels, -1), y.reshape(images, out, -1), strict=True):
        _transform(source, seen, phases, between, windows.sizes, before, windows.output)
        np.matmul(kernels, seen, out=found)
        _transform_back(found, target, between, windows.output)
    pixels = y.reshape(images * out, -1)
    with np.errstate(invalid="ignore"):
        is_finite = not pixels.dot(ones(pixels.shape[1], x.dtype) * 0).any()  # infinity times 0 is NaN
    return y if is_finite else None


@functools.cache
def _of_kernels(dtype: Any) -> Any:
    g = np.asarray([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype)
    return np.kron(g, g)


@compiled
def _transform(x: Any, seen: Any, phases: Any, between: Any, sizes: Any, before: Any, output: Any) -> None:
    """Fill in the tiles of an image; phases are its even and odd rows, and of each the even and odd columns."""
    pitch = output[1] // 2 + 1
    rows = min(sizes[0], output[0] + 2 - before[0])
    count = max(min(sizes[1], output[1] + 2 - before[1]), 0)
    for c in range(x.shape[0]):
        for i in range(rows):
            row, at = x[c, i * sizes[1] : i * sizes[1] + count], i + before[0]
            for odd in range(2):
                start = (odd - before[1]) % 2
                first = at // 2 * pitch + (start + before[1]) // 2
                _take_every_other(phases[at % 2, odd, first : first + (count - start + 1) // 2], row[start:])
        for odd in range(2):
            even_rows, odd_rows = phases[0, odd], phases[1, odd]
            _subtract(between[odd, 0], even_rows, even_rows[pitch:])
            _add(between[odd, 1], odd_rows, even_rows[pitch:])
            _subtract(between[odd, 2], even_rows[pitch:], odd_rows)
            _subtract(between[odd, 3], odd_rows, odd_rows[pitch:])
        for k in range(4):
            even, odd = between[0, k], between[1, k]
            _subtract(seen[4 * k, c], even, even[1:])
            _add(seen[4 * k + 1, c], odd, even[1:])
            _subtract(seen[4 * k + 2, c], even[1:], odd)
            _subtract(seen[4 * k + 3, c], odd, odd[1:])


@compiled
def _transform_back(found: Any, y: Any, between: Any, output: Any) -> None:
    pitch = output[1] // 2 + 1
    whole = np.empty(2 * found.shape[2], found.dtype)
    for c in range(y.shape[0]):
        image = y[c]
        for half in range(2):
            for k in range(4):
                if half == 0:
                    _sum(between[0, k], found[k, c], found[4 + k, c], found[8 + k, c])
                else:
                    _difference(between[0, k], found[4 + k, c], found[8 + k, c], found[12 + k, c])
            _sum(between[1, 0], between[0, 0], between[0, 1], between[0, 2])
            _difference(between[1, 1], between[0, 1], between[0, 2], between[0, 3])
            _interleave(whole, between[1, 0], between[1, 1])
            for i in range(output[0] // 2):
                at, start = np.uint64((2 * i + half) * output[1]), np.uint64(2 * i * pitch)
                for j in range(np.uint64(output[1])):
                    image[at + j] = whole[start + j]


# Each of these loops writes one array, and its index has a step of one: so a processor takes many numbers at a time.


@compiled
def _add(to: Any, a: Any, b: Any) -> None:
    for i in range(to.size):
        to[i] = a[i] + b[i]


@compiled
def _subtract(to: Any, a: Any, b: Any) -> None:
    for i in range(to.size):
        to[i] = a[i] - b[i]


@compiled
def _sum(to: Any, a: Any, b: Any, c: Any) -> None:
    for i in range(a.size):
        to[i] = a[i] + b[i] + c[i]


@compiled
def _difference(to: Any, a: Any, b: Any, c: Any) -> None:
    for i in range(a.size):
        to[i] = a[i] - b[i] - c[i]


@compiled
def _take_every_other(to: Any, row: Any) -> None:
    for i in range(np.uint64(to.size)):
        to[i] = row[i + i]


@compiled
def _interleave(to: Any, even: Any, odd: Any) -> None:
    for i in range(np.uint64(to.size // 2)):
        to[i + i] = even[i]
        to[i + i + np.uint64(1)] = odd[i]
