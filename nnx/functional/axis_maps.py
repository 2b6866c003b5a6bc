"""Sparse linear maps along an axis, as data: which elements make up each output, and their weights. Plain Python."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

Table = tuple[tuple[int, ...], ...]
"""For each tap, which is an element of a window, its index along the axis in all windows."""


@dataclass(frozen=True, eq=False)
class AxisMap:
    r"""A sparse linear map along an axis: :math:`y_i = \sum_t w_{t i}\, x_{n_{t i}}`.

    Attributes
    ----------
    size : int
        Length of the axis of x.
    indices : tuple
        :math:`n`, an entry per tap. An output that needs fewer elements has one of them more than once, with a share
        of its weight: a weight of zero would make NaN of an infinity.
    weights : tuple
        :math:`w`, of the same form.
    unused : tuple
        Outputs that are made of nothing, and are zero; their indices and weights mean nothing.
    """

    size: int
    indices: Table
    weights: tuple[tuple[float, ...], ...]
    unused: tuple[int, ...] = ()

    @functools.cached_property
    def factor(self) -> float | None:
        """The weight, if all are equal."""
        found = {weight for tap in self.weights for weight in tap}
        return found.pop() if len(found) == 1 else None

    @functools.cached_property
    def slices(self) -> tuple[slice | None, ...]:
        """For each tap the slice that takes it, if there is one."""
        return tuple(map(as_slice, self.indices))

    @functools.cached_property
    def is_of_blocks(self) -> bool:
        """Whether each output is the mean, or another multiple of the sum, of the next block of elements."""
        count = len(self.indices)
        blocks = (tuple(range(tap, len(of_tap) * count, count)) for tap, of_tap in enumerate(self.indices))
        return self.factor is not None and self.indices == tuple(blocks)

    @functools.cached_property
    def transpose(self) -> AxisMap:
        """The transposed map."""
        length = len(self.indices[0])
        parts: list[dict[int, float]] = [{} for _ in range(self.size)]
        for indices, weights in zip(self.indices, self.weights, strict=True):
            for i, (index, weight) in enumerate(zip(indices, weights, strict=True)):
                if i not in self.unused:
                    parts[index][i] = parts[index].get(i, 0.0) + weight
        return axis_map(length, [list(part.items()) for part in parts])


def axis_map(size: int, parts: Sequence[Sequence[tuple[int, float]]]) -> AxisMap:
    """Return the map from the elements of each output and their weights."""
    unused = tuple(i for i, part in enumerate(parts) if not part)
    taps = max(map(len, parts))
    any_weight = max(parts, key=len)[0][1]
    filled = []
    for part in parts:
        *first, (index, weight) = part or [(0, any_weight * taps)]
        shares = taps - len(first)
        filled.append([*first, *[(index, weight / shares)] * shares])
    indices = tuple(tuple(column[tap][0] for column in filled) for tap in range(taps))
    weights = tuple(tuple(column[tap][1] for column in filled) for tap in range(taps))
    return AxisMap(size, indices, weights, unused)


def as_slice(indices: Sequence[int]) -> slice | None:
    """Return the slice that takes these indices in their order, if there is one."""
    first, last = indices[0], indices[-1]
    step = indices[1] - first if len(indices) > 1 else 1
    regular = step > 0 and all(index == first + i * step for i, index in enumerate(indices))
    return slice(first, last + 1, step) if regular else None
