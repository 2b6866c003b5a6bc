"""Strategies that draw shapes which fit together, and arrays in every layout of memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

LENGTHS = st.integers(0, 4)  # 0 and 1 are where shapes go wrong


@dataclass(frozen=True)
class LinearShapes:
    """The shapes of ``linear``: x (*batch, in), weight (in, out), bias (out)."""

    batch: tuple[int, ...]
    inputs: int
    outputs: int

    @property
    def x(self) -> tuple[int, ...]:
        return (*self.batch, self.inputs)

    @property
    def y(self) -> tuple[int, ...]:
        return (*self.batch, self.outputs)


def linear_shapes() -> st.SearchStrategy[LinearShapes]:
    return st.builds(LinearShapes, st.lists(LENGTHS, max_size=3).map(tuple), LENGTHS, LENGTHS)


@st.composite
def laid_out(draw: st.DrawFn, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    """Draw a NumPy array of a shape: contiguous, transposed, reversed, every second element, or read-only."""
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape).astype(dtype)
    layout = draw(st.sampled_from(["contiguous", "transposed", "reversed", "strided", "read-only"]))
    if layout == "transposed":
        return np.ascontiguousarray(values.T).T
    if layout == "reversed":
        return np.flip(np.flip(values).copy())
    if layout == "strided" and values.ndim:
        return np.repeat(values, 2, axis=-1)[..., ::2]
    values.flags.writeable = layout != "read-only"
    return values


@dataclass(frozen=True)
class Convolution:
    """The shapes of ``convolution``: x (batch, channels, *sizes), weight (out, channels / groups, *kernel); options."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    padding: Any
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("padding", "stride", "dilation", "groups")}


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    """Draw a convolution over one to three spatial axes whose kernel fits into the padded input."""
    count = draw(st.integers(1, 3))

    def axes(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(count))

    kernel, dilation, stride = axes(1, 3), axes(1, 2), axes(1, 4)
    padding = draw(st.just("same") | st.just(tuple(zip(axes(0, 2), axes(0, 2), strict=True))))
    least = [1] * count
    if padding != "same":
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        least = [max(1, n - sum(pair)) for n, pair in zip(spans, padding, strict=True)]
    sizes = tuple(n + more for n, more in zip(least, axes(0, 4), strict=True))
    groups, per_group, out = (draw(st.integers(1, 3)) for _ in range(3))
    x = (draw(st.integers(0, 2)), groups * per_group, *sizes)
    return Convolution(x, (groups * out, per_group, *kernel), padding, stride, dilation, groups)
