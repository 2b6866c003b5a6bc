"""What L-BFGS keeps between iterations, and its form in a saved state."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nnx.backend import copied, namespace
from nnx.backend.blocks import wide_zeros
from nnx.optimizers.curvature import Pair, pair_of
from nnx.optimizers.vector_function import split
from nnx.types import Array

Shapes = Sequence[tuple[int, ...]]

NAMES = ("gradient", "move", "steps", "changes")
"""What a saved state has for each parameter."""


class Memory(NamedTuple):
    """The last gradient, the step that was taken there, the pairs of earlier ones, and the number of iterations so far.

    The gradient at the end of that step makes a pair of it, in the next iteration.
    """

    gradient: Array | None = None
    move: Array | None = None
    pairs: tuple[Pair, ...] = ()
    iterations: int = 0


def as_columns(memory: Memory, nothing: Array, shapes: Shapes) -> dict[str, list[Array]]:
    """Return arrays by name, one for each parameter; zeros, as ``nothing``, stand for vectors that are None.

    Those of ``"steps"`` and ``"changes"`` have the pairs along their first axis.
    """
    xp, none = namespace(nothing), wide_zeros(nothing, (0, *nothing.shape))
    columns = {
        "gradient": wide_zeros(nothing) if memory.gradient is None else memory.gradient,
        "move": wide_zeros(nothing) if memory.move is None else memory.move,
        "steps": xp.stack([pair.step for pair in memory.pairs]) if memory.pairs else none,
        "changes": xp.stack([pair.change for pair in memory.pairs]) if memory.pairs else none,
    }
    return {name: split(column, shapes) for name, column in columns.items()}


def from_columns(columns: Mapping[str, Sequence[Array]], shapes: Shapes, iterations: int) -> Memory:
    """Return the memory that :func:`as_columns` took apart."""
    if not iterations:
        return Memory()
    gradient, move, steps, changes = (_joined(columns[name], shapes) for name in NAMES)
    pairs = [pair_of(copied(steps[i, ...]), copied(changes[i, ...])) for i in range(steps.shape[0])]
    return Memory(gradient, move, tuple(pairs), iterations)


def converted_memory(memory: Memory, convert: Callable[[Array], Array]) -> Memory:
    """Return a memory whose vectors have gone through a function."""
    if memory.gradient is None or memory.move is None:
        return memory
    pairs = tuple(pair_of(convert(pair.step), convert(pair.change)) for pair in memory.pairs)
    return Memory(convert(memory.gradient), convert(memory.move), pairs, memory.iterations)


def _joined(parts: Sequence[Array], shapes: Shapes) -> Array:
    leading = parts[0].ndim - len(shapes[0])
    xp, pairs = namespace(*parts), zip(parts, shapes, strict=True)
    return xp.concat([xp.reshape(x, (*x.shape[:leading], math.prod(shape))) for x, shape in pairs], axis=-1)
