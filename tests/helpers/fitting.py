"""Strategies that draw shapes which fit together, and arrays in every layout of memory."""

from dataclasses import dataclass

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
