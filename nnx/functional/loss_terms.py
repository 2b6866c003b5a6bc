"""What all losses share: the reduction and its derivative, and the checks of their arguments."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import vjp
from nnx.autodiff.primitives import Primitive
from nnx.backend import dtype_name, is_floating, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import expect_array, expect_choice, expect_real, expect_same_dtype, expect_shape, first_where
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


def traced_pullback(
    loss: Primitive[..., Array], wanted: Sequence[Any], args: Sequence[Array | None], index: int, **options: Any
) -> Callable[[Array], Array | None]:
    """Return the pullback of a loss for one argument if that is wanted, differentiated operation by operation.

    For arguments that have a derivative that hardly anyone asks for, such as weights.
    """
    argument = args[index]
    if argument is None or not wanted[index]:
        return lambda cotangent: None
    pullback = vjp(lambda x: loss.function(*args[:index], x, *args[index + 1 :], **options), argument)[1]
    return lambda cotangent: pullback(cotangent)[0] if wanted[index] else None


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


def expect_weight(input: Array, weight: Array | None, name: str = "weight", input_name: str = "input") -> None:
    """Raise an error unless a weight is ``None``, or of the input's library and dtype and broadcasts to its shape."""
    if weight is None:
        return
    namespace(input, weight)
    expect_array(weight, name)
    expect_same_dtype(input, weight, name, input_name)
    shape, found = tuple(input.shape), tuple(weight.shape)
    fits = len(found) <= len(shape) and all(n in (1, m) for n, m in zip(found[::-1], shape[::-1], strict=False))
    if not fits:
        raise ShapeError(f"expected {name} of a shape that broadcasts to the {input_name}'s, {shape}, got {found}")


def expect_probabilities(x: Array) -> None:
    """Raise ArgumentError if a number is not in [0, 1], unless reading them would wait for a device."""
    if (wrong := first_where(x, lambda x: (x < 0) | (x > 1))) is not None:
        raise ArgumentError(f"expected probabilities from 0 to 1, got {wrong}; for logits use bce_with_logits")


def as_signs(target: Array, input: Array) -> Array:
    """Return a target of -1 and 1, of integers or floats, in the dtype of the input.

    Raises ArgumentError if it has other values, unless reading them would wait for a device.
    """
    xp = namespace(input, target)
    if is_floating(target):
        expect_same_dtype(input, target, "target", "input")
    elif not xp.isdtype(target.dtype, "signed integer"):
        raise DTypeError(f"expected target of a signed integer or floating-point dtype, got {dtype_name(target.dtype)}")
    if (wrong := first_where(target, lambda t: (t != 1) & (t != -1))) is not None:
        raise ArgumentError(f"expected a target of -1 and 1, got {wrong}; for one of 0 and 1 use 2 * target - 1")
    return target if target.dtype == input.dtype else xp.astype(target, input.dtype)
