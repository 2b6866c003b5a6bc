"""Windows of NumPy arrays as columns of a matrix, and back: in blocks that fit a cache, one spatial axis after another.

Arrays have the channels first and the batch next, (channels, batch, *sizes), usually as a view. The rows of a matrix of
columns are channels and taps, (groups, channels of a group * taps of the last axis * ... * taps of the first axis).

To copy all windows at once means runs as short as a row of the output. One axis after another, only the first pass, of
the last axis, has those; each further pass copies longer runs.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.functional.spatial import Windows

_ELEMENTS = 2**18  # of a block of columns

Where = tuple[slice, slice, slice]
"""All channels, a range of the batch, and a range of the windows along the first spatial axis."""


@functools.lru_cache(maxsize=256)
def along(
    size: int, kernel: int, stride: int, dilation: int, before: int, start: int, stop: int
) -> tuple[tuple[slice, slice], ...]:
    """Return for each tap which of the windows from ``start`` to ``stop`` have it in the input, and where there."""
    found = []
    for tap in range(kernel):
        offset = tap * dilation - before
        low = max(start, -(offset // stride))
        high = max(low, min(stop, (size - 1 - offset) // stride + 1))
        inside = slice(low * stride + offset, (high - 1) * stride + offset + 1, stride) if high > low else slice(0, 0)
        found.append((slice(low - start, high - start), inside))
    return tuple(found)


def _taps(windows: Windows, axis: int, start: int, stop: int) -> tuple[tuple[slice, slice], ...]:
    before = windows.padding[axis][0]
    return along(
        windows.sizes[axis], windows.kernel[axis], windows.stride[axis], windows.dilation[axis], before, start, stop
    )


def blocks(windows: Windows, channels: int, batch: int) -> Iterator[tuple[slice, list[slice]]]:
    """Yield ranges of the batch, each with ranges of the windows along the first axis whose columns fit a block."""
    row = channels * math.prod(windows.kernel) * math.prod(windows.output[1:])
    first = windows.output[0]
    step = max(1, _ELEMENTS // (row * first))
    rows = first if step > 1 else max(1, min(first, _ELEMENTS // row))
    chunks = [slice(start, min(start + rows, first)) for start in range(0, first, rows)]
    for start in range(0, batch, step):
        yield slice(start, min(start + step, batch)), chunks


class Scratch:
    """Arrays that are used again for the next block of the same shape."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._arrays: dict[Any, Any] = {}

    def zeros(self, name: Any, shape: tuple[int, ...]) -> Any:
        """Return an array that was zero when it was first returned."""
        if (name, shape) not in self._arrays:
            self._arrays[name, shape] = np.zeros(shape, self._dtype)
        return self._arrays[name, shape]


def unfolded(x: Any, windows: Windows, groups: int, scratch: Scratch) -> Iterator[tuple[Where, Any]]:
    """Yield blocks of columns, (groups, rows, columns), and which windows they are; each is overwritten by the next."""
    channels, batch = x.shape[:2]
    rows = channels // groups * math.prod(windows.kernel)
    for examples, chunks in blocks(windows, channels, batch):
        source = x[:, examples]
        for axis in range(len(windows.sizes) - 1, 0, -1):
            source = _unfold(source, windows, axis, slice(0, windows.output[axis]), scratch)
        for chunk in chunks:
            columns = _unfold(source, windows, 0, chunk, scratch)
            yield (slice(None), examples, chunk), columns.reshape(groups, rows, columns.size // (groups * rows))


def _unfold(source: Any, windows: Windows, axis: int, where: slice, scratch: Scratch) -> Any:
    """Replace an axis by the taps of its windows, before the batch, and the windows themselves."""
    batch = source.ndim - len(windows.sizes) - 1
    lead, place = (slice(None),) * batch, batch + 1 + axis
    taps = _taps(windows, axis, where.start, where.stop)
    shape = [*source.shape[:batch], len(taps), *source.shape[batch:]]
    count = shape[place + 1] = where.stop - where.start
    after = (slice(None),) * (place - batch)
    found = scratch.zeros(axis, tuple(shape))
    for tap, (windows_of_tap, inside) in enumerate(taps):
        found[(*lead, tap, *after, windows_of_tap)] = source[(*lead, *after, inside)]
        if count < windows.output[axis]:  # other windows may have been here, that do not reach into the padding
            found[(*lead, tap, *after, slice(0, windows_of_tap.start))] = 0
            found[(*lead, tap, *after, slice(windows_of_tap.stop, None))] = 0
    return found


def folded(x: Any, windows: Windows, blocks_of_columns: Any, scratch: Scratch) -> None:
    """Add columns to what they are windows of, ``x``, which holds zeros.

    ``blocks_of_columns(where)`` returns the columns of a block, of shape (channels, *taps, batch, *windows).
    """
    channels, batch = x.shape[:2]
    last = range(1, len(windows.sizes))
    for examples, chunks in blocks(windows, channels, batch):
        count = examples.stop - examples.start
        taps = tuple(reversed(windows.kernel[1:]))
        target = x[:, examples]
        if last:
            target = scratch.zeros("target", (channels, *taps, count, windows.sizes[0], *windows.output[1:]))
            target.fill(0)
        for chunk in chunks:
            _fold(blocks_of_columns((slice(None), examples, chunk)), target, windows, 0, chunk)
        for axis in last:
            into = x[:, examples]
            if axis != last[-1]:
                shape = (*target.shape[: len(windows.sizes) - axis], count, *windows.sizes[: axis + 1])
                into = scratch.zeros(axis, (*shape, *windows.output[axis + 1 :]))
                into.fill(0)
            _fold(target, into, windows, axis, slice(0, windows.output[axis]))
            target = into


def _fold(columns: Any, into: Any, windows: Windows, axis: int, where: slice) -> None:
    batch = into.ndim - len(windows.sizes) - 1
    lead, after = (slice(None),) * batch, (slice(None),) * (1 + axis)
    for tap, (windows_of_tap, inside) in enumerate(_taps(windows, axis, where.start, where.stop)):
        into[(*lead, *after, inside)] += columns[(*lead, tap, *after, windows_of_tap)]
