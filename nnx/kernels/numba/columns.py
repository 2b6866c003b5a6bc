"""Windows of images as columns of a matrix, and back, in one pass.

Images are (images, channels, pixels), and columns (images, rows, windows), where rows are channels and taps in the
order of a weight. Indices are made unsigned where a loop is short: it need not ask then whether they are negative.
"""

from typing import Any

import numpy as np

from nnx.kernels.numba.compiling import compiled


@compiled
def unfold(
    x: Any, columns: Any, sizes: Any, kernel: Any, stride: Any, dilation: Any, before: Any, first: Any, output: Any
) -> None:
    """Fill columns with the windows of ``output`` rows and columns, from the row of windows ``first`` on."""
    (height, width), (rows, count) = sizes, output
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            image = x[n, c]
            for a in range(kernel[0]):
                down = a * dilation[0] - before[0] + first * stride[0]
                top, bottom = _inside(height, down, stride[0], rows)
                for b in range(kernel[1]):
                    right = b * dilation[1] - before[1]
                    left, end = _inside(width, right, stride[1], count)
                    to = columns[n, (c * kernel[0] + a) * kernel[1] + b]
                    _clear(to[: top * count])
                    _clear(to[bottom * count :])
                    if stride[0] == 1 == stride[1] and count == width and top < bottom and left < end:
                        # All at once, also over the ends of rows, where the elements belong to other rows.
                        start, stop = top * count + left, (bottom - 1) * count + end
                        shift = down * width + right
                        _copy(to[start:stop], image[start + shift : stop + shift])
                        _clear_ends(to, top, bottom, count, left, end)
                    else:
                        _clear_ends(to, top, bottom, count, left, end)
                        for i in range(top, bottom):
                            at = np.uint64(i * count + left)
                            start = np.uint64((i * stride[0] + down) * width + left * stride[1] + right)
                            _copy_row(to, at, image, start, np.uint64(end - left), np.uint64(stride[1]))


@compiled
def fold(
    x: Any, columns: Any, sizes: Any, kernel: Any, stride: Any, dilation: Any, before: Any, first: Any, output: Any
) -> None:
    """Add columns to what they are windows of; overwrites columns with zeros where they lie in the padding."""
    (height, width), (rows, count) = sizes, output
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            image = x[n, c]
            for a in range(kernel[0]):
                down = a * dilation[0] - before[0] + first * stride[0]
                top, bottom = _inside(height, down, stride[0], rows)
                for b in range(kernel[1]):
                    right = b * dilation[1] - before[1]
                    left, end = _inside(width, right, stride[1], count)
                    of = columns[n, (c * kernel[0] + a) * kernel[1] + b]
                    if stride[0] == 1 == stride[1] and count == width and top < bottom and left < end:
                        _clear_ends(of, top, bottom, count, left, end)
                        start, stop = top * count + left, (bottom - 1) * count + end
                        shift = down * width + right
                        _add(image[start + shift : stop + shift], of[start:stop])
                    else:
                        for i in range(top, bottom):
                            at = np.uint64(i * count + left)
                            start = np.uint64((i * stride[0] + down) * width + left * stride[1] + right)
                            _add_row(image, start, of, at, np.uint64(end - left), np.uint64(stride[1]))


@compiled
def add_to_channels(y: Any, bias: Any) -> None:
    """Add a number to all pixels of a channel."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            image, own = y[n, c], bias[c]
            for i in range(image.size):
                image[i] += own


@compiled
def _inside(size: Any, offset: Any, stride: Any, count: Any) -> Any:
    """Return the range of the windows that have an element at an offset from their start inside the image."""
    low = min(count, max(0, -(offset // stride)))
    return low, max(low, min(count, (size - 1 - offset) // stride + 1))


@compiled
def _clear_ends(to: Any, top: Any, bottom: Any, count: Any, left: Any, end: Any) -> None:
    for i in range(top, bottom):
        for j in range(left):
            to[i * count + j] = 0
        for j in range(end, count):
            to[i * count + j] = 0


@compiled
def _clear(to: Any) -> None:
    for i in range(to.size):
        to[i] = 0


@compiled
def _copy(to: Any, part: Any) -> None:
    for i in range(to.size):
        to[i] = part[i]


@compiled
def _add(to: Any, part: Any) -> None:
    for i in range(to.size):
        to[i] += part[i]


@compiled
def _copy_row(to: Any, at: Any, image: Any, start: Any, length: Any, stride: Any) -> None:
    if stride == 1:
        for j in range(length):
            to[at + j] = image[start + j]
    elif stride == 2:  # of which the processor can take several at a time
        for j in range(length):
            to[at + j] = image[start + j + j]
    else:
        for j in range(length):
            to[at + j] = image[start + j * stride]


@compiled
def _add_row(image: Any, start: Any, of: Any, at: Any, length: Any, stride: Any) -> None:
    if stride == 1:
        for j in range(length):
            image[start + j] += of[at + j]
    else:
        for j in range(length):
            image[start + j * stride] += of[at + j]
