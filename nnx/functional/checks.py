"""Checks of arguments, shared by many functions. Only :func:`first_where` reads the values of an array."""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

from nnx.autodiff import stop_gradient
from nnx.backend import dtype_name, is_cheap_to_read, is_floating, is_real_floating, namespace, to_numpy
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.types import Array


def expect_floating(x: Array, name: str = "input") -> None:
    """Raise DTypeError unless an array holds floating-point numbers."""
    try:
        floating = is_floating(x)
    except DTypeError:
        expect_array(x, name)  # the same error, with the name of the argument
        raise
    if not floating:
        raise DTypeError(
            f"expected {name} of a floating-point dtype, got {dtype_name(x.dtype)}; "
            "convert it, for example with xp.astype(x, xp.float32)"
        )


def expect_real(x: Array, name: str = "input") -> None:
    """Raise DTypeError unless an array holds real floating-point numbers."""
    try:
        real = is_real_floating(x)
    except DTypeError:
        expect_array(x, name)
        raise
    if not real:
        expect_floating(x, name)
        raise DTypeError(f"expected {name} of a real dtype, got {dtype_name(x.dtype)}; use xp.real(x) or xp.abs(x)")


def expect_same_dtype(x: Array, other: Array, other_name: str, name: str | None = None) -> None:
    """Raise DTypeError unless two arrays have the same dtype.

    Without a name, ``x`` is the input of a layer and ``other`` one of its parameters, and the advice is to convert
    either of them.
    """
    try:
        same = x.dtype == other.dtype
    except AttributeError:
        expect_array(x, name or "input")
        expect_array(other, other_name)
        raise
    if not same:
        wanted, got = dtype_name(other.dtype), dtype_name(x.dtype)
        advice = (
            f"convert one of them, for example with xp.astype(x, xp.{wanted}) or model.to(dtype={got!r})"
            if name is None
            else f"convert the {other_name} with xp.astype({other_name}, xp.{got})"
        )
        raise DTypeError(f"expected {name or 'input'} of dtype {wanted}, as {other_name}, got {got}; {advice}")


def expect_array(x: Any, name: str = "input") -> None:
    """Raise DTypeError unless a value is an array.

    The checks above call it only once an attribute is missing, so that it costs a correct call nothing.
    """
    if not hasattr(x, "dtype"):
        what = "an array" if name == "input" else f"{name} to be an array"
        got = "None" if x is None else type(x).__name__
        raise DTypeError(f"expected {what}, got {got}; make it one, for example with numpy.asarray") from None


def as_class_indices(target: Array) -> Array:
    """Return class indices as int64, or as int32 in a library without int64, such as JAX outside its 64-bit mode.

    Their own dtype may not do for comparisons: torch cannot compare uint16, uint32 and uint64, the standard does not
    mix uint64 with signed integers, and int8 cannot hold a number of 200 classes.
    """
    xp = namespace(target)
    if not xp.isdtype(target.dtype, "integral"):
        raise DTypeError(
            f"expected class indices of an integer dtype, got {dtype_name(target.dtype)}; "
            "cast them with xp.astype(target, xp.int32)"
        )
    widest = "int64" if "int64" in xp.__array_namespace_info__().dtypes(kind="signed integer") else "int32"
    return target if dtype_name(target.dtype) == widest else xp.astype(target, getattr(xp, widest))


def first_where(x: Array, is_wrong: Callable[[Array], Array]) -> Any:
    """Return the first element for which a condition holds, or ``None``.

    ``None`` too where reading the elements would wait for a device or ``jax.jit`` compiles.
    """
    x = stop_gradient(x)
    if not is_cheap_to_read(x):
        return None
    host = to_numpy(x)  # JAX, while it compiles a function, would not let us read what comes of its own operations
    wrong = is_wrong(host)
    return host[wrong].flat[0].tolist() if wrong.any() else None


def expect_shape(x: Array, shape: tuple[int, ...], name: str, reason: str) -> None:
    """Raise ShapeError unless an array has a shape."""
    if tuple(x.shape) != tuple(shape):
        fits = math.prod(x.shape) == math.prod(shape)  # such as a column instead of a vector
        advice = f"; if the order is right, use xp.reshape({name}, {tuple(shape)})" if fits else ""
        raise ShapeError(f"expected {name} of shape {tuple(shape)}, {reason}, got {tuple(x.shape)}{advice}")


def expect_broadcast(x: Array, shape: tuple[int, ...], name: str, axes: str) -> None:
    """Raise ShapeError unless an array can be broadcast to a shape, whose axes have names such as "(batch, time)"."""
    new = len(shape) - x.ndim
    if new < 0 or any(n not in (1, shape[new + i]) for i, n in enumerate(x.shape)):
        raise ShapeError(f"expected {name} to broadcast to {axes} = {tuple(shape)}, got {tuple(x.shape)}")


def expect_choice(value: Any, choices: tuple[str, ...], name: str) -> None:
    """Raise ArgumentError unless a value is one of some strings."""
    if value not in choices:
        raise ArgumentError(f"expected {name} to be one of {', '.join(map(repr, choices))}, got {value!r}")


def normalize_axis(axis: int, ndim: int) -> int:
    """Return an axis counted from 0; raises ShapeError if the array has no such axis."""
    if not -ndim <= axis < ndim:
        raise ShapeError(f"expected an array that has axis {axis}, got one with {counted(ndim, 'axis')}")
    return axis % ndim


def as_integer(value: Any, name: str, least: int) -> int:
    """Return an integer of Python; raises ArgumentError unless it is one of at least ``least``."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ArgumentError(f"expected {name} to be an integer of at least {least}, got {value!r}")
    return number


def as_nonnegative(value: Any, name: str) -> float:
    """Return a hyperparameter as a Python float, which does not promote float32 parameters.

    Raises ArgumentError unless it is finite and >= 0.
    """
    number = value if type(value) is float else _as_float(value)  # a float costs no call
    if not math.isfinite(number) or number < 0:
        raise ArgumentError(f"expected a finite {name} >= 0, got {value!r}")
    return number


def as_positive(value: Any, name: str) -> float:
    """Return a number as a Python float; raises ArgumentError unless it is finite and > 0."""
    number = as_nonnegative(value, name)
    if not number:
        raise ArgumentError(f"expected a finite {name} > 0, got {value!r}")
    return number


def as_finite(value: Any, name: str) -> float:
    """Return a number as a Python float; raises ArgumentError unless it is finite."""
    number = _as_float(value)
    if not math.isfinite(number):
        raise ArgumentError(f"expected a finite {name}, got {value!r}")
    return number


def _as_float(value: Any) -> float:
    """Return a number as a Python float, and NaN for what is no number."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def as_probability(value: Any, name: str) -> float:
    """Return a probability as a Python float; raises ArgumentError unless it is in [0, 1]."""
    number = _as_float(value)
    if not 0.0 <= number <= 1.0:
        raise ArgumentError(f"expected {name} in [0, 1], got {value!r}")
    return number


def as_share(value: Any, name: str) -> float:
    """Return a share, which is less than all, as a Python float; raises ArgumentError unless it is in [0, 1)."""
    number = _as_float(value)
    if not 0.0 <= number < 1.0:
        raise ArgumentError(f"expected {name} in [0, 1), got {value!r}")
    return number


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 epoch``, ``2 epochs``, ``3 batches``, ``4 axes``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun.removesuffix('is')}{'es' if noun.endswith(('tch', 's')) else 's'}"


def nearest(name: Any, names: Iterable[str]) -> str:
    """Return ``"; did you mean ...?"`` for a name that is not among others, or nothing if none of them is near."""
    import difflib  # only once something is wrong

    found = difflib.get_close_matches(str(name)[:100], list(names), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""
