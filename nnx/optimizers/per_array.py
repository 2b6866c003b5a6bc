"""Rules over lists of arrays, written as the formula for one array."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

from nnx.backend import dtype_name, is_real_floating, multiply_into, namespace
from nnx.backend.blocks import Rule, State, spread, wide_zeros
from nnx.errors import DTypeError
from nnx.types import Array

Formula = Callable[..., tuple[Any, ...]]
"""``formula(w, g, own, step, first, second, ...) -> (w, first, second, ...)``, for one array."""


def per_array(formula: Formula) -> Rule:
    """Return the rule that applies a formula to one array after another.

    Parameters
    ----------
    formula : callable
        Takes the parameter ``w``, its gradient ``g``, the hyperparameters of this parameter as a mapping, the number of
        steps before this one, and the state, each array under the name that it has there. It returns the new parameter
        and the new state in that order. It may write into all but ``g``. State that is kept only with some
        hyperparameters has the default ``None``, and then ``None`` is returned for it.

    Returns
    -------
    rule : callable
        The rule of an optimizer, as :class:`nnx.optimizers.Optimizer` describes it.

    Examples
    --------
    >>> import numpy as np
    >>> @per_array
    ... def rule(w, g, own, step, velocity):
    ...     velocity = own["momentum"] * velocity + g
    ...     return w - own["learning_rate"] * velocity, velocity
    >>> one = np.ones(1)
    >>> rule([one], {"velocity": [one]}, [one], 0, {"learning_rate": 0.25, "momentum": 0.5})
    ([array([0.625])], {'velocity': [array([1.5])]})
    """
    names = [*inspect.signature(formula).parameters][4:]

    def rule(
        gradients: Sequence[Array],
        state: Mapping[str, Sequence[Array]],
        parameters: Sequence[Array],
        step: int,
        hyperparameters: Mapping[str, Any],
    ) -> tuple[list[Array], State]:
        """Return the parameters and the state after one step; ``step`` counts from 0."""
        columns = [state.get(name, repeat(None)) for name in names]
        rows = zip(parameters, gradients, spread(hyperparameters), *columns, strict=False)
        made = [formula(w, g, own, step, *kept) for w, g, own, *kept in rows]
        new, *new_columns = zip(*made, strict=True) if made else [()] * (1 + len(names))
        return [*new], {name: [*column] for name, column in zip(names, new_columns, strict=True) if name in state}

    return rule


def zeros(parameters: Sequence[Array], *names: str) -> State:
    """Return a state of zeros under each name, at least in float32; raises DTypeError for complex parameters."""
    for parameter in parameters:
        if not is_real_floating(parameter):
            raise DTypeError(
                f"expected real parameters, got {dtype_name(parameter.dtype)}; use nnx.SGD, or train the real and "
                "imaginary parts as two parameters"
            )
    return {name: [*map(wide_zeros, parameters)] for name in names}


def with_penalty(g: Array, w: Array, own: Mapping[str, Any]) -> Array:
    """Return the gradient of an objective with the L2 penalty of the weight decay."""
    decay = own["weight_decay"]
    return g + decay * w if decay else g


def shrunk(w: Array, own: Mapping[str, Any]) -> Array:
    """Return ``(1 - learning_rate * weight_decay) * w``, decoupled weight decay; the parameter may be overwritten."""
    if own["weight_decay"]:
        w *= 1.0 - own["learning_rate"] * own["weight_decay"]
    return w


def average(mean: Array, x: Array, beta: float) -> Array:
    """Return ``beta * mean + (1 - beta) * x``, with ``beta = 0`` exactly ``x``; the mean may be overwritten."""
    mean *= beta  # in place where the library can, else a new array under the name
    mean += (1.0 - beta) * x
    return mean


def average_square(mean: Array, x: Array, beta: float) -> Array:
    """Return ``beta * mean + (1 - beta) * x**2``; the mean may be overwritten."""
    square = x * x
    square *= 1.0 - beta
    mean *= beta
    mean += square
    return mean


def share_of(beta: float, count: Any) -> Any:
    """Return ``1 - beta ** count``, by which a moment that started at 0 is too small."""
    if type(count) is int or not beta:
        return 1.0 - beta**count
    return -namespace(count).expm1(count * math.log(beta))  # an array, where a library compiles the rule: in float32


def corrected_root(mean_square: Array, beta: float, count: Any, eps: float) -> Array:
    """Return the root of a mean square that started at 0, made unbiased, plus ``eps``, in new memory."""
    size = namespace(mean_square).sqrt(mean_square)
    size /= share_of(beta, count) ** 0.5
    size += eps
    return size


def norm_of(x: Array) -> Array:
    """Return the Euclidean norm of all elements, an array of shape ``()``; of an empty array it is 0.

    It is finite, and not 0, whenever a number of its dtype can hold it: elements are divided by the largest before
    they are squared.
    """
    xp = namespace(x)
    if not is_real_floating(x):
        x = xp.abs(x)
    if 0 in x.shape:
        return xp.sum(x)
    largest = xp.maximum(xp.max(x), -xp.min(x))
    # A divisor whose inverse is a normal number too, since some compilers multiply by that.
    info = xp.finfo(x.dtype)
    least, most = float(info.smallest_normal), float(info.max) ** 0.75
    scale = xp.where(largest < least, least, xp.where(largest > most, most, largest))
    shares = x / scale
    return scale * xp.sqrt(xp.sum(multiply_into(shares, shares)))


def at_least(x: Array, bound: float) -> Array:
    """Return the greater one of each element and a number; NaN stays NaN."""
    xp = namespace(x)
    return xp.maximum(x, xp.full_like(x, bound))
