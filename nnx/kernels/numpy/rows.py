"""How the normalizations on NumPy see an input, and how they add it up, block by block.

What one operation writes is then still in the cache for the next. Sums are products with vectors of ones, which the
library for linear algebra computes several times as fast as NumPy adds up.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nnx.functional.standardization import Layout

_BLOCK = 1 << 16  # elements: a few such arrays fit into the cache of a core


class Form(NamedTuple):
    """An input as an array of four axes; weight and bias belong to (rows, channels).

    Mean and variance of an example are taken over channels and positions; those of a batch, where there is one row,
    over examples and positions.
    """

    examples: int
    rows: int
    channels: int
    positions: int

    def blocks(self) -> Iterator[slice]:
        """Iterate over slices of examples that fit into the cache."""
        step = max(1, _BLOCK // max(1, self.rows * self.channels * self.positions))
        return (slice(i, i + step) for i in range(0, self.examples, step))

    def sums(self, a: Any, b: Any = None) -> Any:
        """Return the sums over positions of ``a``, or of ``a * b``: (examples, rows * channels)."""
        if self.positions == 1:
            a = a if b is None else a * b
            return a.reshape(-1, self.rows * self.channels)
        a = a.reshape(-1, self.positions)  # a matrix, since NumPy's product of other arrays is slower
        found = a.dot(ones(self.positions, a.dtype)) if b is None else np.vecdot(a, b.reshape(a.shape))
        return found.reshape(-1, self.rows * self.channels)

    def totals(self, a: Any, b: Any = None) -> Any:
        """Return the sums over examples too: (rows * channels,)."""
        found = self.sums(a, b)
        return ones(len(found), found.dtype).dot(found)


@functools.lru_cache(maxsize=256)
def form_of(layout: Layout) -> Form | None:
    """Return the form of an input whose averaged axes are the last ones, or all but the channels; else None."""
    view, axes = layout.view, layout.averaged
    own = [i for i in range(len(view)) if i not in layout.shared]
    start, stop = own[0], own[-1] + 1
    first = start if axes == layout.shared else axes[0]
    if axes != layout.shared and axes != tuple(range(first, len(view))):
        return None
    return Form(*(math.prod(view[i:j]) for i, j in ((0, start), (start, first), (first, stop), (stop, len(view)))))


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: Any) -> Any:
    """Return a vector of ones, which nobody may write into."""
    return np.ones(count, dtype)


def is_common(x: Any) -> bool:
    """Return whether an array is one of NumPy, of float32 or float64, and not empty."""
    return (
        type(x) is np.ndarray and x.size > 0 and x.dtype.kind == "f" and x.dtype.itemsize in (4, 8) and x.dtype.isnative
    )
