"""The objective of a model as a function of one vector, which holds all parameters."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnx.backend import is_array, is_finite, is_real_floating, namespace, renewed, unrecorded
from nnx.backend.blocks import wide_dtype
from nnx.errors import ArgumentError, NonFiniteError, ShapeError
from nnx.layers import Module
from nnx.layers.updates import ordered_gradients, refuse_other_model
from nnx.optimizers.curvature import number
from nnx.types import Array

Objective = Callable[[], tuple[Any, Mapping[str, Array]]]
"""Returns the value and the gradients of a model, by dotted path, at its current parameters."""


class VectorFunction:
    """Value and gradient of a model at a vector, at which the model then is.

    The vector is on the device of the parameters, at least in float32 and else in the widest of their dtypes.

    Parameters
    ----------
    model : Module
    objective : callable

    Attributes
    ----------
    start : array, shape (n,)
        The parameters that the model had at first.
    """

    def __init__(self, model: Module, objective: Objective) -> None:
        self._model, self._objective = model, objective
        self._before = model.trainable_parameters()
        self._shapes = [tuple(w.shape) for w in self._before.values()]
        self.start = joined([*self._before.values()])

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Return the value, a number of Python, and the gradient, after a check of what the objective returns."""
        if point is not self.start:
            self.move_to(point)
        value, gradients = _pair(self._objective())
        refuse_other_model(self._model, gradients, "LBFGS")
        return _number(value), joined(ordered_gradients(self._model, gradients))

    def finite(self, point: Array) -> tuple[float, Array]:
        """Return value and gradient, which must be finite; raises NonFiniteError."""
        value, gradient = self(point)
        if not (math.isfinite(value) and is_finite(gradient)):
            parts = zip(self._before, split(gradient, self._shapes), strict=True)
            paths = ", ".join(repr(path) for path, part in parts if not is_finite(part)) or "none"
            raise NonFiniteError(
                f"expected a finite value and gradient, got the value {value} and gradients that are not finite for: "
                f"{paths}; start from other parameters, or use line_search='strong_wolfe' or a lower learning rate"
            )
        return value, gradient

    def move_to(self, point: Array) -> None:
        """Give the model the parameters of a vector."""
        xp, old = namespace(point), [*self._before.values()]
        parts = zip(split(point, self._shapes), old, strict=True)
        new = [xp.astype(part, w.dtype, copy=True) for part, w in parts]  # a part is a view of the vector
        self._model.replace_parameters(dict(zip(self._before, renewed(new, old), strict=True)))

    def put_back(self) -> None:
        """Give the model the arrays that it had at first."""
        self._model.replace_parameters(self._before)


def _pair(found: Any) -> tuple[Any, Any]:
    try:
        value, gradients = found
    except (TypeError, ValueError):
        raise ArgumentError(
            "expected a function that returns the pair (value, gradients), as nnx.value_and_grad(loss)(model) does, "
            f"got {type(found).__name__}"
        ) from None
    return value, gradients


def _number(value: Any) -> float:
    if not is_array(value):
        if isinstance(value, int | float):
            return float(value)
        raise ArgumentError(f"expected a number as the value of the function, got {type(value).__name__}")
    if tuple(value.shape) or not is_real_floating(value):
        raise ShapeError(f"expected one real number as the value of the function, got shape {tuple(value.shape)}")
    return number(value)


def joined(arrays: Sequence[Array]) -> Array:
    """Return arrays as one vector in the widest of their dtypes, at least in float32."""
    xp = namespace(*arrays)
    dtype = xp.result_type(*map(wide_dtype, arrays))
    return xp.concat([xp.astype(xp.reshape(unrecorded(x), (math.prod(x.shape),)), dtype, copy=False) for x in arrays])


def split(vector: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return the parts of a vector, or of the last axis of a matrix, in the given shapes; they may be views."""
    xp, parts, begin = namespace(vector), [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        parts.append(xp.reshape(vector[..., begin:end], (*vector.shape[:-1], *shape)))
        begin = end
    return parts
