"""Interpolation along an axis, as sparse maps: plain Python, cached."""

import functools
import math
from collections.abc import Sequence
from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.functional.axis_maps import AxisMap, axis_map
from nnx.functional.checks import expect_choice
from nnx.functional.spatial import PerAxis, per_axis

Scale = float | Sequence[float]
"""One positive number for all spatial axes, or one for each."""


def interpolations(
    sizes: Sequence[int], size: PerAxis | None, scale: Scale | None, mode: str, align_corners: bool
) -> tuple[AxisMap, ...]:
    """Return the map along each axis of an input with these spatial sizes.

    Raises
    ------
    ArgumentError
        If not exactly one of ``size`` and ``scale`` is given, one of them is not one number or one for each axis, or
        the other options do not fit.
    ShapeError
        If an axis is empty, or would be.
    """
    scales = expect_options(len(sizes), size, scale, mode, align_corners)
    counts = (
        [math.floor(n * s) for n, s in zip(sizes, scales, strict=True) if s is not None]
        if size is None
        else per_axis(size, "size", len(sizes))
    )
    if min((*sizes, *counts)) < 1:
        raise ShapeError(f"expected spatial axes that are not empty, got {tuple(sizes)}, which become {tuple(counts)}")
    if mode == "nearest":
        return tuple(map(nearest, sizes, counts, scales))
    return tuple(linear(n, m, s, align_corners) for n, m, s in zip(sizes, counts, scales, strict=True))


def expect_options(
    count: int, size: PerAxis | None, scale: Scale | None, mode: str, align_corners: bool
) -> tuple[float | None, ...]:
    """Return a scale for each axis, ``None`` where the size is given; raises ArgumentError if options do not fit."""
    expect_choice(mode, ("nearest", "linear"), "mode")
    if (size is None) == (scale is None):
        raise ArgumentError(f"expected either size or scale, got size={size!r} and scale={scale!r}")
    if align_corners and mode == "nearest":
        raise ArgumentError("expected align_corners=True with mode 'linear' alone, got mode 'nearest'")
    if size is not None:
        per_axis(size, "size", count)
        return (None,) * count
    scales: Any = scale if isinstance(scale, Sequence) else (scale,) * count
    if isinstance(scale, str) or len(scales) != count or not all(map(_is_positive, scales)):
        raise ArgumentError(
            f"expected scale to be one positive number or {count}, one for each spatial axis, got {scale!r}"
        )
    return tuple(map(float, scales))


@functools.lru_cache(maxsize=1024)
def nearest(size: int, count: int, scale: float | None = None) -> AxisMap:
    """Return the map to the element at ``floor(i * size / count)``, or ``floor(i / scale)``."""
    at = [i * size // count if scale is None else int(i / scale) for i in range(count)]
    return axis_map(size, [[(min(index, size - 1), 1.0)] for index in at])


@functools.lru_cache(maxsize=1024)
def linear(size: int, count: int, scale: float | None = None, align_corners: bool = False) -> AxisMap:
    """Return the map to the line between two neighbors of each position.

    An element is a cell of length 1, and positions are those of the centers of the output's cells; with
    ``align_corners`` the centers of the first and the last cells of input and output coincide.
    """
    if align_corners:
        positions = [i * (size - 1) / (count - 1) if count > 1 else 0.0 for i in range(count)]
    else:
        ratio = size / count if scale is None else 1.0 / scale
        positions = [max(ratio * (i + 0.5) - 0.5, 0.0) for i in range(count)]
    return axis_map(size, [_between(position, size - 1) for position in positions])


def _between(position: float, last: int) -> list[tuple[int, float]]:
    below = min(int(position), last)
    weight = position - below
    return [(below, 1.0)] if below == last or weight == 0.0 else [(below, 1.0 - weight), (below + 1, weight)]


def _is_positive(scale: Any) -> bool:
    return isinstance(scale, (int, float)) and type(scale) is not bool and 0 < scale < math.inf
