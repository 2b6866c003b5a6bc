"""What all losses share: the reduction and its derivative, and the checks of their arguments."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import vjp
from nnx.backend import namespace
from nnx.errors import ShapeError
from nnx.functional.checks import expect_choice, expect_real, expect_same_dtype, expect_shape
from nnx.types import Array, Shape

REDUCTIONS = ("mean", "sum", "none")


def reduce_loss(values: Array, reduction: str) -> Array:
    """Apply a loss's reduction, one of ``"mean"``, ``"sum"`` and ``"none"``."""
    expect_choice(reduction, REDUCTIONS, "reduction")
    if reduction == "none":
        return values
    xp = namespace(values)
    return xp.mean(values) if reduction == "mean" else xp.sum(values)


def unreduce(cotangent: Array, reduction: str, shape: Shape) -> Array:
    """Return the cotangent of each value from that of their reduction; one number if it is the same for all."""
    return cotangent / math.prod(shape) if reduction == "mean" else cotangent


def of_difference(wanted: Sequence[Any], cotangent: Array) -> tuple[Array | None, Array | None]:
    """Return the cotangents of both sides of a difference from that of the difference, which is new memory."""
    return cotangent if wanted[0] else None, -cotangent if wanted[1] else None


def traced_pullback(wanted: Any, function: Callable[..., Array], argument: Array | None) -> Any:
    """Return the pullback of a function of one argument if it is wanted, differentiated operation by operation.

    For arguments that have a derivative, but rarely anyone who wants it, such as weights.
    """
    if argument is None or not wanted:
        return lambda cotangent: None
    pullback = vjp(function, argument)[1]
    return lambda cotangent: pullback(cotangent)[0]


def expect_pair(input: Array, target: Array, target_name: str = "target", input_name: str = "input") -> None:
    """Raise an error unless two arrays are real, and of one library, shape and dtype, with at least one element."""
    expect_like(input, target, target_name, input_name)
    expect_elements(input, input_name)


def expect_like(input: Array, other: Array, name: str = "target", input_name: str = "input") -> None:
    """Raise an error unless two arrays are real, and of one library, shape and dtype."""
    namespace(input, other)
    expect_real(input, input_name)
    expect_real(other, name)
    expect_shape(other, input.shape, name, f"as the {input_name}")
    expect_same_dtype(input, other, name, input_name)


def expect_elements(x: Array, name: str = "input") -> None:
    """Raise ShapeError if an array is empty."""
    if math.prod(x.shape) == 0:
        raise ShapeError(f"expected at least one element, got {name} of shape {tuple(x.shape)}")
