"""Layers of spatial axes take one example too."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.types import Array


def or_one_example(forward: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
    """Let the ``forward`` of a layer with ``_count`` spatial axes take an example without a batch axis; a decorator."""

    @wraps(forward)
    def one_or_many(self: Any, x: Array) -> Array:
        if x.ndim != self._count + 1:
            return forward(self, x)
        xp = namespace(x)
        try:
            return xp.squeeze(forward(self, xp.expand_dims(x, axis=0)), axis=0)
        except ShapeError as error:
            error.message += f", as a batch of one example {tuple(x.shape)}"
            raise

    return one_or_many
