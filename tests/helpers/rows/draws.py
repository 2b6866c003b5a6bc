"""Where the arrays of the rows come from: each function returns one that draws them with a generator."""

from typing import Any

import numpy as np

from rows.record import Draw

CLASSES = 3


def normal(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def positive(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: tuple(rng.uniform(0.5, 2.0, shape) for shape in shapes)


def off_zero(*shapes: tuple[int, ...]) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        values = [rng.normal(size=shape) for shape in shapes]
        return tuple(value + np.copysign(0.1, value) for value in values)

    return draw


def both(*parts: Draw) -> Draw:
    return lambda rng: tuple(array for part in parts for array in part(rng))


def labels(*shape: int, ignored: int | None = None) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        drawn = rng.integers(CLASSES, size=shape)
        if ignored is not None:
            drawn.reshape(-1)[1] = ignored
        return (drawn,)

    return draw


def one_hot(*shape: int, axis: int = -1) -> Draw:
    return lambda rng: (np.moveaxis(np.eye(CLASSES)[rng.integers(CLASSES, size=shape)], -1, axis),)


def probabilities(*shape: int) -> Draw:
    return lambda rng: (rng.dirichlet(np.ones(CLASSES), size=shape),)


LOGITS = normal((4, CLASSES))


def uniform(*shapes: tuple[int, ...]) -> Draw:
    """Draw from [0.05, 0.95]: probabilities off the ends."""
    return lambda rng: tuple(rng.uniform(0.05, 0.95, shape) for shape in shapes)


def signs(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: tuple(2 * rng.integers(2, size=shape) - 1 for shape in shapes)


def counts(*shapes: tuple[int, ...]) -> Draw:
    """Draw whole numbers as floats, 0 and 1 among them."""
    return lambda rng: tuple(rng.integers(0, 5, size=shape).astype(float) for shape in shapes)
