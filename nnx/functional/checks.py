"""Checks of arguments that several functions share. None of them reads an array's values unless it says so."""

from typing import Any

from nnx.backend import dtype_name, is_floating
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.types import Array


def expect_floating(x: Array, name: str = "input") -> None:
    """Raise DTypeError unless an array holds floating-point numbers."""
    if not is_floating(x):
        raise DTypeError(
            f"expected {name} of a floating-point dtype, got {dtype_name(x.dtype)}; "
            "convert it, for example with xp.astype(x, xp.float32)"
        )


def expect_same_dtype(x: Array, other: Array, other_name: str, name: str = "input") -> None:
    """Raise DTypeError unless two arrays have the same dtype."""
    if x.dtype != other.dtype:
        wanted, got = dtype_name(other.dtype), dtype_name(x.dtype)
        raise DTypeError(
            f"expected {name} of dtype {wanted}, as {other_name}, got {got}; convert one of them, for example with "
            f"xp.astype(x, xp.{wanted}) or model.to(dtype={got!r})"
        )


def expect_shape(x: Array, shape: tuple[int, ...], name: str, reason: str) -> None:
    """Raise ShapeError unless an array has a shape."""
    if tuple(x.shape) != tuple(shape):
        raise ShapeError(f"expected {name} of shape {tuple(shape)}, {reason}, got {tuple(x.shape)}")


def expect_choice(value: Any, choices: tuple[str, ...], name: str) -> None:
    """Raise ArgumentError unless a value is one of some strings."""
    if value not in choices:
        raise ArgumentError(f"expected {name} to be one of {', '.join(map(repr, choices))}, got {value!r}")


def normalise_axis(axis: int, ndim: int) -> int:
    """Return an axis counted from 0; raises ShapeError if the array has no such axis."""
    if not -ndim <= axis < ndim:
        raise ShapeError(f"expected an array that has axis {axis}, got one with {ndim} axes")
    return axis % ndim
