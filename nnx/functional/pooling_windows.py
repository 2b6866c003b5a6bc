"""The windows of pooling, one axis after the other: plain Python, cached."""

import functools
from collections.abc import Sequence
from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.functional.axis_maps import AxisMap, Table, axis_map
from nnx.functional.checks import as_integer, expect_real
from nnx.functional.spatial import Axes, Padding, PerAxis, Windows, expect_any_spatial, span, windows
from nnx.types import Array

OutputSize = int | None | Sequence[int | None]
"""One integer for all spatial axes, or one for each; ``None`` keeps the size of the input."""


def pool_windows(
    x: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    layout: str = "NCHW",
) -> tuple[Axes, Windows]:
    """Return the axes of an input and the windows over it; by default they do not overlap.

    Raises
    ------
    ShapeError
        If the input does not have one to three spatial axes, a window is larger than the padded input, or one lies in
        the padding alone.
    ArgumentError
        If an option is out of its range.
    DTypeError
        If the input is not real floating-point.
    """
    expect_real(x)
    axes = expect_any_spatial(x, layout)
    sizes = tuple(x.shape[axis] for axis in axes.spatial)
    found = windows(
        sizes, kernel_size, kernel_size if stride is None else stride, padding, dilation, ceil_mode=ceil_mode
    )
    window_tables(found)
    return axes, found


def adaptive_sizes(x: Array, output_size: OutputSize, layout: str = "NCHW") -> tuple[Axes, tuple[tuple[int, int], ...]]:
    """Return the axes of an input, and for each spatial one its size and the number of windows.

    Raises
    ------
    ShapeError
        If the input does not have one to three spatial axes, or one of them is empty.
    ArgumentError
        If ``output_size`` is not one number or one for each axis.
    DTypeError
        If the input is not real floating-point.
    """
    expect_real(x)
    axes = expect_any_spatial(x, layout)
    sizes = [x.shape[axis] for axis in axes.spatial]
    if 0 in sizes:
        raise ShapeError(f"expected spatial axes that are not empty, got an input of shape {tuple(x.shape)}")
    counts = output_sizes(output_size, len(sizes))
    return axes, tuple((size, count or size) for size, count in zip(sizes, counts, strict=True))


def output_sizes(output_size: OutputSize, count: int) -> tuple[int | None, ...]:
    """Return the number of windows along each axis, or None; raises ArgumentError unless there is one for each."""
    found: Any = output_size if isinstance(output_size, Sequence) else (output_size,) * count
    if isinstance(output_size, str) or len(found) != count:
        raise ArgumentError(
            f"expected output_size to be one integer or {count}, one for each spatial axis, got {output_size!r}"
        )
    return tuple(None if size is None else as_integer(size, "output_size", 1) for size in found)


@functools.lru_cache(maxsize=1024)
def window_tables(windows: Windows) -> tuple[Table, ...]:
    """Return a table for each axis; where a window reaches into the padding, the nearest element that it has is taken.

    Raises
    ------
    ShapeError
        If a window lies in the padding alone.
    """
    tables = []
    for axis, (size, kernel, dilation) in enumerate(zip(windows.sizes, windows.kernel, windows.dilation, strict=True)):
        columns = []
        for start in _starts(windows, axis):
            inside = [at for at in range(start, start + span(kernel, dilation), dilation) if 0 <= at < size]
            if not inside:
                raise ShapeError(
                    f"expected every window to hold an element of the input, got an input of {windows.sizes} padded "
                    f"by {windows.padding} under a kernel of {windows.kernel}; use less padding or dilation"
                )
            columns.append([min(max(start + t * dilation, inside[0]), inside[-1]) for t in range(kernel)])
        tables.append(tuple(zip(*columns, strict=True)))
    return tuple(tables)


@functools.lru_cache(maxsize=1024)
def window_means(windows: Windows, count_padding: bool) -> tuple[AxisMap, ...]:
    """Return the map to the mean of each window, for each axis; zeros of the padding count or not."""
    maps = []
    for axis, table in enumerate(window_tables(windows)):
        end = windows.sizes[axis] + windows.padding[axis][1]
        counts = [min(windows.kernel[axis], end - start) for start in _starts(windows, axis)]
        maps.append(_means(windows.sizes[axis], table, counts if count_padding else None))
    return tuple(maps)


@functools.lru_cache(maxsize=1024)
def adaptive_table(size: int, count: int) -> Table:
    """Return the table of windows from ``floor(i * size / count)`` to ``ceil((i + 1) * size / count)``."""
    bounds = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    longest = max(end - start for start, end in bounds)
    return tuple(tuple(min(start + tap, end - 1) for start, end in bounds) for tap in range(longest))


@functools.lru_cache(maxsize=1024)
def adaptive_means(size: int, count: int) -> AxisMap:
    """Return the map to the mean of each window of :func:`adaptive_table`."""
    return _means(size, adaptive_table(size, count), None)


def _starts(windows: Windows, axis: int) -> list[int]:
    return [i * windows.stride[axis] - windows.padding[axis][0] for i in range(windows.output[axis])]


def _means(size: int, table: Table, counts: Sequence[int] | None) -> AxisMap:
    parts = []
    for i, column in enumerate(zip(*table, strict=True)):
        elements = sorted(set(column))
        parts.append([(index, 1.0 / (len(elements) if counts is None else counts[i])) for index in elements])
    return axis_map(size, parts)
